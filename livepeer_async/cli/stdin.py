"""FILE arguments as sources: paths, and standard input for "-".

Each argument becomes an object of its own.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from livepeer_async.errors import SourceNotReadable

STANDARD_INPUT = "-"
_BLOCK_SIZE = 1024 * 1024
_MAX_BLOCKS_AHEAD = 4


class FilePath:
    """A path of the command line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path

    def length(self) -> int | None:
        """Return the file's size in bytes; `None` if it isn't a regular file."""
        try:
            status = Path(self._path).stat()
        except (OSError, ValueError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None


class StandardInput:
    """The bytes of standard input, as an async iterable.

    A daemon thread reads ahead. A read from a pipe can't be interrupted, and the interpreter waits
    for the worker threads of anyio and asyncio at exit.

    Args:
        on_read: called with the number of bytes read so far.
    """

    name = "stdin"

    def __init__(self, on_read: Callable[[int], None]) -> None:
        self._on_read = on_read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        blocks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
        room = threading.Semaphore(_MAX_BLOCKS_AHEAD)
        arguments = asyncio.get_running_loop(), blocks, room
        threading.Thread(target=_read_blocks, args=arguments, daemon=True).start()
        length = 0
        while block := await blocks.get():
            room.release()
            if isinstance(block, OSError):
                raise SourceNotReadable(
                    f"standard input can't be read: {block.strerror}", source=self.name
                ) from block
            length += len(block)
            self._on_read(length)
            yield block


def _read_blocks(
    loop: asyncio.AbstractEventLoop,
    blocks: asyncio.Queue[bytes | OSError],
    room: threading.Semaphore,
) -> None:
    """Put blocks into the queue until the input ends, then an empty block."""
    # The loop may be closed during a read.
    with suppress(RuntimeError):
        while True:
            room.acquire()
            block = _read_block()
            loop.call_soon_threadsafe(blocks.put_nowait, block)
            if not block or isinstance(block, OSError):
                return


def _read_block() -> bytes | OSError:
    try:
        return os.read(0, _BLOCK_SIZE)
    except OSError as error:
        return error
