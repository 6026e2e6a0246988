"""The one door to the network, and the only file that knows httpx.

In comes a `Request` (and, for a chunk, an iterator of its blocks); out comes a `Response` that was
read to its end, or a `NetworkError`. No redirect is followed, no key is added, nothing is retried.

It also takes a client of httpx2, the maintained fork with the same interface: exceptions are found
through the module that the client's class comes from.
"""

from __future__ import annotations

import logging
import re
import socket
import struct
import sys
import time
import uuid
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial
from types import ModuleType, TracebackType
from typing import Any, Self

import anyio
import httpx
from msgspec import Struct

from livepeer_async.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectionBroken,
    DecodeError,
    NetworkError,
    TimedOut,
)
from livepeer_async.gzipped import Gzipped
from livepeer_async.messages import REDACTED, Request, Response, redact, without_upload
from livepeer_async.version import __version__

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
# Of httpx and of its fork, where each part has a logger of its own, and of what packs headers for
# HTTP/2, which a client that is handed in may speak.
_LOGGERS = (
    *("httpx", "httpx2", "hpack.hpack", "hpack.table"),
    *(
        f"httpcore{fork}.{room}"
        for fork in ("", "2")
        for room in ("connection", "http11", "http2", "proxy")
    ),
)
# Where an upload is, and what a server wants to know its clients by, as the loggers write headers.
_PRIVATE_HEADER = re.compile(
    r"(?i)(b'(?:(?P<place>(?:content-)?location)|set-cookie)'(?:, |=)b(['\"]))"
    r"(?P<value>(?:\\.|(?!\3)[^\\])*)"
)
# Whose secrets an answer may echo into what is logged of it.
_SENDING: ContextVar[Request | None] = ContextVar("_SENDING", default=None)


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
        self._owns_client = http_client is None
        self._timeouts = timeouts
        # No bound on the pool: httpcore 1.0.9 can lose a slot for ever when a request is cancelled
        # (encode/httpcore#1093), so concurrency is bounded by those who send, not here.
        self._client = http_client or httpx.AsyncClient(
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS), follow_redirects=False
        )
        self._module = _module_of(self._client)
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
        if self._owns_client:
            # Shielded: sockets must be closed also when the caller was cancelled.
            with anyio.CancelScope(shield=True):
                await self._client.aclose()

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
        request_id = request.headers.get("X-Request-ID") or uuid.uuid4().hex
        limits = {"connect": self._timeouts.connect, "pool": self._timeouts.connect}
        limits |= {"read": self._timeouts.stall, "write": self._timeouts.stall}
        is_legal = True
        # The outer limit is for an answer whose head never ends; all else has limits of its own.
        with anyio.CancelScope() as scope:
            wait_for_answer = partial(_wait_for_answer, scope, limits, self._timeouts.answer)
            try:
                if blocks is None:
                    wait_for_answer()
                    built = self._build(request, request_id, b"", limits)
                else:
                    watched = _Watched(blocks, limits, wait_for_answer)
                    built = self._build(request, request_id, watched, limits)
                return await self._exchange(built, request, request_id, largest)
            except (self._module.InvalidURL, self._module.UnsupportedProtocol) as error:
                raise ConfigurationError(f"{request.place}: {redact(str(error))}") from error
            except (self._module.LocalProtocolError, UnicodeError):
                # Raised below, without its cause, which quotes the header's value.
                is_legal = False
            except self._module.RequestError as error:
                raise self._translate(error, request, request_id) from error
            except RuntimeError as error:
                if not self._client.is_closed:
                    raise
                raise ConfigurationError(f"the client was closed under {request.place}") from error
        if not is_legal:
            raise ConfigurationError(
                f"{request.place} can't be sent: a header holds a line break, or what isn't ASCII",
                request_id=request_id,
            )
        raise TimedOut(f"the answer doesn't end ({request.place})", request_id=request_id)

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
        port = self._module.URL(request.url).port
        if port is not None and port > LARGEST_PORT:
            raise self._module.InvalidURL(f"the port is {port}; wanted one up to {LARGEST_PORT}")
        content: Any = request.content
        if not isinstance(request.content, bytes):
            headers["Content-Length"] = str(request.content.size)
            content = blocks
        return self._module.Request(
            request.method,
            request.url,
            headers=headers,
            content=content,
            extensions={"timeout": limits, "trace": _reset_on_close},
        )

    async def _exchange(
        self, built: Any, request: Request, request_id: str, largest: int
    ) -> Response:
        body = b""
        sending = _SENDING.set(request)
        try:
            answer = await self._client.send(built, stream=True, auth=None, follow_redirects=False)
            try:
                body = await self._read(answer, largest, request)
            finally:
                await _close(answer)
        except self._module.HTTPStatusError as error:
            # Raised by a hook of the client that was handed in; the answer is one all the same.
            answer = error.response
        finally:
            _SENDING.reset(sending)
        return Response(
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=body,
            place=request.place,
            request_id=request_id,
            secrets=request.secrets,
        )

    async def _read(self, answer: Any, largest: int, request: Request) -> bytes:
        if answer.is_stream_consumed:
            # By a hook of the client that was handed in, or by a transport that has no network.
            _check_size(answer.content, largest, request)
            return bytes(answer.content)
        deadline = time.monotonic() + self._timeouts.answer
        coding = answer.headers.get("content-encoding", "").strip().lower()
        gzipped = Gzipped() if coding in {"gzip", "x-gzip"} else None
        body = bytearray()
        try:
            async for piece in answer.aiter_raw():
                body += gzipped.unpack(piece, largest + 1 - len(body)) if gzipped else piece
                _check_size(body, largest, request)
                if time.monotonic() > deadline:
                    raise self._module.ReadTimeout("the answer trickles")
            if gzipped:
                gzipped.finish()
        except zlib.error as error:
            raise self._module.DecodingError(f"its gzip is broken: {error}") from error
        return bytes(body)

    def _translate(self, error: Exception, request: Request, request_id: str) -> NetworkError:
        what = redact(str(error)).rstrip(".") or type(error).__name__
        if isinstance(error, self._module.ConnectError | self._module.ConnectTimeout):
            message = f"no connection to {request.shown_url}: {what}"
            return ConnectFailed(message, request_id=request_id)
        if isinstance(error, self._module.PoolTimeout):
            return ConnectFailed(f"no free connection for {request.place}", request_id=request_id)
        if isinstance(error, self._module.TimeoutException):
            message = f"nothing moved for {self._timeouts.stall:g} s ({request.place}): {what}"
            return TimedOut(message, request_id=request_id)
        return ConnectionBroken(f"{what} ({request.place})", request_id=request_id)


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


