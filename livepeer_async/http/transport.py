"""HTTP transport; the only module that imports httpx.

`send()` returns a response that was read to the end, `stream()` one whose body is still open.
Redirects are not followed, no credentials are added and nothing is retried.

Clients of httpx2, the maintained fork with the same interface, are accepted too: exceptions are
looked up in the module that the client's class comes from.
"""

from __future__ import annotations

import time
import uuid
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from http import HTTPStatus
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx

from livepeer_async.errors import ConfigurationError, DecodeError, TimedOut
from livepeer_async.http.certificates import load_tls
from livepeer_async.http.chunk_limiter import PendingChunks
from livepeer_async.http.client_pool import ClientPool
from livepeer_async.http.early_responses import watch_stream, watching_for_response
from livepeer_async.http.error_mapping import Translation, module_of
from livepeer_async.http.log_filter import install_log_filter, redact_logs
from livepeer_async.http.messages import Request, Response, Span, merge_headers
from livepeer_async.http.proxies import Proxies, Proxy, read_proxies, unusable
from livepeer_async.http.sockets import tune_socket
from livepeer_async.http.streams import (
    GzipDecoder,
    RequestBody,
    ResponseBody,
    StreamedResponse,
    check_size,
    is_delimited,
)
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.version import __version__

T = TypeVar("T")

USER_AGENT = f"livepeer-async/{__version__}"

# Studio closes a connection that idles for 5 s; one that is closed under a request is a setback.
KEEPALIVE_SECONDS = 4.0
# A list of 1,000 assets, the most that the server gives, is about 2 MiB. Of an answer of this size
# that holds nothing but the shortest assets the decoder makes values of 200 MiB.
MAX_RESPONSE_SIZE = 16 * 1024 * 1024
# The libraries take any number and leave its refusal to the socket, whose error is none of theirs.
LARGEST_PORT = 65_535


