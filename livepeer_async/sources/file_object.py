"""Adapter for the caller's binary file objects, sync or async.

It tries each method instead of asking the object: objects that seek and read correctly may lack
`seekable` and `tell`, or have a wrong `size`.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from math import inf
from typing import Any, cast

import anyio
import anyio.to_thread

from livepeer_async.errors import SourceError, SourceNotReadable
from livepeer_async.redaction import redact, show_source
from livepeer_async.sources.source import (
    Bytes,
    as_bytes,
    attribute,
    check_source_length,
    source_name,
    timed_out,
)

# Bytes of one read from an object that isn't seekable.
READ_SIZE = 1024 * 1024
# Raised by objects that can't seek; TypeError if `seek` isn't a function.
_UNSUPPORTED = (AttributeError, NotImplementedError, OSError, TypeError)


class FileObject:
    """A file object; its async methods are awaited, its sync ones run in a worker thread.

    Args:
        file: the object.
        name: its name, by default its `filename` or `name`.
        timeout: seconds for each call of an async method; `None` for no limit.
    """

    def __init__(self, file: Any, name: str | None = None, *, timeout: float | None = None) -> None:
        self.file = file
        self.name = name or source_name(file)
        self._timeout = inf if timeout is None else timeout
        self._received = 0
        # Whether `seek` returns the position, like that of `io`.
        self._returns_position = False
        # Bytes that were read before the object turned out not to be rewindable.
        self._first: Bytes = b""

    async def measure(self, max_length: int | None = None) -> int | None:
        """Rewind the object and find its length; `None` if it can only be read as a stream.

        Raises:
            SourceNotReadable: it isn't at its first byte and can't be rewound, or can't be read.
            SourceTooLarge: it is longer than `max_length`.
        """
        with self._errors_translated():
            return await self._measure(max_length)

    async def compare_end(self, length: int) -> int:
        """Return 0 if the object ends at `length`, 1 if it is longer, -1 if it is shorter.

        Raises:
            SourceNotReadable: the object fails.
        """
        with self._errors_translated():
            if self._returns_position:
                end = _as_position(await self._call("seek", 0, os.SEEK_END)) or 0
                return (end > length) - (end < length)
            await self._seek(length - 1)
            return len(await self._read(1)) - 1 or len(await self._read(1))

    async def read_at(self, position: int, size: int) -> Bytes:
        """Read at most `size` bytes from a position on; none at the end.

        Raises:
            SourceNotReadable: the object fails, seeks to another position, or returns no bytes.
        """
        with self._errors_translated():
            await self._seek(position)
            return (await self._read(size))[:size]

    async def blocks(self) -> AsyncIterator[Bytes]:
        """Read from the current position to the end."""
        if self._first:
            yield self._first
        # A cancellation abandons the thread: the read of an idle pipe may never return.
        while block := as_bytes(await self._call("read", READ_SIZE, abandon=True), self.name):
            self._received += len(block)
            yield block

    async def _measure(self, max_length: int | None) -> int | None:
        is_moved, length = await self._find_end()
        try:
            reached = _as_position(await self._call("seek", 0))
        except Exception as error:
            if await self._is_at_start(error, is_moved=is_moved):
                return None
            raise await self._not_rewindable(describe(error)) from error
        if reached or (reached is None and await _position(self.file)):
            raise await self._not_rewindable("its seek goes to another position")
        if length is None and not await self._can_rewind():
            return None
        if length is None:
            length = await self._claimed_size() or await self._count(max_length)
        await self._seek(0)
        if (length or self._first) and not await self._read(1):
            raise await self._not_rewindable("its seek has no effect")
        return length

    async def _find_end(self) -> tuple[bool, int | None]:
        """Seek to the end; return whether the position may have changed, and the length."""
        try:
            reached = _as_position(await self._call("seek", 0, os.SEEK_END))
        except Exception as error:  # noqa: BLE001 - many objects have no `whence`
            return not isinstance(error, _UNSUPPORTED), None
        # A `seek` that always returns 0 returns a status, not a position.
        length = reached or await _position(self.file)
        if not length or not await self._has_ended():
            return True, None
        self._returns_position = bool(reached)
        return True, length

    async def _has_ended(self) -> bool:
        try:
            return not await self._read(1)
        except EOFError:  # zipfile, at the end of the last member (CPython 3.12 and 3.13)
            return True

    async def _can_rewind(self) -> bool:
        """Read the first byte and rewind; return whether that worked."""
        self._first = await self._read(1)
        try:
            await self._call("seek", 0)
        except Exception:  # noqa: BLE001 - objects that only seek forwards raise anything
            return not self._first
        return True

    async def _claimed_size(self) -> int | None:
        """Return the object's `size` if it is right."""
        size = _as_position(attribute(self.file, "size"))
        if not size:
            return None
        try:
            await self._seek(size - 1)
            has_last = bool(await self._read(1))
            return size if has_last and not await self._read(1) else None
        except Exception:  # noqa: BLE001 - objects may reject a position beyond their end
            return None

    async def _count(self, max_length: int | None) -> int:
        """Find the length by reading everything."""
        await self._seek(0)
        length = 0
        while block := await self._read(READ_SIZE):
            length += len(block)
            check_source_length(self.name, length, max_length)
        return length

    async def _is_at_start(self, error: Exception, *, is_moved: bool) -> bool:
        """Whether an object that can't be rewound may be read from its current position."""
        # Starlette's UploadFile has no `tell`; the file inside it has.
        position = await _position(self.file, attribute(self.file, "file"))
        if position is not None:
            return position == 0
        # A pipe has no position: everything that can be read is its content.
        return not is_moved and isinstance(error, _UNSUPPORTED)

    async def _not_rewindable(self, reason: str) -> SourceNotReadable:
        if attribute(self.file, "closed") is True:
            return SourceNotReadable(f"{self.name} is closed", source=self.name)
        position = await _position(self.file, attribute(self.file, "file"))
        found = "" if position is None else f"; it is at byte {position}"
        return SourceNotReadable(
            f"{self.name} can't be rewound to its first byte: {reason}{found}; wanted a file "
            "object that can seek, or one from which nothing was read yet",
            source=self.name,
        )

    async def _seek(self, position: int) -> None:
        reached = _as_position(await self._call("seek", position))
        if self._returns_position and reached != position:
            raise SourceNotReadable(
                f"{self.name} was at byte {reached} after seek({position})", source=self.name
            )

    async def _read(self, size: int) -> Bytes:
        block = as_bytes(await self._call("read", size), self.name)
        self._received += len(block)
        return block

    async def _call(self, method: str, *args: object, abandon: bool = False) -> Any:
        # A sync method is awaited to its end: its thread can't be interrupted.
        with anyio.move_on_after(self._timeout):
            return await _call(getattr(self.file, method), *args, abandon=abandon)
        raise timed_out(self.name, self._timeout, self._received)

    @contextmanager
    def _errors_translated(self) -> Generator[None, None, None]:
        try:
            yield
        except SourceError:
            raise
        except Exception as error:
            raise unreadable(self.name, error) from error


