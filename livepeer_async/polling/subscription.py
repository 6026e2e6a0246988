"""What one task waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from math import inf

import anyio

from livepeer_async.http.observers import current_observers
from livepeer_async.models import Asset
from livepeer_async.polling.watched_asset import WatchedAsset


class Subscription:
    """The assets that one task waits for.

    Attributes:
        watched_assets: the assets, in order; none twice.
        updated: those with an update that the task hasn't seen.
        scope: scope of the task while it waits.
        deadline: time when the first wait times out.
        observers: those of the task that waits; another task may poll for it.
    """

    __slots__ = (
        *("_is_reached", "_leader", "_woken", "deadline", "observers", "scope", "updated"),
        "watched_assets",
    )

    def __init__(
        self, watched_assets: Iterable[WatchedAsset], is_reached: Callable[[Asset], bool]
    ) -> None:
        self.watched_assets = dict.fromkeys(watched_assets)
        self.updated: dict[WatchedAsset, None] = {}
        self.scope = anyio.CancelScope()
        self.deadline = min((watched.deadline for watched in self.watched_assets), default=inf)
        self.observers = current_observers()
        self._is_reached = is_reached
        self._woken: anyio.Event | None = None
        self._leader: asyncio.Task[object] | None = None

    @property
    def is_sleeping(self) -> bool:
        """Whether its task is in `sleep`, and wasn't woken yet."""
        return self._woken is not None and not self._woken.is_set()

    async def sleep(self) -> None:
        """Sleep until `wake` is called."""
        self._woken = anyio.Event()
        try:
            await self._woken.wait()
        finally:
            self._woken = None

    @contextmanager
    def lead(self) -> Generator[None, None, None]:
        """Poll for all tasks in the block, which `wake` interrupts."""
        self._leader = asyncio.current_task()
        try:
            yield
        finally:
            self._leader = None

    def wake(self) -> None:
        """Have its task look whether its wait has ended."""
        if self._woken is not None:
            self._woken.set()
        elif self._leader not in {None, asyncio.current_task()}:
            # It may be in a request. Where it finds the update itself, it also looks itself.
            self.scope.cancel()

    def has_ended(self, watched: WatchedAsset) -> bool:
        """Whether the wait for an asset is over: it has the wanted phase, or has failed."""
        return self.is_reached(watched) or watched.failure is not None

    def is_reached(self, watched: WatchedAsset) -> bool:
        """Whether an asset has the wanted phase."""
        if watched.asset is None or watched.may_be_reprocessed:
            return False
        return self._is_reached(watched.asset)
