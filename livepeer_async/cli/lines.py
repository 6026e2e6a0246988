"""Progress for a log: a line for each change of stage, and one of all now and then.

In comes a board; out come lines on standard error, without control sequences.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from livepeer_async.cli.board import Board, Item, Stage
from livepeer_async.cli.screen import say
from livepeer_async.cli.text import (
    shorten,
    show_clock,
    show_countdown,
    show_percent,
    show_seconds,
    show_size,
)
from livepeer_async.taskgroups import plain_task_group
from livepeer_async.uploads.retry import Setback

PERIOD = 10.0
LONGEST_NAME = 60


class Lines:
    """A display for what is no terminal."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._told: dict[Item, Stage] = {}
        self._sent: dict[Item, int] = {}
        self._setbacks: dict[Item, Setback | None] = {}

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
        say(sentence)

    def summarise(self, now: float) -> str:
        """Say how far all are together."""
        board = self._board
        said = f"{board.summary()}; {show_size(board.sent)} of {show_size(board.length)} sent"
        if board.length:
            said += f" ({show_percent(board.sent / board.length)})"
        rate, left = board.per_second(now), board.seconds_left(now)
        if board.sent < board.length and rate and left is not None:
            said += f", {show_size(int(rate))}/s, {show_clock(left)} left"
        return said

    def _tell_setback(self, item: Item) -> None:
        setback = item.setback
        if setback is not None and setback is not self._setbacks.get(item):
            delay = show_countdown(setback.delay)
            self.note(f"{_name(item)}: {setback.reason}; next attempt in {delay}")
        self._setbacks[item] = setback


@asynccontextmanager
async def show_lines(board: Board) -> AsyncGenerator[Lines]:
    """Write lines while the block runs."""
    lines = Lines(board)

    async def tell_now_and_then() -> None:
        told = time.monotonic()
        while True:
            await anyio.sleep(1)
            now = time.monotonic()
            board.tick(now)
            if now - told >= PERIOD:
                told = now
                lines.note(lines.summarise(now))

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