def is_file_object(source: object) -> bool:
    """Whether the source has a `read` method."""
    return callable(attribute(source, "read"))


def unreadable(name: str, error: Exception) -> SourceNotReadable:
    """Return the error for a source that failed with an error of its own."""
    # The name of a file may be a signed URL by mistake.
    name = show_source(name)
    return SourceNotReadable(f"{name!r} can't be read: {describe(error)}", source=name)


def describe(error: Exception) -> str:
    """Return an error's message, or its repr if it has none, without the secrets of a URL."""
    message = getattr(error, "strerror", None) or str(error) or repr(error)
    is_unsupported = isinstance(error, io.UnsupportedOperation)
    return redact(f"unsupported operation: {error}" if is_unsupported else message)


def _as_position(value: object) -> int | None:
    is_position = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(cast("int", value)) if is_position else None


async def _position(*files: Any) -> int | None:
    """Return the position of the first file object that has one; `None` if none has."""
    for file in files:
        try:
            position = _as_position(await _call(file.tell))
        except Exception:  # noqa: BLE001, S112 - it has no `tell`, or no position
            continue
        if position is not None:
            return position
    return None


async def _call(function: Callable[..., Any], *args: object, abandon: bool = False) -> Any:
    """Await an async method, or run a sync one in a thread.

    With `abandon`, a cancellation doesn't wait for the thread.
    """
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    result = await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=abandon)
    return await result if inspect.isawaitable(result) else result
