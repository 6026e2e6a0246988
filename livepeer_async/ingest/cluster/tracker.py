"""Tracks the rows that the workers of a run have, and reports each end once."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from msgspec.structs import replace

from livepeer_async.concurrency import Notifier
from livepeer_async.ingest.cluster.messages import RowProgress, Update, number_of
from livepeer_async.ingest.cluster.rows import PendingRow, fill_gap
from livepeer_async.ingest.events import (
    Event,
    Halted,
    Notice,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
)
from livepeer_async.ingest.rows import BadRow, Row, add_sheet_row
from livepeer_async.uploads.progress import Progress

# Updates that wait to be applied; progress is dropped beyond.
MAX_UPDATES = 1000


class RowTracker:
    """The rows of a run that haven't ended.

    A row that is handed out twice may end twice, and is reported once.

    Args:
        run: the ID of the run.
        send: receives the events.
        on_progress: called with a row and its progress.

    Attributes:
        is_stopping: whether unfinished rows have ended.
    """

    def __init__(
        self,
        run: str,
        send: Callable[[Event], Awaitable[None]],
        on_progress: Callable[[Row, Progress], None] | None,
    ) -> None:
        self._run = run
        self._send = send
        self._on_progress = on_progress
        self._rows: dict[int, PendingRow] = {}
        self._count = 0
        self._updates: deque[Update] = deque()
        self._received = Notifier()
        self._lock = anyio.Lock()
        self._halted: set[str] = set()
        self._halted_since = 0.0
        self._notices: set[str] = set()
        self.is_stopping = False

    def __contains__(self, pending: PendingRow) -> bool:
        return pending.number in self._rows

    def add(self, row: Row) -> PendingRow:
        """Track a row."""
        self._count += 1
        pending = self._rows[self._count] = PendingRow(row, self._count)
        return pending

    def find(self, number: int | None) -> PendingRow | None:
        """Return a row that hasn't ended."""
        return self._rows.get(number or 0)

    def unfinished(self) -> list[RowEnded]:
        """Return the events of the rows that were started and haven't ended."""
        rows, self._rows = self._rows, {}
        return [it.unfinished() for it in rows.values() if it.has_started]

    async def notify(self, message: str) -> None:
        """Report a fact once."""
        if message not in self._notices:
            self._notices.add(message)
            await self._send(Notice(message))

    async def finish(self, pending: PendingRow, event: RowEnded | BadRow) -> None:
        """Report the end of a row, unless that has been done."""
        if self._rows.pop(pending.number, None) is not None:
            await self._send(event)

    async def defer(self, pending: PendingRow) -> None:
        """Report that a row is handed out again."""
        error = pending.error
        if pending.is_running and error is not None:
            pending.is_running = False
            await self._send(RowDeferred(pending.row, error))

    async def end(self, event: RowEnded | BadRow) -> None:
        """Report a row that has ended, or note why it is to be handed out again."""
        pending = self.find(number_of(event))
        if pending is None:
            return
        if isinstance(event, BadRow):
            row = pending.row
            message = add_sheet_row(event.message, row.line, row.sheet_row)
            await self.finish(pending, replace(event, location=row.location, message=message))
        elif event.state is RowState.UNFINISHED and not self.is_stopping:
            pending.error = event.error
        else:
            is_earlier = event.is_earlier and not pending.has_started
            await self.finish(pending, replace(event, row=pending.row, is_earlier=is_earlier))

    async def end_halt(self, key: str) -> None:
        """Report that the server responds again, once no batch waits for it."""
        if key in self._halted:
            self._halted.discard(key)
            if not self._halted:
                await self._send(Resumed(anyio.current_time() - self._halted_since))

    def receive(self, event: tuple[float, bytes]) -> None:
        """Receive a message of the topic, which may be of another run."""
        run, body = pickle.loads(event[1])  # noqa: S301 - as Dask does itself
        if run != self._run:
            return
        update: Update = pickle.loads(body)  # noqa: S301 - as above
        if len(self._updates) >= MAX_UPDATES:
            update = Update([it for it in update.events if not isinstance(it[1], RowProgress)])
        self._updates.append(update)
        self._received.notify()

    async def follow(self) -> None:
        """Apply updates as they arrive."""
        while True:
            await self.apply_all()
            await self._received.wait()

    async def apply_all(self) -> None:
        """Apply the updates that have arrived."""
        async with self._lock:
            while self._updates:
                await self._apply(self._updates.popleft())

    async def _apply(self, update: Update) -> None:
        for key, event in update.events:
            match event:
                case Notice(message=message):
                    await self.notify(message)
                case Halted():
                    await self._start_halt(key, event)
                case Resumed():
                    await self.end_halt(key)
                case RowProgress():
                    self._apply_progress(event)
                case _:
                    await self._apply_row_event(key, event)

    def _apply_progress(self, found: RowProgress) -> None:
        pending = self.find(found.number)
        if pending is None or not pending.is_running or self._on_progress is None:
            return
        for progress in found.stages:
            for step in fill_gap(pending.progress, progress):
                self._on_progress(pending.row, step)
            pending.progress = progress

    async def _start_halt(self, key: str, event: Halted) -> None:
        if not self._halted:
            self._halted_since = anyio.current_time()
        self._halted.add(key)
        if len(self._halted) == 1:
            await self._send(event)

    async def _apply_row_event(self, key: str, event: Event) -> None:
        pending = self.find(number_of(event))
        if pending is None:
            return
        match event:
            case RowStarted():
                # The batch may have been halted in a worker that is gone.
                await self.end_halt(key)
                if not pending.is_running:
                    pending.has_started = pending.is_running = True
                    await self._send(RowStarted(pending.row))
            case RowDeferred(error=error):
                pending.error = error
                await self.defer(pending)
            case RowEnded() | BadRow():
                await self.end(event)
            case _:
                pass
