"""Request and response bodies as streams, and gzip decoding with a size limit.

The iterators are classes instead of generators: an interrupted request leaves none suspended.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from msgspec import Struct

from livepeer_async.errors import ConnectionBroken, DecodeError
from livepeer_async.http.early_responses import start_body
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.observers import Watch

# zlib's window size that selects the gzip format.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class ThreadBody(Protocol):
    """A request body that a worker thread can read."""

    def read(self, size: int) -> memoryview:
        """Return at most `size` bytes, valid until the next call; none at the end.

        This method and `check` are called in the worker thread, the others in the event loop.
        """
        ...

    def check(self) -> None:
        """Raise an error if no byte may be sent any more; called before each part is sent.

        A machine may have slept since the block was read.
        """
        ...

    def record_sent(self, count: int) -> None:
        """Record that the socket has accepted `count` bytes so far."""
        ...

    def record_end(self) -> None:
        """Record that the socket has accepted the whole body."""
        ...


def thread_body_of(blocks: object) -> ThreadBody | None:
    """Return the body for a worker thread if blocks have one, by their method `in_thread`."""
    in_thread: Callable[[], ThreadBody | None] | None = getattr(blocks, "in_thread", None)
    return None if in_thread is None else in_thread()


class Outgoing(NamedTuple):
    """A request that is about to be sent.

    Attributes:
        request: the request.
        request_id: for `X-Request-ID`.
        limits: httpcore's timeouts, in seconds; "read" may change until the response is awaited.
        body: the bytes to send, if `request.content` is a span.
    """

    request: Request
    request_id: str
    limits: dict[str, float]
    body: RequestBody | None = None


class StreamedResponse(Struct, frozen=True, kw_only=True):
    """A response whose body is still to be read.

    Attributes:
        head: status and headers, with an empty body.
        body: the blocks of the body as received, in the coding that the headers name.
        is_delimited: whether the end of the body can be distinguished from a broken connection.
    """

    head: Response
    body: AsyncIterator[bytes]
    is_delimited: bool

    def __repr__(self) -> str:
        return f"<StreamedResponse {self.head.status} to {self.head.place}>"


class ResponseBody:
    """The blocks of a response body.

    Args:
        blocks: the HTTP library's iterator.
        call: awaits a call of the HTTP library and maps its exceptions.
    """

    def __init__(
        self,
        blocks: AsyncIterator[bytes],
        call: Callable[[Callable[[], Awaitable[bytes]]], Awaitable[bytes]],
    ) -> None:
        self._blocks = blocks
        self._call = call

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._call(self._blocks.__anext__)


class RequestBody:
    """The blocks of a request body.

    Args:
        request: the request.
        blocks: the bytes to send.
        on_accepted: called once the socket has accepted the last block.
        watch: watches that the socket accepts each block.

    Attributes:
        size: bytes of the body.
    """

    def __init__(
        self,
        request: Request,
        blocks: AsyncIterable[bytes | memoryview],
        on_accepted: Callable[[], None],
        watch: Watch,
    ) -> None:
        self._request = request
        self._blocks = aiter(blocks)
        self._watch = watch
        self._on_accepted = on_accepted
        self.size = request.span.size
        self._has_begun = False
        self._error: Exception | None = None
        self._cause: BaseException | None = None

    def in_thread(self) -> ThreadBody | None:
        """Return the body for a worker thread; `None` if only the event loop can read it."""
        body = thread_body_of(self._blocks)
        return None if body is None else _WatchedThreadBody(body, self._on_accepted, self._watch)

    @contextmanager
    def keep_cause(self) -> Generator[None, None, None]:
        """Restore the cause of an error of the blocks, which httpcore 1.0.9 raises `from None`."""
        try:
            yield
        except Exception as error:
            if error is self._error and error.__cause__ is not self._cause:
                error.__cause__ = self._cause
            raise

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        if self._has_begun:
            # httpcore repeats a request whose HTTP/2 connection the server closes.
            reason = "the server closed the connection before it had the whole body"
            raise ConnectionBroken(f"{reason} ({self._request.place})")
        return self

    async def __anext__(self) -> bytes | memoryview:
        start_body()
        self._has_begun = True
        # A slow source isn't the server's silence.
        self._watch.restart(None)
        try:
            block = await anext(self._blocks)
        except StopAsyncIteration:
            self._on_accepted()
            raise
        except Exception as error:
            self._error, self._cause = error, error.__cause__
            raise
        self._watch.restart("no data accepted")
        return block


class _WatchedThreadBody:
    """A body that reports what it waits for while a worker thread sends it."""

    def __init__(self, body: ThreadBody, on_accepted: Callable[[], None], watch: Watch) -> None:
        self._body = body
        self._on_accepted = on_accepted
        self._watch = watch
        self._is_reading = False
        self._last: tuple[int, bool] | None = None

    def read(self, size: int) -> memoryview:
        self._is_reading = True
        block = self._body.read(size)
        self._is_reading = False
        return block

    def check(self) -> None:
        self._body.check()

    def record_sent(self, count: int) -> None:
        if self._last != (count, self._is_reading):
            self._last = (count, self._is_reading)
            # A slow source isn't the server's silence.
            self._watch.restart(None if self._is_reading else "no data accepted")
        self._body.record_sent(count)

    def record_end(self) -> None:
        self._body.record_end()
        self._on_accepted()


def is_delimited(http_version: str, headers: Mapping[str, str]) -> bool:
    """Whether the end of a response body can be distinguished from a broken connection.

    Source: RFC 9112, 6.3 and 8: without either header, the body ends with the connection. HTTP/2
    and later mark the end of each body.
    """
    is_http1 = http_version.upper().startswith("HTTP/1")
    return not is_http1 or "content-length" in headers or "transfer-encoding" in headers


def check_size(body: bytes | bytearray, largest: int, request: Request) -> None:
    """Check the size of a response body.

    Raises:
        DecodeError: the body is larger than `largest`.
    """
    if len(body) > largest:
        message = f"the response is larger than {largest} bytes ({request.place})"
        raise DecodeError(message, path="$")


class GzipDecoder:
    """Decodes gzip with a limit for the output.

    The HTTP library's decoder has no limit: 64 KiB of gzip, one read of the socket, can expand to
    64 MiB, or to 64 GiB if nested twice. Requests accept no other coding, and a response in another
    one isn't decoded.
    """

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(_GZIP_WINDOW)
        self._has_started = False

    def decode(self, block: bytes, max_size: int) -> bytes:
        """Decode a block; discard output beyond `max_size` and input after the end."""
        self._has_started = True
        if self._decompressor.eof:
            return b""  # zlib would keep the input
        return self._decompressor.decompress(block, max_size)

    def finish(self) -> None:
        """Check that the stream is complete; a response to HEAD has no body.

        Raises:
            zlib.error: the end is missing.
        """
        if self._has_started and not self._decompressor.eof:
            raise zlib.error("its end is missing")
