"""Sources of bytes, read by position; and those that aren't files.

`opening` makes a source of what the caller passes, `files` has the file sources, and `blocks` reads
ahead of the sender.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import (
    SourceChanged,
    SourceError,
    SourceNotReadable,
    SourceNotReplayable,
    SourceTooLarge,
)
from livepeer_async.sources.identity import SourceIdentity

UNNAMED = "untitled"


class BinaryFile(Protocol):
    """A binary file object; its methods may be async, as those of Starlette's `UploadFile` are."""

    def read(self, size: int = ..., /) -> bytes | Awaitable[bytes]:
        """Read at most `size` bytes; none at the end."""
        ...


Bytes = bytes | bytearray | memoryview
if TYPE_CHECKING:
    # What has the buffer protocol; the name is in `collections.abc` from Python 3.12 on.
    from typing_extensions import Buffer
else:
    Buffer = Bytes
SourceLike = str | os.PathLike[str] | Buffer | AsyncIterable[bytes] | BinaryFile
"""A path (`str`, `PathLike`), bytes-like, an async iterable of bytes, or a binary file object.

What has the buffer protocol is bytes-like, such as an array or a memory map. File objects are
rewound; one that is past its first byte and can't be rewound is refused.
"""


class Source:
    """Bytes that can be read at any position; a stream only from the last `release` on.

    Attributes:
        name: the file's name, or "untitled".
        length: bytes.
        is_stream: whether only the bytes since the last `release` can be read again.
        is_replayable: whether a later upload could read the same bytes again.
    """

    is_stream = False
    is_replayable = True

    def __init__(self, name: str, length: int) -> None:
        self.name = name
        self.length = length

    @property
    def can_restart(self) -> bool:
        """Whether the first byte can be read again."""
        return True

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Read bytes from `position` on into the buffer; 0 means that the source ended.

        Raises:
            SourceError: they can't be read, or aren't what they were.
        """
        raise NotImplementedError

    async def check(self) -> None:
        """Make sure that the source is what it was at first.

        Raises:
            SourceChanged: it isn't.
        """

    async def identity(self) -> SourceIdentity:
        """Say what tells these bytes from others, as far as that can be said."""
        return SourceIdentity(length=self.length)

    def release(self, position: int) -> None:
        """Promise that no byte before `position` will be asked for again."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {self.length} bytes>"