class Transport:
    """Sends requests through one pooled client, its own or one that was handed in.

    Args:
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient`; it stays open at the end.
        timeouts: the time limits.
    """

    def __init__(self, *, http_client: Any = None, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._pending = PendingChunks(timeouts)
        # A client that was handed in keeps its own proxies to itself.
        proxies = Proxies() if http_client else read_proxies()
        # Concurrency is bounded by those who send, not here.
        self._lanes = None if http_client else _open_client_pool(proxies)
        self._client: Any = http_client or self._lanes
        self._module: ModuleType = module_of(http_client) if http_client else httpx
        self._translation = Translation(self._module, proxies)
        install_log_filter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, unless the client was handed in."""
        if self._lanes is not None:
            await self._lanes.aclose()

    async def send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_RESPONSE_SIZE,
    ) -> Response:
        """Send a request and read its answer to the end.

        Args:
            request: what to send.
            blocks: the body's bytes where `request.content` is a span of a source.
            largest: most bytes of the answer, decoded.

        Raises:
            ConfigurationError: the client is closed, or the URL is none that can be asked.
            NetworkError: no usable answer came.
            DecodeError: the answer is too large.
            SourceError: the blocks could not be read.
        """
        self._check_open()
        request_id, limits = _id_of(request), self._limits()
        is_chunk = isinstance(request.content, Span)
        async with self._pending.add(request) if is_chunk else nullcontext() as accept:
            # For a response whose head never ends; all else has limits of its own.
            with anyio.CancelScope() as scope:

                def accepted() -> None:
                    if accept is not None:
                        # httpcore looks at the limit when it begins to wait for the response.
                        limits["read"] = accept()
                    _wait_for_answer(scope, limits, self._timeouts.answer)

                if blocks is None:
                    accepted()
                body = b"" if blocks is None else RequestBody(blocks, accepted)
                build = partial(self._build, request, request_id, body, limits)
                exchange = partial(self._exchange, request, request_id, build, largest)
                return await self._translated(request, request_id, limits, exchange)
            raise _endless(request, request_id)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[StreamedResponse, None]:
        """Send a request without a span; give its answer when the head is there.

        The body is read piece by piece within the block; how long one waits for each is limited,
        how long all of them take is not. What isn't read at the end of the block never is.

        Args:
            request: what to send.

        Raises:
            ConfigurationError: the client is closed, or the URL is none that can be asked.
            NetworkError: no usable answer came; the pieces raise it too.
        """
        self._check_open()
        request_id, limits = _id_of(request), self._limits()
        translated = partial(self._translated, request, request_id, limits)
        async with self._acquire_client(request) as client:
            answer = None
            # Left before the answer is handed on, which may be closed in another task than this.
            with anyio.CancelScope() as scope:
                _wait_for_answer(scope, limits, self._timeouts.answer)

                async def begin() -> Any:
                    return await self._begin(client, self._build(request, request_id, b"", limits))

                answer = await translated(begin)
            if answer is None:
                raise _endless(request, request_id)
            # A hook of the client that was handed in may have read it.
            raw = answer.aiter_bytes() if answer.is_stream_consumed else answer.aiter_raw()
            try:
                yield StreamedResponse(
                    head=_response(answer, request, request_id, b""),
                    body=ResponseBody(raw, translated),
                    is_delimited=is_delimited(answer.http_version, answer.headers),
                )
            finally:
                with redact_logs(request, *self._translation.proxy_secrets):
                    await _close(answer, raw)

    def _acquire_client(self, request: Request) -> AbstractAsyncContextManager[Any]:
        """Lend a client for one request; that which was handed in carries them all."""
        return (
            nullcontext(self._client)
            if self._lanes is None
            else self._lanes.acquire(request.origin)
        )

    def _check_open(self) -> None:
        if self._client.is_closed:
            raise ConfigurationError("the client is closed; send within its `async with` block")

    def _build(
        self,
        request: Request,
        request_id: str,
        blocks: AsyncIterable[bytes | memoryview] | bytes,
        limits: dict[str, float],
    ) -> Any:
        """Make the library's own request, without a default of the client that was handed in.

        Its keys must not reach the upload host, and its query parameters would replace the token.
        """
        defaults = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}
        headers = merge_headers(defaults, request.headers, {"X-Request-ID": request_id})
        url = self._module.URL(request.url)
        if url.port is not None and url.port > LARGEST_PORT:
            raise self._module.InvalidURL(f"the port is {url.port}; wanted at most {LARGEST_PORT}")
        content: Any = request.content
        if not isinstance(request.content, bytes):
            headers["Content-Length"] = str(request.content.size)
            content = blocks
        return self._module.Request(
            request.method,
            url,
            headers=headers,
            content=content,
            extensions={"timeout": limits, "trace": self._prepare_connection},
        )

    def _limits(self) -> dict[str, float]:
        limits = {"connect": self._timeouts.connect, "pool": self._timeouts.connect}
        return limits | {"read": self._timeouts.stall, "write": self._timeouts.stall}

    async def _prepare_connection(self, event: str, facts: dict[str, Any]) -> None:
        """Set up each new connection, as httpcore's `trace` extension reports it."""
        if event.endswith("connect_tcp.complete"):
            sock = facts["return_value"].get_extra_info("socket")
            if sock is not None:
                tune_socket(sock, dead_after=self._timeouts.stall)
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            watch_stream(facts["return_value"])

    async def _exchange(
        self, request: Request, request_id: str, build: Callable[[], Any], largest: int
    ) -> Response:
        size = request.span.size
        watching = watching_for_response(size) if size else nullcontext()
        async with self._acquire_client(request) as client, watching:
            answer = await self._begin(client, build())
            try:
                content = await self._read(answer, largest, request)
            except (DecodeError, self._module.RequestError):
                if not size or answer.status_code <= HTTPStatus.BAD_REQUEST:
                    raise
                # The status says enough, except for 400. A server that refuses a body may reset the
                # connection before its explanation has arrived.
                content = b""
            finally:
                await _close(answer)
        return _response(answer, request, request_id, content)

    async def _begin(self, client: Any, built: Any) -> Any:
        """Send a request; give the library's own answer, the body of which isn't read."""
        try:
            return await client.send(built, stream=True, auth=None, follow_redirects=False)
        except self._module.HTTPStatusError as error:
            # Raised by a hook of the client that was handed in; the answer is one all the same.
            return error.response

    async def _translated(
        self,
        request: Request,
        request_id: str,
        limits: dict[str, float],
        work: Callable[[], Awaitable[T]],
    ) -> T:
        """Let the library do something for a request, and say in our words what goes wrong."""
        try:
            with redact_logs(request, *self._translation.proxy_secrets):
                return await work()
        except self._translation.kinds as error:
            translated, cause = self._translation.translate(error, request, request_id, limits)
        except RuntimeError as error:
            if not self._client.is_closed:
                raise
            raise ConfigurationError(f"the client was closed under {request.place}") from error
        try:
            # Here the library's exception isn't the context of one that doesn't name it as cause.
            raise translated from cause
        finally:
            # This frame and the errors would hold each other.
            del translated, cause

    async def _read(self, answer: Any, largest: int, request: Request) -> bytes:
        if answer.is_stream_consumed:
            # By a hook of the client that was handed in, or by a transport that has no network.
            check_size(answer.content, largest, request)
            return bytes(answer.content)
        if answer.is_closed:
            return b""  # by a hook that raised
        deadline = time.monotonic() + self._timeouts.answer
        coding = answer.headers.get("content-encoding", "").strip().lower()
        gzipped = GzipDecoder() if coding in {"gzip", "x-gzip"} else None
        body = bytearray()
        try:
            async for piece in answer.aiter_raw():
                body += gzipped.decode(piece, largest + 1 - len(body)) if gzipped else piece
                check_size(body, largest, request)
                if time.monotonic() > deadline:
                    raise self._module.ReadTimeout("the answer trickles")
            if gzipped:
                gzipped.finish()
            return bytes(body)
        except zlib.error as error:
            raise self._module.DecodingError(f"its gzip is broken: {error}") from error
        finally:
            # An error that somebody keeps would keep it too.
            body.clear()


def _open_client_pool(proxies: Proxies) -> ClientPool:
    """Make lanes whose clients share what takes time to be read, the certificates.

    Raises:
        ConfigurationError: the environment names a proxy, or certificates, that can't be used.
    """
    context = load_tls(httpx.create_ssl_context)

    known = {proxy: _open_proxy(proxy) for proxy in proxies.by_scheme.values()}

    def make(origin: str) -> httpx.AsyncClient:
        proxy = proxies.find(origin)
        return httpx.AsyncClient(
            verify=context,
            proxy=known[proxy] if proxy else None,
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
            follow_redirects=False,
            trust_env=False,
        )

    return ClientPool(make, keepalive=KEEPALIVE_SECONDS)


def _open_proxy(proxy: Proxy) -> httpx.Proxy:
    """Make the library's own proxy, with which clients can be made.

    Raises:
        ConfigurationError: there are none for it.
    """
    context = None
    if proxy.scheme == "https":
        # As httpcore would make it at each connection: the certificates of certifi and the system.
        context = load_tls(partial(httpx.create_ssl_context, trust_env=False))
        context.load_default_certs()
    try:
        opened = httpx.Proxy(proxy.url, auth=proxy.auth, ssl_context=context)
        httpx.AsyncHTTPTransport(proxy=opened, verify=False)
    except ImportError as error:
        raise unusable(proxy.variable, "SOCKS needs the package httpx[socks]") from error
    except (ValueError, httpx.InvalidURL):
        pass  # raised below, without its cause, which quotes the URL
    else:
        return opened
    raise unusable(proxy.variable, "httpx can't read it")


def _wait_for_answer(
    scope: anyio.CancelScope, limits: dict[str, float], answer_seconds: float
) -> None:
    """Begin to count the time that the whole answer may take."""
    now = anyio.current_time()
    scope.deadline = now + limits["connect"] + limits["read"] + answer_seconds


async def _close(answer: Any, raw: Any = None) -> None:
    # Shielded: a connection that isn't handed back is lost for the pool.
    with anyio.CancelScope(shield=True):
        await answer.aclose()
        if raw is not None:
            # The library's generator, which would stay suspended where it was left.
            await raw.aclose()


def _response(answer: Any, request: Request, request_id: str, body: bytes) -> Response:
    return Response(
        status=answer.status_code,
        headers={name.lower(): value for name, value in answer.headers.items()},
        body=body,
        place=request.place,
        request_id=request_id,
        secrets=request.secrets,
    )


def _id_of(request: Request) -> str:
    names = (name for name in request.headers if name.lower() == "x-request-id")
    return request.headers.get(next(names, "")) or uuid.uuid4().hex


def _endless(request: Request, request_id: str) -> TimedOut:
    return TimedOut(f"the answer doesn't end ({request.place})", request_id=request_id)
