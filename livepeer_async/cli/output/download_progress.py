"""Progress of a download: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as TaskProgress
from rich.text import Text

from livepeer_async.cli.output.bars import REFRESH_SECONDS
from livepeer_async.cli.output.console import can_draw, messages, print_note
from livepeer_async.cli.output.formatting import (
    MAX_MESSAGE_WIDTH,
    format_countdown,
    format_percent,
    format_size,
    shorten,
)
from livepeer_async.cli.output.plain import PERIOD, describe_retry
from livepeer_async.concurrency import plain_task_group
from livepeer_async.http.observers import Observer, RequestEvent, WaitEvent
from livepeer_async.http.retry import RetryEvent

NAME_WIDTH = 20
# A narrower terminal shows neither the size nor the speed.
FULL_WIDTH = 78


class DownloadProgress:
    """The progress of a download.

    Attributes:
        name: of the file.
        length: bytes; `None` if unknown.
        received: bytes that were written.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.length: int | None = None
        self.received = 0

    def summarize(self) -> str:
        """Describe the bytes in one line."""
        received = format_size(self.received)
        if not self.length:
            return f"{received} received"
        percent = format_percent(min(1.0, self.received / self.length))
        return f"{received} of {format_size(self.length)} received ({percent})"


@asynccontextmanager
async def show_download(progress: DownloadProgress) -> AsyncGenerator[Observer]:
    """Show the progress on standard error while the block runs.

    Yields:
        An observer of requests, which prints retries and long waits.
    """
    console = messages()
    if not can_draw(console):
        async with plain_task_group() as tasks:
            tasks.start_soon(_print_lines, progress)
            yield partial(_print_event, print_note)
            tasks.cancel_scope.cancel()
        return
    columns = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=None)]
    if console.width >= FULL_WIDTH:
        columns += [DownloadColumn(binary_units=True), TransferSpeedColumn()]
    bar = TaskProgress(
        *columns,
        TimeRemainingColumn(compact=True),
        console=console,
        auto_refresh=False,
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task(shorten(progress.name, NAME_WIDTH), total=progress.length)

    async def draw() -> None:
        while True:
            bar.update(task, completed=progress.received, total=progress.length, refresh=True)
            await anyio.sleep(REFRESH_SECONDS)

    with bar:
        async with plain_task_group() as tasks:
            tasks.start_soon(draw)
            # The bar's own console, which prints above the bar.
            yield partial(_print_event, lambda message: bar.console.print(Text(message)))
            tasks.cancel_scope.cancel()


async def _print_lines(progress: DownloadProgress) -> None:
    while True:
        await anyio.sleep(PERIOD)
        print_note(progress.summarize())


def _print_event(print_message: Callable[[str], None], event: RequestEvent) -> None:
    message = ""
    if isinstance(event, RetryEvent):
        message = describe_retry(event)
    elif isinstance(event, WaitEvent) and event.seconds:
        message = f"{event.reason} for {format_countdown(event.seconds)}"
    if message:
        print_message(shorten(message, MAX_MESSAGE_WIDTH))
