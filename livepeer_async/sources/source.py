"""Sources of bytes that are read by position: the interface, and bytes in memory.

`opening` creates a source from the caller's argument, `files` and `streams` have the other sources,
and `blocks` reads ahead of the sender.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import anyio.to_thread

from livepeer_async.errors import (
    ConfigurationError,
    SourceEmpty,
    SourceNotReadable,
    SourceTimedOut,
    SourceTooLarge,
)
from livepeer_async.http.messages import Span
from livepeer_async.redaction import abbreviate, redact, show_source
from livepeer_async.sources.identity import SourceIdentity

UNNAMED = "untitled"


class BinaryFile(Protocol):
    """A binary file object; its methods may be async, such as those of Starlette's `UploadFile`."""

    def read(self, size: int = ..., /) -> bytes | Awaitable[bytes]:
        """Read at most `size` bytes; none at the end."""
        ...


Bytes = bytes | bytearray | memoryview
if TYPE_CHECKING:
    # In `collections.abc` from Python 3.12 on.
    from typing_extensions import Buffer
else:
    Buffer = Bytes
SourceLike = str | os.PathLike[str] | Buffer | AsyncIterable[bytes] | BinaryFile
"""A path (`str`, `PathLike`), bytes-like, an async iterable of bytes, or a binary file object.

Every object with the buffer protocol is bytes-like, such as an array or a memory map. File objects
are rewound; one that can't be rewound and isn't at its first byte is refused.
"""


class ThreadReader(NamedTuple):
    """Functions with which a worker thread reads a source; they raise the errors of `Source`.

    Attributes:
        read: returns the bytes from a position on, at most as many as a given number; they are
            valid until the next call. None at the end.
        check: checks that the source hasn't changed.
    """

    read: Callable[[int, int], memoryview]
    check: Callable[[], None]


class Source:
    """Bytes that can be read at any position; of a stream, only those after the last `release`.

    Attributes:
        name: the file's name, or else that of the asset.
        length: bytes.
        is_stream: whether only the bytes after the last `release` can be read again.
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
            SourceError: the bytes can't be read, or changed.
        """
        raise NotImplementedError

    async def check(self) -> None:
        """Check that the source hasn't changed since it was opened.

        Raises:
            SourceChanged: it has changed.
        """

    async def identity(self) -> SourceIdentity:
        """Return the identity of the bytes, as far as it is known."""
        return SourceIdentity(length=self.length)

    async def wait_for_chunk(self, chunk: Span, *, max_seconds: float) -> None:
        """Wait until the request of a chunk may begin; `max_seconds` limits its duration."""

    def thread_reader(self) -> ThreadReader | None:
        """Return functions for a worker thread; `None` if only the event loop can read."""
        return None

    def release(self, position: int) -> None:
        """Allow the source to drop the bytes before `position`."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {abbreviate(self.name)!r}, {self.length} bytes>"


class BytesSource(Source):
    """Bytes in memory; they must not be changed during the upload."""

    def __init__(self, content: memoryview, name: str) -> None:
        super().__init__(name, content.nbytes)
        self._content = content

    async def read_into(self, position: int, buffer: memoryview) -> int:
        """Copy bytes from `position` on into the buffer."""
        found = self._content[position : position + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def thread_reader(self) -> ThreadReader:
        """Return functions for a worker thread, which need no copy of the bytes."""
        return ThreadReader(self._view, lambda: None)

    def _view(self, position: int, size: int) -> memoryview:
        return self._content[position : position + size]

    async def identity(self) -> SourceIdentity:
        """Compute the SHA-256 in a worker thread."""
        digest = await anyio.to_thread.run_sync(hashlib.sha256, self._content)
        return SourceIdentity(length=self.length, sha256=digest.hexdigest())


def check_length(length: object, name: str) -> None:
    """Check the length that a caller passes for a source with a name.

    Raises:
        SourceEmpty: it is 0.
        ConfigurationError: it isn't a number of bytes.
    """
    if length is None:
        return
    if type(length) is not int or length < 0:
        raise ConfigurationError(f"length is {abbreviate(length)!r}; wanted a number of bytes")
    if not length:
        raise SourceEmpty(f"{name} is empty: length is 0; wanted a video", source=name)


def check_source_length(name: str, length: int, max_length: int | None) -> None:
    """Reject a length that the caller forbids, or the server only after the whole upload.

    Raises:
        SourceTooLarge: `length` is above `max_length`.
    """
    if max_length is not None and length > max_length:
        raise SourceTooLarge(
            f"{name} has {length} bytes; wanted at most {max_length}",
            source=name,
            length=length,
            limit=max_length,
        )


def timed_out(name: str, timeout: float, received: int) -> SourceTimedOut:
    """Return the error for a source that yielded nothing for `timeout` seconds."""
    return SourceTimedOut(
        f"{name} yielded no byte for {timeout:g} s (source_timeout), after {received} bytes",
        source=name,
        received=received,
    )


def source_name(source: object, *, default: str | None = None) -> str:
    """Return the name of a source without opening it, or a default if it has none."""
    name = attribute(source, "filename") or attribute(source, "name")
    if isinstance(source, str):
        name = source
    elif isinstance(source, os.PathLike):
        name = os.fspath(cast("os.PathLike[str]", source))
    # File names may contain bytes that aren't UTF-8, which JSON can't represent.
    text = name.encode("utf-8", "replace").decode() if isinstance(name, str) else ""
    # Of a downloaded file it may be the URL, whose query may be a secret.
    return _last_part(show_source(text)) or default or UNNAMED


def _last_part(path: str) -> str:
    name = os.path.basename(path)  # noqa: PTH119 - a tenth of the time of `PurePath`
    return name if name.strip(".") else PurePath(path).name


def source_key(source: object) -> str | None:
    """Return the default key of a source in a journal: the absolute path; `None` if it has none.

    Raises:
        SourceNotReadable: the path is relative to a folder that was deleted.
    """
    if not isinstance(source, str | os.PathLike):
        return None
    path = os.fspath(cast("str", source))
    try:
        # Links aren't resolved: each one is a name of its own.
        return os.path.abspath(path)  # noqa: PTH100 - see above
    except OSError as error:
        message = f"{path!r} can't be found from here: {error.strerror}"
        raise SourceNotReadable(message, source=path) from error


def as_bytes(block: object, name: str) -> Bytes:
    """Return a block as bytes.

    Raises:
        SourceNotReadable: it is something else.
    """
    if isinstance(block, bytes | bytearray):
        return block
    view = view_of(block, name)
    if view is None:
        raise SourceNotReadable(
            f"{name} yields {type(block).__name__}; wanted bytes, from a file in binary mode",
            source=name,
        )
    return view


def view_of(source: object, name: str) -> memoryview | None:
    """Return the bytes of an object with the buffer protocol; `None` if it has none.

    Raises:
        SourceNotReadable: it was closed or released.
    """
    try:
        view = memoryview(cast("bytes", source))
    except TypeError:
        return None
    except Exception as error:
        raise SourceNotReadable(f"{name} can't be read: {redact(error)}", source=name) from error
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        # Items with gaps between them, or of a format that `cast` doesn't support, as in ctypes.
        return memoryview(view.tobytes())


def attribute(source: object, name: str) -> Any:
    """Return an attribute; `None` if it is missing or can't be read."""
    try:
        return getattr(source, name, None)
    except Exception:  # noqa: BLE001 - a property of the caller's may raise anything
        return None
