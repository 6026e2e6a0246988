"""Progress display: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext

import anyio

from livepeer_async.cli.output.bars import REFRESH_SECONDS, Bars, draw_bars
from livepeer_async.cli.output.console import can_draw, messages
from livepeer_async.cli.output.ingest_status import IngestStatus
from livepeer_async.cli.output.plain import PlainLines
from livepeer_async.cli.output.progress import BatchProgress
from livepeer_async.concurrency import plain_task_group
from livepeer_async.http import descriptors

Display = Bars | PlainLines


@asynccontextmanager
async def show_progress(
    batch: BatchProgress, *, json: bool = False, status: IngestStatus | None = None
) -> AsyncGenerator[Display]:
    """Show progress on standard error while the block runs.

    Args:
        batch: the uploads.
        json: whether JSON is written to standard output; on the same terminal, there are no bars.
        status: the status of an ingestion.
    """
    console = messages()
    is_drawn = can_draw(console) and not (json and sys.stdout.isatty())
    period = REFRESH_SECONDS if is_drawn else 1.0
    showing = draw_bars(batch, status) if is_drawn else nullcontext(PlainLines(batch, status))
    with showing as display, _show_warnings(display):
        async with plain_task_group() as tasks:
            tasks.start_soon(_tick, display, period)
            yield display
            tasks.cancel_scope.cancel()


@contextmanager
def _show_warnings(display: Display) -> Generator[None]:
    """Print warnings about file descriptors, which no progress of an upload shows."""
    handler = _DisplayHandler(display)
    log = logging.getLogger(descriptors.__name__)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _DisplayHandler(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.print(record.getMessage())


async def _tick(display: Display, period: float) -> None:
    while True:
        await anyio.sleep(period)
        display.tick()
