"""The standard streams, made fit for a command that runs for days.

One that is closed leads nowhere instead of being absent, so that its number goes to no journal and
no report. What standard error can't take, on a full disk or for a terminal that is gone, is lost,
and ends nothing else.
"""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any, TextIO

_NAMES = ("stdin", "stdout", "stderr")


def prepare_streams() -> None:
    """Put what is missing in place, and let nothing end for what can't be written or shown."""
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(number))
    sys.stderr = _lasting(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        # A name may hold what the terminal's encoding can't show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


class _Lossy(io.FileIO):
    """A file that says it has written what it couldn't write."""

    def write(self, content: object, /) -> int:
        try:
            # None: somebody made it non-blocking, and it is full.
            written: int | None = super().write(content)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise  # nobody reads any more, which ends a command
        except OSError:
            written = None
        return len(memoryview(content)) if written is None else written  # type: ignore[arg-type]


def _lasting(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # of a program that runs commands in its own process
    raw = _Lossy(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, line_buffering=True)


def _nowhere(number: int) -> IO[Any]:
    mode = "w" if number else "r"
    opened = os.open(os.devnull, os.O_WRONLY if number else os.O_RDONLY)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return open(number, mode, encoding="utf-8", closefd=False)
