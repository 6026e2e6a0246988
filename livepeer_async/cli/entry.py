"""The entry point: sets up standard streams and logging, then runs the typer app.

Imports nothing that an extra installs, so that a missing extra ends in one sentence.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import IO, Any, NoReturn, TextIO

from livepeer_async.cli.extras import need

INTERRUPTED = 130
_NAMES = ("stdin", "stdout", "stderr")


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    try:
        _prepare()
        from livepeer_async.cli.app import app  # noqa: PLC0415 - the extra may be missing

        app(prog_name="livepeer-async")
    except KeyboardInterrupt:
        # What runs has its own sentence; this is before or after it.
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    sys.exit(0)


def _prepare() -> None:
    prepare_streams()
    # The progress tells of each setback: logged as well, it would stand on the screen twice.
    log = logging.getLogger("livepeer_async")
    log.addHandler(_Warnings("livepeer_async.http.proxies"))
    log.propagate = False
    need("the command line", "typer", "rich", extras="cli")


class _Warnings(logging.Handler):
    """Writes what a logger has to say to standard error, each sentence once.

    Args:
        name: the logger.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(logging.Filter(name))
        self._written: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, which each client of a command makes anew."""
        message = record.getMessage()
        if message not in self._written:
            self._written.add(message)
            sys.stderr.write(f"Warning: {message}\n")


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
