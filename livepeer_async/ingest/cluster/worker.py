"""Runs batches of rows in a process of a Dask worker.

Each run has one client in each process. Its API key and base URL are those of the process's
environment, and so is its journal if `LIVEPEER_JOURNAL` names one.
"""

from __future__ import annotations

import os
import pickle
import platform
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
from distributed import Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from msgspec.structs import replace

from livepeer_async.client import AsyncLivepeer
from livepeer_async.concurrency import BackgroundTasks
from livepeer_async.errors import ClusterError, LivepeerError
from livepeer_async.http.shortages import is_shortage, shortage_error
from livepeer_async.ingest.cluster.messages import (
    TOPIC,
    Batch,
    Call,
    Outcome,
    Refusal,
    RowList,
    RowProgress,
    Run,
    Update,
    number_of,
    without_row,
)
from livepeer_async.ingest.events import Checked, Event
from livepeer_async.ingest.ingestion import Ingestion, run_ingestion
from livepeer_async.ingest.rows import BadRow, RepeatedRow, Row
from livepeer_async.uploads.progress import Progress
from livepeer_async.version import __version__

T = TypeVar("T")

JOURNAL_VARIABLE = "LIVEPEER_JOURNAL"
# Seconds between two updates, and between two looks at whether a batch is still wanted.
UPDATE_INTERVAL = 2.0
WATCH_INTERVAL = 1.0
# Seconds without a batch after which the client of a run is closed.
LINGER = 30.0


async def check_worker(call: Call, dask_worker: Worker) -> bytes:
    """Open the client of a run, and read its journal.

    Returns:
        The name of the host, or a `Refusal`, pickled.
    """

    async def check(run: Run) -> str:
        process = await _processes_of(dask_worker).find(run, dask_worker)
        await process.check()
        return platform.node() or "an unnamed host"

    def refuse(error: LivepeerError) -> Refusal:
        _processes_of(dask_worker).report(error)
        return Refusal(error)

    return await _answer(call, check, refuse)


async def run_batch(call: Call) -> bytes:
    """Run the rows of a batch; return an `Outcome`, pickled.

    It raises nothing: Dask would log the arguments, and would count the error against the task.
    """
    worker = get_worker()

    async def run(batch: Batch) -> Outcome:
        process = await _processes_of(worker).find(batch.run, worker)
        outcome = await process.run(batch)
        if outcome.error is not None:
            _processes_of(worker).report(outcome.error)
        return outcome

    def fail(error: LivepeerError) -> Outcome:
        _processes_of(worker).report(error)
        return Outcome(worker=worker.address, missing=[], error=error)

    return await _answer(call, run, fail)


async def _answer(
    call: Call,
    work: Callable[[Any], Awaitable[object]],
    fail: Callable[[LivepeerError], Outcome | Refusal],
) -> bytes:
    version, body = call.value
    try:
        _check_version(version)
        return pickle.dumps(await work(pickle.loads(body)))  # noqa: S301 - as Dask does itself
    except LivepeerError as error:
        return pickle.dumps(fail(error))
    except Exception as error:  # noqa: BLE001 - see `run_batch`
        if is_shortage(error):
            return pickle.dumps(fail(shortage_error(error, "rows can't be run")))
        return pickle.dumps(fail(ClusterError(f"it fails with {type(error).__name__}")))


def _check_version(version: str) -> None:
    if version != __version__:
        raise ClusterError(
            f"it has livepeer-async {__version__}, and the coordinator {version}; install the same "
            "version on all machines"
        )


def machine_id() -> str:
    """Return what tells machines apart that can't share a journal that is a file."""
    return f"{platform.node()} {uuid.getnode():x}"


def _processes_of(worker: Worker) -> RunProcesses:
    plugins: dict[str, Any] = worker.plugins
    processes: RunProcesses = plugins.setdefault(TOPIC, RunProcesses())
    return processes


class RunProcesses(WorkerPlugin):
    """The runs of a process, closed with its worker.

    Args:
        on_refusal: called with the reason for which this process runs no rows.
    """

    def __init__(self, on_refusal: Callable[[LivepeerError], None] | None = None) -> None:
        self._on_refusal = on_refusal
        self._processes: dict[str, RunProcess] = {}
        self._lock = anyio.Lock()

    async def find(self, run: Run, worker: Worker) -> RunProcess:
        """Return a run's part in this process, with an open client.

        Raises:
            LivepeerError: the environment, or the journal, can't be used for it.
        """
        async with self._lock:
            process = self._processes.get(run.id)
            if process is None or process.is_closed:
                process = RunProcess(run, worker)
                await process.open()
                self._processes[run.id] = process
            # A run that has a new process may have had an older one.
            closed = [key for key, it in self._processes.items() if it.is_closed]
            for key in closed:
                del self._processes[key]
            process.apply_limits(run)
            return process

    def report(self, error: LivepeerError) -> None:
        """Tell this process's user, too, why it can't run rows."""
        if self._on_refusal is not None:
            self._on_refusal(error)

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask passes it
        """Close all clients."""
        for process in list(self._processes.values()):
            await process.aclose()


