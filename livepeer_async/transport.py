"""The one door to the network, and the only file that knows httpx.

In comes a `Request` (and, for a chunk, an iterator of its blocks); out comes a `Response` that was
read to its end, or a `Streamed` that wasn't begun, or a `NetworkError`. No redirect is followed, no
key is added, nothing is retried.

It also takes a client of httpx2, the maintained fork with the same interface: exceptions are found
through the module that the client's class comes from.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
import uuid
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx
from msgspec import Struct

from livepeer_async.bodies import Pieces, Streamed, Watched, check_size, is_delimited
from livepeer_async.certificates import load_tls
from livepeer_async.errors import ConfigurationError, TimedOut
from livepeer_async.gzipped import Gzipped
from livepeer_async.lanes import Lanes
from livepeer_async.library_logs import keep_secrets_out_of_logs as _keep_secrets_out_of_logs
from livepeer_async.library_logs import sending
from livepeer_async.messages import Request, Response
from livepeer_async.proxies import Proxies, Proxy, read_proxies, unusable
from livepeer_async.translation import Translation, module_of
from livepeer_async.version import __version__

T = TypeVar("T")

USER_AGENT = f"livepeer-async/{__version__}"

# Studio closes a connection that idles for 5 s; one that is closed under a request is a setback.
KEEPALIVE_SECONDS = 4.0
# A list of 1,000 assets, the most that the server gives, is about 2 MiB. Of an answer of this size
# that holds nothing but the shortest assets the decoder makes values of 200 MiB.
LARGEST_ANSWER = 16 * 1024 * 1024
# The libraries take any number and leave its refusal to the socket, whose error is none of theirs.
LARGEST_PORT = 65_535
# Bytes that the kernel takes beyond those on their way: what it takes counts as sent, for progress
# and for the rate that slots are judged by.
UNSENT = 1024 * 1024
# Linger, for 0 seconds.
_AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Timeouts(Struct, frozen=True, kw_only=True):
    """Time limits of the network, in seconds.

    Attributes:
        connect: for a connection, TLS included.
        stall: without a block accepted, or without an answer, or between two pieces of it. It is
            no limit of the whole: a chunk may take as long as blocks keep moving.
        answer: for the whole answer to a call of the API, from the request's last byte.
    """

    connect: float = 15.0
    stall: float = 30.0
    answer: float = 120.0

    def __post_init__(self) -> None:
        if not all(limit > 0 for limit in (self.connect, self.stall, self.answer)):
            raise ConfigurationError("Timeouts: connect, stall and answer must be above 0 seconds")


class Transport:
    """Sends requests through one pooled client, its own or one that was handed in.

    Args:
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient`; it stays open at the end.
        timeouts: the time limits.
    """

    def __init__(self, *, http_client: Any = None, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        # A client that was handed in keeps its own proxies to itself.
        proxies = Proxies() if http_client else read_proxies()
        # Concurrency is bounded by those who send, not here.
        self._lanes = None if http_client else _open_lanes(proxies)
        self._client: Any = http_client or self._lanes
        self._module: ModuleType = module_of(http_client) if http_client else httpx
        self._translation = Translation(self._module, proxies, stall=timeouts.stall)
        _keep_secrets_out_of_logs()

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
        largest: int = LARGEST_ANSWER,
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
        # The outer limit is for an answer whose head never ends; all else has limits of its own.
        with anyio.CancelScope() as scope:
            wait_for_answer = partial(_wait_for_answer, scope, limits, self._timeouts.answer)

            async def exchange() -> Response:
                body: AsyncIterable[bytes | memoryview] | bytes = b""
                if blocks is None:
                    wait_for_answer()
                else:
                    body = Watched(blocks, limits, wait_for_answer)
                async with self._lend(request) as client:
                    answer = await self._begin(
                        client, self._build(request, request_id, body, limits)
                    )
                    try:
                        content = await self._read(answer, largest, request)
                    finally:
                        await _close(answer)
                return _response(answer, request, request_id, content)

            return await self._translated(request, request_id, exchange)
        raise _endless(request, request_id)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Streamed, None]:
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
        translated = partial(self._translated, request, request_id)
        async with self._lend(request) as client:
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
                yield Streamed(
                    head=_response(answer, request, request_id, b""),
                    pieces=Pieces(raw, translated),
                    is_delimited=is_delimited(answer.http_version, answer.headers),
                )
            finally:
                with sending(request, *self._translation.proxy_secrets):
                    await _close(answer, raw)

    def _lend(self, request: Request) -> AbstractAsyncContextManager[Any]:
        """Lend a client for one request; that which was handed in carries them all."""
        return (
            nullcontext(self._client) if self._lanes is None else self._lanes.lend(request.origin)
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
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "User-Agent": USER_AGENT,
            "X-Request-ID": request_id,
            **request.headers,
        }
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
            extensions={"timeout": limits, "trace": _reset_on_close},
        )

    def _limits(self) -> dict[str, float]:
        limits = {"connect": self._timeouts.connect, "pool": self._timeouts.connect}
        return limits | {"read": self._timeouts.stall, "write": self._timeouts.stall}

    async def _begin(self, client: Any, built: Any) -> Any:
        """Send a request; give the library's own answer, the body of which isn't read."""
        try:
            return await client.send(built, stream=True, auth=None, follow_redirects=False)
        except self._module.HTTPStatusError as error:
            # Raised by a hook of the client that was handed in; the answer is one all the same.
            return error.response

    async def _translated(
        self, request: Request, request_id: str, work: Callable[[], Awaitable[T]]
    ) -> T:
        """Let the library do something for a request, and say in our words what goes wrong."""
        try:
            with sending(request, *self._translation.proxy_secrets):
                return await work()
        except self._translation.kinds as error:
            translated, cause = self._translation.translate(error, request, request_id)
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
        gzipped = Gzipped() if coding in {"gzip", "x-gzip"} else None
        body = bytearray()
        try:
            async for piece in answer.aiter_raw():
                body += gzipped.unpack(piece, largest + 1 - len(body)) if gzipped else piece
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


def _open_lanes(proxies: Proxies) -> Lanes:
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

    return Lanes(make, keepalive=KEEPALIVE_SECONDS)


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


async def _reset_on_close(event: str, facts: dict[str, Any]) -> None:
    """Let connections be closed by a RST, which goes ahead of what the send buffer still holds.

    A FIN stands behind it: of a chunk that is given up the rest would arrive while, or after, its
    successor does, and the server would take both. A whole answer was read of whatever else is
    closed, so that nothing is lost.
    """
    if event != "connection.connect_tcp.complete":
        return
    sock = facts["return_value"].get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


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
    return request.headers.get("X-Request-ID") or uuid.uuid4().hex


def _endless(request: Request, request_id: str) -> TimedOut:
    return TimedOut(f"the answer doesn't end ({request.place})", request_id=request_id)
