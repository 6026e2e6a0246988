"""Values handed from many tasks to whoever takes them, in their order.

In come values; they come out one by one. Nothing is lost where a taker is cancelled: a value is
taken in one step. (anyio 4.16's memory streams drop one that `Task.cancel` meets on its way.)
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Handover(Generic[T]):
    """Values that wait to be taken."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[T, anyio.Event | None]] = deque()
        self._news = anyio.Event()
        self._is_over = False

    async def give(self, value: T) -> None:
        """Hand over a value, and wait until it is taken."""
        taken = anyio.Event()
        self._add(value, taken)
        await taken.wait()

    def put(self, value: T) -> None:
        """Hand over a value without waiting; something else must bound how many there are."""
        self._add(value, None)

    async def take(self) -> T:
        """Wait for the next value.

        Raises:
            anyio.EndOfStream: there is none, and none will come.
        """
        while not self._waiting:
            if self._is_over:
                raise anyio.EndOfStream
            await self._news.wait()
        value, taken = self._waiting.popleft()
        if taken is not None:
            taken.set()
        return value

    def end(self) -> None:
        """Say that no more will come."""
        self._is_over = True
        self._tell()

    def _add(self, value: T, taken: anyio.Event | None) -> None:
        self._waiting.append((value, taken))
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
