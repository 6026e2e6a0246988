"""Sends requests with a client of the HTTP library: the user's, or one for a proxy."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any
from weakref import WeakSet

from livepeer_async.http.early_responses import detect_early_response, wrap_stream
from livepeer_async.http.http2 import Http2Stream
from livepeer_async.http.messages import find_invalid_part
from livepeer_async.http.request_building import build_request
from livepeer_async.http.sockets import asyncio_transport_of, close_abandoned
from livepeer_async.http.streams import Outgoing
from livepeer_async.http.user_client import speaks_http2


class LibraryClient:
    """Wraps a client of the HTTP library.

    Args:
        client: the client.
        module: the library.
        on_connect: called with the socket of each new connection, or `None` if it has none.
        exceptions: returns the library's exceptions, for HTTP/2.
    """

    def __init__(
        self,
        client: Any,
        module: ModuleType,
        *,
        on_connect: Callable[[Any], None],
        exceptions: Callable[[], tuple[type[Exception], ...]] = tuple,
    ) -> None:
        self._client = client
        self._module = module
        self._on_connect = on_connect
        self._exceptions = exceptions
        self._speaks_http2 = speaks_http2(client)
        self._transports: WeakSet[Any] = WeakSet()

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed."""
        return bool(self._client.is_closed)

    @asynccontextmanager
    async def prepare(
        self, outgoing: Outgoing
    ) -> AsyncGenerator[Callable[[], Awaitable[Any]], None]:
        """Yield a function that sends a request and returns a response with an unread body.

        Read the body within the block.
        """
        async with AsyncExitStack() as stack:
            size = outgoing.request.span.size
            if size:
                await stack.enter_async_context(detect_early_response(size))
            http2 = None
            if self._speaks_http2:
                http2 = await stack.enter_async_context(Http2Stream(self._client))
            yield partial(self._send, outgoing, http2)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def close(self) -> None:
        """Close the sockets without awaiting, because the event loop is closed."""
        for transport in list(self._transports):
            close_abandoned(transport)

    async def _send(self, outgoing: Outgoing, http2: Http2Stream | None) -> Any:
        if self._speaks_http2 and find_invalid_part(outgoing.request):
            # h2 would send line breaks, which a gateway to HTTP/1.1 takes for the next header.
            raise self._module.LocalProtocolError("")
        extensions = {"timeout": outgoing.limits, "trace": self._prepare_connection}
        built = build_request(self._module, outgoing, extensions)
        if http2 is None:
            return await self._receive_head(built)
        send = partial(self._receive_head, built)
        return await http2.send(send, built, self._module, self._exceptions())

    async def _receive_head(self, built: Any) -> Any:
        try:
            return await self._client.send(built, stream=True, auth=None, follow_redirects=False)
        except self._module.HTTPStatusError as error:
            # A hook of a user's client has called `raise_for_status`.
            return error.response

    async def _prepare_connection(self, event: str, details: dict[str, Any]) -> None:
        """Set up each new connection that httpcore's `trace` extension reports."""
        if event.endswith("connect_tcp.complete"):
            self._on_connect(details["return_value"].get_extra_info("socket"))
            transport = asyncio_transport_of(details["return_value"])
            if transport is not None:
                self._transports.add(transport)
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            wrap_stream(details["return_value"])
