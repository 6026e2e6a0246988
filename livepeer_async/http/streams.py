"""Request and response bodies as streams, and gzip decoding with a bound.

The iterators are classes, not generators: an interrupted request leaves nothing suspended.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from livepeer_async.errors import DecodeError
from livepeer_async.http.early_responses import body_begins
from livepeer_async.http.messages import Request, Response

# What zlib takes as the size of its window where the data is gzip's.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class StreamedResponse(Struct, frozen=True, kw_only=True):
    """An answer whose body is still to come.

    Attributes:
        head: status and headers; its body is empty.
        blocks: the body as the network brings it, in the coding that the headers name.
        is_delimited: whether the end of the body can be told from a broken connection.
    """

    head: Response
    body: AsyncIterator[bytes]
    is_delimited: bool

    def __repr__(self) -> str:
        return f"<Streamed {self.head.status} to {self.head.place}>"


class Translated(Protocol):
    """Does one step of the HTTP library's, and raises this package's errors."""

    async def __call__(self, work: Callable[[], Awaitable[bytes]], /) -> bytes:
        """Do the step."""
        ...


class ResponseBody:
    """Hand on what the HTTP library reads, with this package's errors."""

    def __init__(self, raw: AsyncIterator[bytes], translated: Translated) -> None:
        self._raw = raw
        self._translated = translated

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._translated(self._raw.__anext__)


class RequestBody:
    """The blocks of a request body; calls back once the socket has accepted the last of them."""

    def __init__(
        self, blocks: AsyncIterable[bytes | memoryview], on_accepted: Callable[[], None]
    ) -> None:
        self._blocks = aiter(blocks)
        self._on_accepted = on_accepted

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        body_begins()
        try:
            return await anext(self._blocks)
        except StopAsyncIteration:
            self._on_accepted()
            raise


def is_delimited(http_version: str, headers: Mapping[str, str]) -> bool:
    """Whether the end of an answer's body can be told from a broken connection.

    Source: RFC 9112, 6.3 and 8; a body with neither of the headers ends with its connection. From
    HTTP/2 on each body has a mark at its end.
    """
    is_old = http_version.upper().startswith("HTTP/1")
    return not is_old or "content-length" in headers or "transfer-encoding" in headers


def check_size(body: bytes | bytearray, largest: int, request: Request) -> None:
    """Refuse what is more than anybody asked for.

    Raises:
        DecodeError: the body is too large.
    """
    if len(body) > largest:
        message = f"the answer is larger than {largest} bytes ({request.place})"
        raise DecodeError(message, path="$")


class GzipDecoder:
    """Unpack an answer, never more of it than is wanted.

    The library's own decoder unpacks whatever one read of the socket brought, and 64 KiB of gzip
    can hold 64 MiB, nested twice 64 GiB. So nothing else is asked for, and what comes in another
    coding all the same is left as it is.
    """

    def __init__(self) -> None:
        self._unpacking = zlib.decompressobj(_GZIP_WINDOW)
        self._has_begun = False

    def decode(self, piece: bytes, most: int) -> bytes:
        """Unpack a piece; what is beyond `most` bytes, or behind the end, is lost."""
        self._has_begun = True
        if self._unpacking.eof:
            return b""  # zlib would keep it
        return self._unpacking.decompress(piece, most)

    def finish(self) -> None:
        """Raise where the end is missing; an answer to HEAD has no beginning either."""
        if self._has_begun and not self._unpacking.eof:
            raise zlib.error("its end is missing")
