"""Chooses how progress is shown: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

from livepeer_async.cli.output.bars import show_bars
from livepeer_async.cli.output.console import messages
from livepeer_async.cli.output.ingest_status import Standing
from livepeer_async.cli.output.plain import show_lines
from livepeer_async.cli.output.progress import Board, Item


class Display(Protocol):
    """What shows progress."""

    def changed(self, item: Item) -> None:
        """Take note that an item has changed; not needed where there is a standing."""
        ...

    def note(self, sentence: str) -> None:
        """Tell something beside the progress."""
        ...

    def log(self, sentence: str) -> None:
        """Tell what bars would show."""
        ...


@asynccontextmanager
async def show(
    board: Board, *, is_json: bool = False, standing: Standing | None = None
) -> AsyncGenerator[Display]:
    """Show the progress on standard error while the block runs.

    Args:
        board: what to show.
        is_json: whether results go to standard output meanwhile; on one and the same terminal they
            would get into the bars.
        standing: of an ingestion.
    """
    console = messages()
    can_draw = console.is_terminal and not console.is_dumb_terminal
    if can_draw and not (is_json and sys.stdout.isatty()):
        with show_bars(board, standing) as bars:
            yield bars
        return
    async with show_lines(board, standing) as lines:
        yield lines