def _check_size(body: bytes | bytearray, largest: int, request: Request) -> None:
    if len(body) > largest:
        message = f"the answer is larger than {largest} bytes ({request.place})"
        raise DecodeError(message, path="$")


class _Watched:
    """Pass blocks on; at their end let the answer wait as long again as the sending took.

    The kernel takes megabytes before the network has carried them: on a slow link the last of them
    leave long after the last block was accepted, and an answer can't come before. httpcore looks
    at the limit when it begins to wait for the answer. A class and not a generator, so that an
    interrupted request leaves nothing suspended.
    """

    def __init__(
        self,
        blocks: AsyncIterable[bytes | memoryview],
        limits: dict[str, float],
        wait_for_answer: Callable[[], None],
    ) -> None:
        self._blocks = aiter(blocks)
        self._limits = limits
        self._wait_for_answer = wait_for_answer
        self._started = anyio.current_time()

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        try:
            return await anext(self._blocks)
        except StopAsyncIteration:
            self._limits["read"] += anyio.current_time() - self._started
            self._wait_for_answer()
            raise


def _wait_for_answer(
    scope: anyio.CancelScope, limits: dict[str, float], answer_seconds: float
) -> None:
    """Begin to count the time that the whole answer may take."""
    now = anyio.current_time()
    scope.deadline = now + limits["connect"] + limits["read"] + answer_seconds


class _RedactingFilter(logging.Filter):
    """httpx logs whole URLs, `?token=` included, at INFO (encode/httpx#2760)."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = _SENDING.get()
        text = _PRIVATE_HEADER.sub(_hide_header, record.getMessage())
        record.msg, record.args = redact(text, *(request.secrets if request else ())), ()
        return True


_REDACTING = _RedactingFilter()


def _hide_header(header: re.Match[str]) -> str:
    return header[1] + (without_upload(header["value"]) if header["place"] else REDACTED)


def _keep_secrets_out_of_logs() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_REDACTING)


async def _close(answer: Any) -> None:
    # Shielded: a connection that isn't handed back is lost for the pool.
    with anyio.CancelScope(shield=True):
        await answer.aclose()


def _module_of(client: Any) -> ModuleType:
    """Find httpx, or its fork, through the class of a client."""
    for kind in type(client).__mro__:
        module = sys.modules[kind.__module__.partition(".")[0]]
        if hasattr(module, "AsyncClient") and hasattr(module, "RequestError"):
            return module
    raise ConfigurationError(
        f"http_client is a {type(client).__name__}; wanted an httpx.AsyncClient or httpx2's"
    )
