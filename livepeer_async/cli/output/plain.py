"""Progress as plain lines on standard error, for logs.

There is a line for each change of stage, and one for the total now and then. Rows of an ingestion
get lines only when something goes wrong; its lines begin with the time of day.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from livepeer_async.cli.output.console import say
from livepeer_async.cli.output.formatting import (
    shorten,
    show_clock,
    show_countdown,
    show_percent,
    show_seconds,
    show_size,
)
from livepeer_async.cli.output.ingest_status import Standing
from livepeer_async.cli.output.progress import Board, Item, Stage
from livepeer_async.concurrency import plain_task_group
from livepeer_async.http.retry import RetryEvent

# Seconds from one line of all to the next, and where nothing has changed meanwhile.
PERIOD = 10.0
LONGEST_PERIOD = 60.0
LONGEST_NAME = 60


class Lines:
    """A display for what is no terminal.

    Args:
        board: what is told.
        standing: of an ingestion.
        now: when it begins.
    """

    def __init__(self, board: Board, standing: Standing | None = None, *, now: float = 0.0) -> None:
        self._board = board
        self._standing = standing
        self._told_at = now
        self._told_state: tuple[object, ...] = ()
        self._silence = 0.0
        self._told: dict[Item, Stage] = {}
        self._sent: dict[Item, int] = {}
        self._failures: dict[Item, RetryEvent | None] = {}

    def changed(self, item: Item) -> None:
        """Tell what is new of an item, if it is worth a line."""
        went_back = item.stage is Stage.UPLOADING and item.sent < self._sent.get(item, 0)
        self._sent[item] = item.sent
        if item.stage is Stage.READY and item.result is None:
            return  # the comparison is still to come
        if self._told.get(item) is not item.stage:
            self._told[item] = item.stage
            self.note(f"{_name(item)}: {_news(item)}")
        elif went_back:
            how = f"goes on from {show_size(item.sent)}" if item.sent else "begins again"
            self.note(f"{_name(item)}: {how}")
        self._tell_setback(item)

    def note(self, sentence: str) -> None:
        """Write a line."""
        say(f"{time.strftime('%H:%M:%S')} {sentence}" if self._standing else sentence)

    def log(self, sentence: str) -> None:
        """Write a line."""
        self.note(sentence)

    def tick(self, now: float) -> None:
        """Write what time alone brings: a line of all, and that nothing moves; call it often."""
        board, standing = self._board, self._standing
        board.tick(now)
        if standing is not None:
            self._tell_silence(standing)
        counts = standing.counts() if standing else [board.summary()]
        state = (counts, board.sent, board.moved, standing and standing.is_paused())
        if now - self._told_at >= (PERIOD if state != self._told_state else LONGEST_PERIOD):
            self._told_at, self._told_state = now, state
            self.note(summarise(board, now, standing))

    def _tell_silence(self, standing: Standing) -> None:
        # While all is halted the questions to the server are what is silent, and that is told.
        silence = standing.silence if standing.halt is None else 0.0
        if silence and not self._silence:
            self.note(
                f"nothing has moved for {show_countdown(int(silence))}: waiting for the server"
            )
        elif self._silence and not silence and standing.halt is None:
            self.note(f"the wait for the server is over, after {show_countdown(self._silence)}")
        self._silence = silence

    def _tell_setback(self, item: Item) -> None:
        retry_event = item.retry
        if retry_event is not None and retry_event is not self._failures.get(item):
            delay = show_countdown(retry_event.delay)
            self.note(f"{_name(item)}: {retry_event.reason}; next attempt in {delay}")
        self._failures[item] = retry_event


def summarise(board: Board, now: float, standing: Standing | None = None) -> str:
    """Say how far all are together."""
    said = ", ".join(standing.counts()) if standing else board.summary()
    sent, length = board.sent, board.length
    if standing is not None and standing.had_nothing_to_send:
        return f"{said}; nothing was left to send"
    if length or standing is None:
        said += f"; {show_size(sent)} of {show_size(length)} sent"
    if length:
        said += f" ({show_percent(sent / length)})"
    rate, left = board.per_second(now), board.seconds_left(now)
    if sent < length and rate and left is not None:
        said += f", {show_size(int(rate))}/s, {show_clock(left)} left"
    obstacle = standing.obstacle(now) if standing else None
    return "; ".join([said, *(obstacle or ())])


@asynccontextmanager
async def show_lines(board: Board, standing: Standing | None = None) -> AsyncGenerator[Lines]:
    """Write lines while the block runs."""
    lines = Lines(board, standing, now=time.monotonic())

    async def tell_now_and_then() -> None:
        while True:
            await anyio.sleep(1)
            lines.tick(time.monotonic())

    async with plain_task_group() as tasks:
        tasks.start_soon(tell_now_and_then)
        yield lines
        tasks.cancel_scope.cancel()


def _name(item: Item) -> str:
    return shorten(item.name, LONGEST_NAME)


def _news(item: Item) -> str:
    if item.result is None:
        size = f" {show_size(item.length)}" if item.length else ""
        return f"{item.stage}{size}" if item.stage is Stage.UPLOADING else str(item.stage)
    if item.result.error is not None:
        return "failed"  # the reason stands at the end, once
    asset = item.result.asset
    identity = f", asset {asset.id}" if asset else ""
    return f"{item.stage} after {show_seconds(item.result.seconds)}{identity}"
