"""The FILE arguments as sources: paths, and standard input for "-".

Each argument becomes an object of its own, so that two arguments naming one file are told apart.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from livepeer_async.errors import SourceNotReadable

STANDARD_INPUT = "-"
_DESCRIPTOR = 0
_PIECE = 1024 * 1024
_PIECES_AHEAD = 4


class FilePath:
    """A path of the command line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path

    def measure(self) -> int | None:
        """Give the file's size in bytes, `None` where it is no file or can't be seen."""
        try:
            status = Path(self._path).stat()
        except (OSError, ValueError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None


class StandardInput:
    """The bytes of standard input, as an async iterable of pieces.

    A thread of its own reads ahead, one that the interpreter doesn't wait for at its end: a read
    from a pipe can't be interrupted, and anyio's and asyncio's worker threads are waited for.

    Args:
        on_read: told the bytes read so far.
    """

    name = "stdin"

    def __init__(self, on_read: Callable[[int], None]) -> None:
        self._on_read = on_read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        send, receive = anyio.create_memory_object_stream[bytes | OSError](_PIECES_AHEAD)
        room = threading.Semaphore(_PIECES_AHEAD)
        arguments = asyncio.get_running_loop(), send, room
        threading.Thread(target=_read_all, args=arguments, daemon=True).start()
        read = 0
        with send, receive:
            while piece := await receive.receive():
                room.release()
                if isinstance(piece, OSError):
                    raise SourceNotReadable(
                        f"standard input can't be read: {piece.strerror}", source=self.name
                    ) from piece
                read += len(piece)
                self._on_read(read)
                yield piece


def _read_all(
    loop: asyncio.AbstractEventLoop,
    send: MemoryObjectSendStream[bytes | OSError],
    room: threading.Semaphore,
) -> None:
    """Hand pieces over to the event loop until the input ends, with an empty one at the end."""
    # The loop may be closed while a read waits: then nobody wants the piece.
    with suppress(RuntimeError):
        while True:
            room.acquire()
            piece = _read_piece()
            loop.call_soon_threadsafe(_hand_over, send, piece)
            if not piece or isinstance(piece, OSError):
                return


def _read_piece() -> bytes | OSError:
    try:
        return os.read(_DESCRIPTOR, _PIECE)
    except OSError as error:
        return error


def _hand_over(send: MemoryObjectSendStream[bytes | OSError], piece: bytes | OSError) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        send.send_nowait(piece)


def is_typed_by_hand() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin.isatty()