class RunProcess:
    """The part of a run that one process has.

    Args:
        run: the run.
        worker: the process's worker.

    Attributes:
        is_closed: whether the client is closed.
    """

    def __init__(self, run: Run, worker: Worker) -> None:
        self._run = run
        self._worker = worker
        self._livepeer = _make_client(run)
        self._tasks = BackgroundTasks()
        self._running: dict[str, tuple[anyio.CancelScope, Ingestion]] = {}
        self._events: list[tuple[str, Event | RowProgress]] = []
        self._progress: dict[int, list[Progress]] = {}
        self._is_stopped = False
        self.is_closed = False

    async def open(self) -> None:
        """Open the client, and watch the run.

        Raises:
            JournalError: the journal can't be used.
        """
        await self._livepeer.__aenter__()
        try:
            self._is_stopped = await self._find_stop()
        except BaseException:
            await self._livepeer.aclose()
            raise
        self._tasks.start(self._watch())
        self._tasks.start(self._watch_stop())

    async def check(self) -> None:
        """Check that the journal is the coordinator's.

        Raises:
            JournalError: it can't be read.
            ClusterError: it is another one, where claims would keep no other worker away.
        """
        journal = self._livepeer.journal
        if journal is not None and await journal.identify() != self._run.journal_id:
            raise ClusterError(f"its journal {journal.path} differs from the coordinator's")

    async def aclose(self) -> None:
        """Close the client; running batches are cancelled."""
        self.is_closed = True
        await self._tasks.aclose()
        await self._livepeer.aclose()

    def apply_limits(self, run: Run) -> None:
        """Apply the limits of the latest message."""
        throttle = self._livepeer.throttle
        if run.concurrency is not None:
            throttle.concurrency = run.concurrency
        if run.max_rate is not None and run.max_rate != throttle.max_rate:
            throttle.max_rate = run.max_rate

    async def run(self, batch: Batch) -> Outcome:
        """Run a batch to its end, or until the run is stopped or its coordinator is gone."""
        missing: list[int] = []
        error: LivepeerError | None = None
        ingestion = Ingestion(
            self._livepeer,
            RowList(batch.rows),
            replace(batch.run.options, on_progress=self._record_progress),
            strict=False,
            outage_timeout=batch.run.outage_timeout,
            is_batch=True,
        )
        with anyio.CancelScope() as scope:
            self._running[batch.key] = scope, ingestion
            if self._is_stopped:
                ingestion.stop()
            try:
                async with run_ingestion(ingestion):
                    async for event in ingestion:
                        self._record(batch.key, event, missing)
            except LivepeerError as failure:
                error = failure
            finally:
                del self._running[batch.key]
        # It arrives before the outcome.
        self._send_update()
        return Outcome(worker=self._worker.address, missing=missing, error=error)

    def _record(self, key: str, event: Event, missing: list[int]) -> None:
        if isinstance(event, Checked | RepeatedRow):
            return
        number = number_of(event)
        if isinstance(event, BadRow) and event.key is not None and number is not None:
            # The file is missing, but may be on another machine.
            missing.append(number)
            return
        self._flush_progress(number)
        self._events.append((key, without_row(event)))

    def _record_progress(self, row: Row, progress: Progress) -> None:
        if row.line is None:
            return
        stages = self._progress.setdefault(row.line, [])
        # The first progress of an upload shows where it begins.
        if len(stages) > 1 and stages[-1].stage is progress.stage is stages[-2].stage:
            stages.pop()
        stages.append(progress)

    def _flush_progress(self, number: int | None) -> None:
        stages = self._progress.pop(number or 0, None)
        if stages is not None and number is not None:
            self._events.append(("", RowProgress(number, stages)))

    def _send_update(self) -> bool:
        """Send what has happened; return whether anything has."""
        for number in list(self._progress):
            self._flush_progress(number)
        if not self._events:
            return False
        update = Update(self._events)
        self._events = []
        self._worker.log_event(TOPIC, pickle.dumps((self._run.id, pickle.dumps(update))))
        return True

    async def _watch(self) -> None:
        """Send updates; cancel batches that Dask has given up; close the client when idle."""
        updated = used = anyio.current_time()
        while not self.is_closed:
            await anyio.sleep(WATCH_INTERVAL)
            now = anyio.current_time()
            if now - updated >= UPDATE_INTERVAL and self._send_update():
                updated = now
            for key, (scope, _) in list(self._running.items()):
                if not self._is_wanted(key):
                    scope.cancel()
            used = now if self._running else used
            if now - used >= LINGER:
                self.is_closed = True
        await self._livepeer.aclose()

    def _is_wanted(self, key: str) -> bool:
        """Whether the coordinator waits for a batch.

        Dask doesn't interrupt a task whose future is released, as it is if the coordinator is
        killed or ends the run.
        """
        task = self._worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    async def _watch_stop(self) -> None:
        """Stop the batches when the coordinator sets the run's event.

        It is polled: Dask logs each wait that ends with a connection as an error.
        """
        with suppress(OSError):
            while not (self._is_stopped or self.is_closed):
                await anyio.sleep(WATCH_INTERVAL)
                self._is_stopped = await self._find_stop()
        for _, ingestion in list(self._running.values()):
            ingestion.stop()

    async def _find_stop(self) -> bool:
        scheduler: Any = self._worker.scheduler
        is_set: bool = await scheduler.event_is_set(name=self._run.stop_event)
        return is_set


def _make_client(run: Run) -> AsyncLivepeer:
    """Return a client for the environment of this process.

    Raises:
        ConfigurationError: there is no key.
        ClusterError: it is another account's, or the journal is on another machine.
    """
    journal = os.environ.get(JOURNAL_VARIABLE)
    livepeer = AsyncLivepeer(journal=journal or run.journal, retry=run.retry, timeout=run.timeouts)
    if livepeer.account_fingerprint != run.account:
        raise ClusterError(
            "its LIVEPEER_API_KEY or LIVEPEER_BASE_URL differs from the coordinator's"
        )
    if not journal and run.machine not in (None, machine_id()):
        raise ClusterError(
            f"the journal {run.journal} is a file on another machine; use --journal postgresql://..."
        )
    return livepeer
