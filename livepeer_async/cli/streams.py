"""Standard streams: closed ones are replaced, and errors in writing don't end in a traceback."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

# The shell's status for a process that SIGPIPE has ended: the reader of a pipe is gone.
PIPE_CLOSED = 141
_FAILED = 1


def prepare_streams() -> None:
    """Replace closed streams, and ignore errors in writing the log."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest free descriptor is that of the closed stream: no other file gets it.
            null = os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stderr = _lossy_stream(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        # A name may have characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def flush_streams(status: int) -> int:
    """Write what is buffered; return the exit status, which shows if that failed.

    The interpreter would print a traceback for a stream that it can't flush.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _discard(stream)
            status = status or PIPE_CLOSED
        except (OSError, ValueError) as error:
            _discard(stream)
            status = status or _FAILED
            reason = getattr(error, "strerror", None) or error
            with suppress(OSError, ValueError):
                sys.stderr.write(f"Error: the output can't be written: {reason}\n")
    return status


def discard_output() -> None:
    """Discard what is written to streams whose reader has closed the pipe."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _discard(stream)


def _discard(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class _LossyFile(io.FileIO):
    """A file that drops bytes that can't be written."""

    def write(self, content: object, /) -> int:
        try:
            # None if the file is non-blocking and full.
            written: int | None = super().write(content)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise  # the reader is gone, which ends the command
        except OSError:
            written = None
        return len(memoryview(content)) if written is None else written  # type: ignore[arg-type]


def _lossy_stream(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # replaced by a program that runs commands in its own process
    raw = _LossyFile(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, line_buffering=True)
