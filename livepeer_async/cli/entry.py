"""Entry point: sets up standard streams and logging, then runs the typer app.

Imports nothing from an extra: a missing one is reported with a message instead of a traceback.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import NoReturn, TextIO

from livepeer_async.cli.extras import require

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    try:
        prepare_streams()
        _configure_logging()
        require("the command line", "typer", "rich", extras="cli")
        from livepeer_async.cli.app import app  # noqa: PLC0415 - the extra may be missing

        app(prog_name="livepeer-async")
    except KeyboardInterrupt:
        # Before or after a command; commands print their own message.
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    sys.exit(0)


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


def _configure_logging() -> None:
    """Print only warnings about proxies: the display shows retries already."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("Warning: %(message)s"))
    handler.addFilter(logging.Filter("livepeer_async.http.proxies"))
    # Each client of a command logs the same warning.
    printed: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message, number = record.getMessage(), len(printed)
        printed.add(message)
        return len(printed) > number

    handler.addFilter(is_new)
    log = logging.getLogger("livepeer_async")
    log.addHandler(handler)
    log.propagate = False
