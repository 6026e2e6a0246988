"""Hands out the rows of an ingestion to the workers of a Dask cluster.

Dask may run a batch twice; the claims in the journal keep its rows from being uploaded twice.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup
from distributed import Client
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker
from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.client import AsyncLivepeer
from livepeer_async.concurrency import Notifier, plain_task_group
from livepeer_async.errors import (
    ClusterError,
    ConfigurationError,
    JournalError,
    LivepeerError,
    TooManyOpenFiles,
)
from livepeer_async.ingest.cluster.messages import TOPIC, Batch, Outcome, Refusal, seal, to_worker
from livepeer_async.ingest.cluster.rows import (
    MAX_ROWS,
    WINDOW,
    PendingRow,
    RowGroup,
    RowQueue,
    find_other_hosts,
)
from livepeer_async.ingest.cluster.settings import describe_run, share_rate
from livepeer_async.ingest.cluster.tracker import RowTracker
from livepeer_async.ingest.cluster.worker import run_batch
from livepeer_async.ingest.cluster.workers import WorkerPool, connect, lost
from livepeer_async.ingest.events import Event, RowEnded
from livepeer_async.ingest.row_worker import RowOptions
from livepeer_async.ingest.rows import Row
from livepeer_async.scheduling.throttle import Throttle

# Errors that concern the process that had them.
_WORKER_ERRORS = (ConfigurationError, JournalError, TooManyOpenFiles, ClusterError)


class RunningGroup(Struct, eq=False):
    """Rows that workers have.

    Attributes:
        group: the rows.
        workers: addresses of the workers that may run them.
        scope: ends the wait for their outcome.
    """

    group: RowGroup
    workers: list[str]
    scope: anyio.CancelScope


class ClusterRun:
    """Runs the rows of an ingestion on a cluster.

    Args:
        livepeer: the client of the coordinator, whose account, journal and limits workers use.
        client: a client of the cluster; the run has a connection of its own.
        options: the options of all rows.
        outage_timeout: as for `ingest`.

    Raises:
        ConfigurationError: there is no journal, or `client` isn't a connected client of a cluster.
    """

    def __init__(
        self, livepeer: AsyncLivepeer, client: Any, options: RowOptions, *, outage_timeout: float
    ) -> None:
        if not isinstance(client, Client):
            kind = type(client).__name__
            raise ConfigurationError(f"cluster is a {kind}; wanted a distributed.Client")
        scheduler: Any = client.scheduler
        if scheduler is None:
            raise ConfigurationError("cluster isn't connected; use the Client inside its block")
        self._address: str = scheduler.address
        self._security = client.security
        self._on_progress = options.on_progress
        self._throttle = livepeer.throttle
        self._run = describe_run(livepeer, options, outage_timeout)
        self._journal = livepeer.journal
        self._queue = RowQueue()
        self._running: dict[str, RunningGroup] = {}
        self._changed = Notifier()
        self._stopping = anyio.Event()
        self._tracker: RowTracker | None = None

    def stop(self) -> None:
        """Hand out no more rows, and let the workers finish the chunks in flight."""
        self._stopping.set()
        self._changed.notify()

    def unfinished(self) -> list[RowEnded]:
        """Return the events of the rows that were started and haven't ended."""
        return self._tracker.unfinished() if self._tracker is not None else []

    async def run(
        self,
        rows: AsyncGenerator[list[Row], None],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Run rows on the workers.

        Args:
            rows: the rows; some are read ahead.
            send: receives the events.

        Raises:
            ClusterError: the scheduler is gone, or no worker can be used.
            LivepeerError: an error that ends the run, such as a wrong API key.
        """
        self._tracker = self._rows = RowTracker(self._run.id, send, self._on_progress)
        if self._journal is not None:
            self._run = replace(self._run, journal_id=await self._journal.identify())
        connecting = connect(self._address, self._security)
        async with aclosing(rows), _without_rate(self._throttle), connecting as client:
            self._client = client
            self._pool = WorkerPool(
                client, self._address, notify=self._rows.notify, on_change=self._handle_change
            )
            client.subscribe_topic(TOPIC, self._rows.receive)
            async with plain_task_group() as tasks:
                tasks.start_soon(self._pool.watch, seal(self._run))
                tasks.start_soon(self._rows.follow)
                tasks.start_soon(self._announce_stop)
                async with plain_task_group() as running:
                    await self._hand_out(rows, running)
                tasks.cancel_scope.cancel()

    def _handle_change(self) -> None:
        """Give up waiting for groups whose workers are gone, and hand out more."""
        threads = self._pool.threads
        for running in list(self._running.values()):
            if not any(address in threads for address in running.workers):
                running.scope.cancel()
        self._changed.notify()

    async def _announce_stop(self) -> None:
        await self._stopping.wait()
        self._rows.is_stopping = True
        await self._client.scheduler.event_set(name=self._run.stop_event)

    async def _hand_out(self, rows: AsyncGenerator[list[Row], None], tasks: TaskGroup) -> None:
        is_read = False
        while not self._stopping.is_set():
            threads = sum(self._pool.threads.values())
            free = WINDOW * threads - len(self._running)
            if free > 0:
                while not is_read and len(self._queue) < MAX_ROWS * WINDOW * threads:
                    is_read = not await self._read(rows)
                group = self._queue.take(anyio.current_time(), max(free, threads))
                if group is not None:
                    self._start(group, tasks)
                    continue
            if is_read and not self._queue and not self._running:
                return
            delay = self._queue.due - anyio.current_time()
            with anyio.move_on_after(max(delay, 0.0)):
                await self._changed.wait()

    async def _read(self, rows: AsyncGenerator[list[Row], None]) -> bool:
        """Read rows; return whether there are more."""
        batch = await anext(rows, None)
        for row in batch or ():
            self._queue.add(self._rows.add(row))
        return batch is not None

    def _start(self, group: RowGroup, tasks: TaskGroup) -> None:
        key = f"livepeer-async-{uuid4().hex}"
        usable = self._pool.threads
        allowed = [it for it in group.workers or usable if it in usable] or list(usable)
        for pending in group.rows:
            pending.is_missing, pending.error = False, None
        self._running[key] = running = RunningGroup(group, allowed, anyio.CancelScope())
        tasks.start_soon(self._run_group, key, running)

    async def _run_group(self, key: str, running: RunningGroup) -> None:
        outcome: Outcome | Refusal | None = None
        try:
            with running.scope:
                outcome = await self._submit(key, running)
            await self._rows.apply_all()
            await self._rows.end_halt(key)
            await self._settle(running.group, outcome)
        finally:
            del self._running[key]
            self._changed.notify()

    async def _submit(self, key: str, running: RunningGroup) -> Outcome | Refusal:
        run = share_rate(self._run, len(self._pool.threads))
        rows = [to_worker(it.row, it.number, _source_of(it.row)) for it in running.group.rows]
        future = self._client.submit(
            run_batch,
            seal(Batch(key=key, run=run, rows=rows)),
            key=key,
            workers=running.workers,
            pure=False,
            retries=0,
        )
        try:
            outcome: Outcome | Refusal = pickle.loads(await future)  # noqa: S301 - as Dask does
        except FutureCancelledError as error:
            raise lost(self._address) from error
        except KilledWorker:
            return Refusal(
                ClusterError(
                    f"{len(rows)} rows were given up, because each worker that ran them ended; "
                    "look at the workers' memory and logs"
                )
            )
        except Exception as error:
            raise ClusterError(
                f"rows can't be sent to the workers ({type(error).__name__}); install the same "
                "versions of livepeer-async and Dask on the scheduler and all workers"
            ) from error
        finally:
            future.release()
        return outcome

    async def _settle(self, group: RowGroup, outcome: Outcome | Refusal | None) -> None:
        """Report the rows that have ended, and hand out the others again."""
        if isinstance(outcome, Outcome):
            await self._look_elsewhere(outcome)
            if outcome.error is not None:
                await self._handle_error(outcome.worker, outcome.error)
        elif outcome is not None:
            for pending in group.rows:
                await self._rows.finish(pending, pending.unfinished(outcome.error))
        returned = [it for it in group.rows if it in self._rows and not it.is_missing]
        if returned and not self._stopping.is_set():
            # Without an outcome, the worker is gone, and with an error, it is excluded.
            is_returned = isinstance(outcome, Outcome) and outcome.error is None
            await self._hand_out_again(returned, is_returned=is_returned)

    async def _hand_out_again(self, returned: list[PendingRow], *, is_returned: bool) -> None:
        groups: dict[float, list[PendingRow]] = {}
        is_shared = self._run.machine is None
        for pending in returned:
            delay = pending.return_unfinished(is_shared=is_shared) if is_returned else 0.0
            if delay is None:
                await self._rows.finish(pending, pending.unfinished(pending.error))
            else:
                await self._rows.defer(pending)
                groups.setdefault(delay, []).append(pending)
        for delay, rows in groups.items():
            self._queue.add_again(RowGroup(rows, due=anyio.current_time() + delay))

    async def _look_elsewhere(self, outcome: Outcome) -> None:
        """Hand out rows whose file is missing on a worker to the workers of another host."""
        elsewhere: dict[tuple[str, ...], list[PendingRow]] = {}
        for number in outcome.missing:
            pending = self._rows.find(number)
            if pending is None:
                continue
            pending.missed = pending.missed | {
                outcome.worker: self._pool.hosts.get(outcome.worker, outcome.worker)
            }
            others = find_other_hosts(pending.missed, self._pool.usable_hosts)
            pending.is_missing = True
            if others:
                elsewhere.setdefault(tuple(others), []).append(pending)
            else:
                await self._rows.finish(pending, pending.not_found(_source_of(pending.row)))
        for workers, rows in elsewhere.items():
            self._queue.add_again(RowGroup(rows, workers=list(workers)))

    async def _handle_error(self, worker: str, error: LivepeerError) -> None:
        """Exclude a worker, or end the run.

        Raises:
            LivepeerError: other workers would have the same error.
        """
        if not isinstance(error, _WORKER_ERRORS):
            raise error
        await self._pool.exclude(worker, error)


@asynccontextmanager
async def _without_rate(throttle: Throttle) -> AsyncGenerator[None, None]:
    """Take no share of the maximum rate: this process uploads nothing."""
    rate, throttle.max_rate = throttle.max_rate, None
    try:
        yield
    finally:
        throttle.max_rate = rate


def _source_of(row: Row) -> str:
    return row.source if row.is_url else os.path.abspath(row.source)  # noqa: PTH100