class BytesSource(Source):
    """Bytes in memory; they must not be changed while they are sent."""

    def __init__(self, content: memoryview, name: str) -> None:
        super().__init__(name, content.nbytes)
        self._content = content

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Copy bytes from `position` on into the buffer."""
        piece = self._content[position : position + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    async def identity(self) -> SourceIdentity:
        """Make the SHA-256, in a worker thread."""
        digest = await anyio.to_thread.run_sync(hashlib.sha256, self._content)
        return SourceIdentity(length=self.length, sha256=digest.hexdigest())


class StreamSource(Source):
    """An iterable of bytes; it keeps what wasn't released yet.

    Args:
        pieces: the bytes; `pulled` makes them survive that a reader is cancelled.
        length: bytes, where they are known.
        name: by default that of `pieces`.

    Attributes:
        is_open_ended: whether the length isn't known yet; `length` is 0 until then.
    """

    is_stream = True
    is_replayable = False

    def __init__(
        self, pieces: AsyncIterable[Any], *, length: int | None, name: str | None = None
    ) -> None:
        super().__init__(name or source_name(pieces), length or 0)
        self.is_open_ended = length is None
        try:
            self._pieces = aiter(pieces)
        except Exception as error:
            raise SourceNotReadable(
                f"{self.name} can't be iterated: {error!r}", source=self.name
            ) from error
        self._kept = bytearray()
        self._kept_from = 0
        self._is_broken = False

    @property
    def can_restart(self) -> bool:
        """Whether nothing was released yet."""
        return self._kept_from == 0

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Give kept bytes, or pull the next piece.

        Raises:
            SourceNotReplayable: `position` was released.
            SourceNotReadable: the iterable broke off, or gives no bytes.
        """
        if position < self._kept_from:
            raise SourceNotReplayable(
                f"{self.name}: bytes from {position} on are wanted again, but a stream keeps only "
                f"those from {self._kept_from} on; give a file or bytes instead",
                source=self.name,
            )
        if not await self.available(position, 1):
            return 0
        start = position - self._kept_from
        found = self._kept[start : start + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    async def available(self, position: int, wanted: int) -> int:
        """Pull pieces until `wanted` bytes from `position` on are kept; give how many there are.

        While the length isn't known one byte more is pulled, to know the end with the last byte.
        """
        stop = position + wanted
        while self.end < (stop + 1 if self.is_open_ended else stop):
            if not await self._pull():
                break
        return min(self.end, stop) - position

    async def check(self) -> None:
        """Make sure, once all its bytes are there, that the stream has no more than was said."""
        if self.is_open_ended or self.end < self.length:
            return
        while self.end == self.length:
            if not await self._pull():
                return
        raise SourceChanged(
            f"{self.name} has more than the {self.length} bytes that were announced",
            source=self.name,
        )

    def release(self, position: int) -> None:
        """Forget the bytes before `position`."""
        del self._kept[: max(0, position - self._kept_from)]
        self._kept_from = max(self._kept_from, position)

    @property
    def end(self) -> int:
        """The position after the last byte that was pulled."""
        return self._kept_from + len(self._kept)

    async def _pull(self) -> bool:
        if self._is_broken:
            raise SourceNotReadable(f"{self.name} broke off earlier", source=self.name)
        # A generator that was left by an error or a cancellation looks like one that has ended.
        self._is_broken = not isinstance(self._pieces, Prefetcher)
        try:
            piece = await anext(self._pieces, None)
        except SourceError:
            self._is_broken = True
            raise
        except Exception as error:
            self._is_broken = True
            raise SourceNotReadable(
                f"{self.name} broke off: {error!r}", source=self.name
            ) from error
        self._is_broken = False
        if piece is None:
            if self.is_open_ended:
                self.is_open_ended, self.length = False, self.end
            return False
        self._kept += as_bytes(piece, self.name)
        return True


class Prefetcher:
    """The pieces of a stream, handed over by a task that nobody's cancellation reaches."""

    def __init__(self, pieces: MemoryObjectReceiveStream[Any]) -> None:
        self._pieces = pieces
        self.error: Exception | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._pieces.receive()
        except anyio.EndOfStream:
            if self.error is not None:
                raise self.error from None
            raise StopAsyncIteration from None


@asynccontextmanager
async def prefetch(pieces: AsyncIterable[Any], *, name: str) -> AsyncGenerator[Prefetcher, None]:
    """Pull a stream one piece ahead, in a task of its own.

    A reader is cancelled whenever a connection breaks. If that reached into the user's generator it
    would end it, and with it the upload, however often the connection comes back.
    """
    put, get = anyio.create_memory_object_stream[Any](0)
    handed_on = Prefetcher(get)

    async def pull() -> None:
        async with put:
            try:
                async for piece in pieces:
                    # A copy: an iterable may fill the same buffer again before this one is read.
                    await put.send(bytes(as_bytes(piece, name)))
            except Exception as error:  # noqa: BLE001 - raised where the pieces are read
                handed_on.error = error

    async with get, plain_task_group() as tasks:
        tasks.start_soon(pull)
        yield handed_on
        tasks.cancel_scope.cancel()


def check_length(name: str, length: int, max_length: int | None) -> None:
    """Refuse what the server would refuse after the whole upload.

    Raises:
        SourceTooLarge: `length` is above `max_length`.
    """
    if max_length is not None and length > max_length:
        raise SourceTooLarge(
            f"{name} has {length} bytes; the server takes at most {max_length}",
            source=name,
            length=length,
            limit=max_length,
        )


def source_name(source: object) -> str:
    """Give the name that a source goes by, without opening it."""
    name = attribute(source, "filename") or attribute(source, "name")
    if isinstance(source, str):
        name = source
    elif isinstance(source, os.PathLike):
        name = os.fspath(cast("os.PathLike[str]", source))
    # File systems allow names that are no text; JSON doesn't.
    text = name.encode("utf-8", "replace").decode() if isinstance(name, str) else ""
    return PurePath(text).name or UNNAMED


def source_key(source: object) -> str | None:
    """Give the name that an upload of a source has in a journal; only a path has one by itself.

    Raises:
        SourceNotReadable: the path begins in a folder that isn't there any more.
    """
    if not isinstance(source, str | os.PathLike):
        return None
    path = os.fspath(cast("str", source))
    try:
        # Links aren't followed: each is a name of its own.
        return os.path.abspath(path)  # noqa: PTH100 - see above
    except OSError as error:
        message = f"{path!r} can't be found from here: {error.strerror}"
        raise SourceNotReadable(message, source=path) from error


def as_bytes(piece: object, name: str) -> Bytes:
    """Take a piece for bytes.

    Raises:
        SourceNotReadable: it is something else.
    """
    if isinstance(piece, bytes | bytearray):
        return piece
    view = view_of(piece, name)
    if view is None:
        raise SourceNotReadable(
            f"{name} gives {type(piece).__name__} where bytes are wanted; open it in binary mode",
            source=name,
        )
    return view


def view_of(source: object, name: str) -> memoryview | None:
    """Return the bytes of an object that has the buffer protocol; `None` if it hasn't.

    Raises:
        SourceNotReadable: it was closed or released.
    """
    try:
        view = memoryview(cast("bytes", source))
    except TypeError:
        return None
    except Exception as error:
        raise SourceNotReadable(f"{name} can't be read: {error}", source=name) from error
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        # Items with gaps between them, or of a format that `cast` doesn't know, as in ctypes.
        return memoryview(view.tobytes())


def attribute(source: object, name: str) -> Any:
    """Return an attribute; `None` if there is none, or if it can't be had."""
    try:
        return getattr(source, name, None)
    except Exception:  # noqa: BLE001 - a property of the caller's may raise anything
        return None
