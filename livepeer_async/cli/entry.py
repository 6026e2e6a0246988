"""The entry point: what has to be right before the first command can be read.

In comes the command line; out comes an exit status. Nothing is imported here that an extra brings,
so that a missing one ends in a sentence.
"""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

from livepeer_async.cli.extras import need
from livepeer_async.cli.streams import prepare_streams

INTERRUPTED = 130


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
    log.addHandler(_Warnings("livepeer_async.proxies"))
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
