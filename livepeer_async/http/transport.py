"""HTTP transport; the only module that imports httpx.

`send()` returns a response that was read to the end, `stream()` one whose body is still open.
Redirects are not followed, no credentials are added and nothing is retried.

Clients of httpx2, the maintained fork with the same interface, are accepted too: exceptions are
looked up in the module that defines the client's class.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from http import HTTPStatus
from types import ModuleType
from typing import Any, Self, TypeVar

import anyio
import httpx

from livepeer_async.concurrency import Clock, LoopLocal
from livepeer_async.errors import ClientClosed, DecodeError, NetworkError
from livepeer_async.http.chunk_limiter import ChunkLimiter
from livepeer_async.http.client_pool import ClientPool, Connections
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.library_calls import LibraryCalls
from livepeer_async.http.library_client import LibraryClient
from livepeer_async.http.log_filter import install_log_filter, redact_logs
from livepeer_async.http.loops import require_asyncio
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.http.observers import Watch, describe_unconfirmed
from livepeer_async.http.own_clients import client_factory
from livepeer_async.http.proxies import Proxies, read_proxies
from livepeer_async.http.recovery import Recovery
from livepeer_async.http.response_reading import (
    close_response,
    incomplete_error,
    read_body,
    request_id_of,
    to_response,
)
from livepeer_async.http.sockets import tune_socket
from livepeer_async.http.streams import (
    Outgoing,
    RequestBody,
    ResponseBody,
    StreamedResponse,
    is_delimited,
)
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.tracing import log_response
from livepeer_async.http.user_client import UserClient, loop_error

T = TypeVar("T")

# Studio closes a connection after 5 s without a request, even if the next one is on its way.
KEEPALIVE_SECONDS = 4.0
# A list of 1,000 assets, the server's maximum, takes about 2 MiB. At this size, a list of minimal
# assets decodes to 200 MiB of values.
MAX_RESPONSE_SIZE = 16 * 1024 * 1024
NO_RESPONSE = "no response"


class Transport:
    """Sends requests through its own pools of clients, or through the user's client.

    Each event loop has its own connections, which are closed at its end.

    Args:
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient`. `aclose` doesn't close it.
        timeouts: the timeouts.
        descriptors, clock: waits for free file descriptors; time and jitter.
        uses_tls: whether to load the certificates now, or when they are first needed.

    Attributes:
        recovery: knows which servers respond again after an outage.
    """

    def __init__(
        self,
        *,
        http_client: Any = None,
        timeouts: Timeouts,
        descriptors: Descriptors | None = None,
        clock: Clock | None = None,
        uses_tls: bool = True,
    ) -> None:
        self._timeouts = timeouts
        self.recovery = Recovery(clock)
        self._descriptors = descriptors or Descriptors()
        self._descriptors.close_idle = self._close_idle
        self._user_client = None if http_client is None else UserClient(http_client)
        self._module: ModuleType = self._user_client.module if self._user_client else httpx
        # The proxies of a user's client are unknown.
        proxies = Proxies() if self._user_client else read_proxies()
        self._calls = LibraryCalls(
            self._module,
            proxies,
            self._descriptors,
            self._is_closed,
            is_users=http_client is not None,
        )
        self._http_client = http_client
        self._create_client = None
        if http_client is None:
            self._create_client = client_factory(
                httpx,
                proxies,
                self._set_up_socket,
                keepalive=KEEPALIVE_SECONDS,
                uses_tls=uses_tls,
            )
        self._connections = LoopLocal(
            self._connect, aclose=Connections.aclose, drop=Connections.abandon
        )
        install_log_filter()

    def _connect(self) -> Connections:
        """Create what a transport has in one event loop."""
        chunks = ChunkLimiter(self._timeouts)
        if self._create_client is not None:
            return Connections(ClientPool(self._create_client, keepalive=KEEPALIVE_SECONDS), chunks)
        client = LibraryClient(
            self._http_client,
            self._module,
            on_connect=self._set_up_socket,
            exceptions=lambda: self._calls.exceptions,
        )
        return Connections(client, chunks)

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def _is_closed(self) -> bool:
        return bool(self._connections.get().client.is_closed)

    async def _close_idle(self) -> None:
        connections = self._connections.find()
        if connections is not None and connections.pool is not None:
            await connections.pool.close_idle()

    def open(self) -> None:
        """Allow requests in the running event loop again after `aclose`."""
        connections = self._connections.find()
        if connections is not None and connections.client.is_closed:
            self._connections.forget()

    @property
    def loops(self) -> list[asyncio.AbstractEventLoop]:
        """The event loops that have connections."""
        return [loop for loop, _ in self._connections.items()]

    async def aclose(self) -> None:
        """Close the own connections of the running event loop, and of closed ones."""
        self._connections.drop_closed()
        await self._connections.get().aclose()

    async def send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_RESPONSE_SIZE,
    ) -> Response:
        """Send a request and read the complete response.

        Args:
            request: the request.
            blocks: the bytes of the body, if `request.content` is a span of a source.
            largest: limit for the size of the decoded response body.

        Raises:
            ConfigurationError: the client is closed (`ClientClosed`), or the URL is invalid.
            NetworkError: no complete response arrived.
            DecodeError: the response is larger than `largest`.
            SourceError: the blocks can't be read.
        """
        with Watch("other chunks are being stored", request) as watch:
            began_at = time.monotonic()
            with self.recovery.record(request.origin) as record:
                response = await self._send(request, blocks, largest, watch)
                record(response.status)
            seconds = time.monotonic() - began_at
            log_response(request, response.request_id or "", response.status, seconds)
            return response

    async def _send(
        self,
        request: Request,
        blocks: AsyncIterable[bytes | memoryview] | None,
        largest: int,
        watch: Watch,
    ) -> Response:
        connections = self._find_connections(request)
        request_id, limits = request_id_of(request), self._httpx_timeouts()
        is_chunk, size = isinstance(request.content, Span), request.span.size
        async with connections.chunks.acquire(request) if is_chunk else nullcontext() as accept:
            # Limits a response whose head never ends; httpx only limits each read.
            with anyio.CancelScope() as scope:

                def on_accepted() -> None:
                    if accept is not None:
                        # httpcore reads the limit when it starts to wait for the response.
                        limits["read"] = accept()
                    self._limit_response(scope, limits)
                    watch.restart(describe_unconfirmed(size) if size else NO_RESPONSE)

                body = None
                if blocks is None:
                    on_accepted()
                else:
                    watch.restart("no connection")
                    body = RequestBody(request, blocks, on_accepted, watch)
                outgoing = Outgoing(request, request_id, limits, body)
                exchange = partial(self._exchange, connections, outgoing, largest)
                with body.keep_cause() if body else nullcontext():
                    return await self._calls.run(request, request_id, limits, exchange)
            raise incomplete_error(request, request_id)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[StreamedResponse, None]:
        """Send a request without a span; yield the response once its head has arrived.

        Read the body within the block. Each read has a timeout, the whole body has none. Leaving
        the block discards the rest.

        Args:
            request: the request.

        Raises:
            ConfigurationError: the client is closed (`ClientClosed`), or the URL is invalid.
            NetworkError: no response arrived. Reading the body raises it too.
        """
        connections = self._find_connections(request)
        request_id, limits = request_id_of(request), self._httpx_timeouts()
        call_library = partial(self._calls.run, request, request_id, limits)
        outgoing = Outgoing(request, request_id, limits)
        async with (
            connections.acquire(request) as client,
            client.prepare(outgoing) as send,
        ):
            received = None
            # This scope ends before the yield, because another task may close the response.
            with anyio.CancelScope() as scope:
                self._limit_response(scope, limits)

                async def receive_head() -> Any:
                    with Watch(NO_RESPONSE, request):
                        return await send()

                began_at = time.monotonic()
                with self.recovery.record(request.origin) as record:
                    received = await call_library(receive_head)
                    record(received.status_code)
                seconds = time.monotonic() - began_at
                log_response(request, request_id, received.status_code, seconds)
            if received is None:
                raise incomplete_error(request, request_id)
            # A hook of a user's client may have read the body already.
            raw = received.aiter_bytes() if received.is_stream_consumed else received.aiter_raw()

            async def read(call: Callable[[], Awaitable[bytes]]) -> bytes:
                with Watch("no data", request):
                    return await call_library(call)

            try:
                yield StreamedResponse(
                    head=to_response(received, request, request_id, b""),
                    body=ResponseBody(raw, read),
                    is_delimited=is_delimited(received.http_version, received.headers),
                )
            finally:
                with redact_logs(request, *self._calls.proxy_secrets):
                    await close_response(received, raw)

    def _find_connections(self, request: Request) -> Connections:
        """Return the connections of the running event loop.

        Raises:
            ConfigurationError: they are closed, or the user's client has those of another loop.
        """
        require_asyncio()
        connections = self._connections.get()
        if connections.client.is_closed:
            raise ClientClosed("the client is closed; send within its `async with` block")
        if self._user_client is not None and not self._user_client.is_usable_here():
            raise loop_error(request.place)
        return connections

    def _httpx_timeouts(self) -> dict[str, float]:
        limits = {"connect": self._timeouts.connect, "pool": self._timeouts.connect}
        return limits | {"read": self._timeouts.stall, "write": self._timeouts.stall}

    def _limit_response(self, scope: anyio.CancelScope, limits: dict[str, float]) -> None:
        """Start the time limit for the complete response."""
        seconds = limits["connect"] + limits["read"] + self._timeouts.answer
        scope.deadline = anyio.current_time() + seconds

    def _set_up_socket(self, sock: Any) -> None:
        self._descriptors.record_success("connection")
        if sock is not None:
            tune_socket(sock, dead_after=self._timeouts.stall)

    async def _exchange(
        self, connections: Connections, outgoing: Outgoing, largest: int
    ) -> Response:
        request, request_id = outgoing.request, outgoing.request_id
        async with (
            connections.acquire(request) as client,
            client.prepare(outgoing) as send,
        ):
            received = await send()
            try:
                body = await read_body(
                    received, request, request_id, largest=largest, seconds=self._timeouts.answer
                )
            except (DecodeError, NetworkError, self._module.RequestError):
                if not request.span.size or received.status_code <= HTTPStatus.BAD_REQUEST:
                    raise
                # A server that rejects a chunk may reset the connection before the body of its
                # response has arrived. The status is sufficient, except for 400.
                body = b""
            finally:
                await close_response(received)
        return to_response(received, request, request_id, body)
