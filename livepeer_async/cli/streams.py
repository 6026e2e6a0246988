"""The standard streams, made fit for a command that runs for days.

One that is closed leads nowhere instead of being absent, so that its number goes to no journal and
no report. What standard error can't take, on a full disk or for a terminal that is gone, is lost,
and ends nothing else.
"""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any

_NAMES = ("stdin", "stdout", "stderr")


def prepare_streams() -> None:
    """Put what is missing in place, and let nothing end for what can't be written or shown."""
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(number))
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _lasting(sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name may hold what the terminal's encoding can't show.
        sys.stdout.reconfigure(errors="replace")


class _Lossy(io.FileIO):
    """A file that says it has written what it couldn't write."""

    def write(self, content: object, /) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise  # nobody reads any more, which ends a command
        except OSError:
            return len(memoryview(content))  # type: ignore[arg-type]


def _lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Lossy(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="replace", line_buffering=True
    )


def _nowhere(number: int) -> IO[Any]:
    mode = "w" if number else "r"
    opened = os.open(os.devnull, os.O_WRONLY if number else os.O_RDONLY)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return open(number, mode, encoding="utf-8", closefd=False)
