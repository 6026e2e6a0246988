"""The workers of a cluster that a run can use.

Each worker is asked before it gets rows: another version, another account's key, or a journal that
it can't open excludes it. After a transient error, it is asked again.
"""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup
from distributed import Client
from msgspec import Struct

from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import ClusterError, LivepeerError, is_transient
from livepeer_async.ingest.cluster.messages import Call, Refusal
from livepeer_async.ingest.cluster.worker import check_worker

# Seconds between two looks at the workers.
WATCH_INTERVAL = 1.0
# Seconds for a worker's answer, which may have to open its journal, and for the scheduler's.
CHECK_TIMEOUT = 60.0
SCHEDULER_TIMEOUT = 30.0
# Seconds without a worker after which a notice says so, or the run ends if all were refused.
PATIENCE = 5.0
# Seconds after which a worker is asked again that had a transient error.
RECHECK_DELAY = 10.0
CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0
# Its methods have no annotations.
_make_client: Any = Client


@asynccontextmanager
async def connect(address: str, security: Any) -> AsyncGenerator[Any, None]:
    """Connect to a scheduler; the end of the connection ends what workers still run.

    Raises:
        ClusterError: it doesn't respond.
    """
    client = _make_client(
        address,
        security=security,
        asynchronous=True,
        set_as_default=False,
        name="livepeer-async",
        timeout=CONNECT_TIMEOUT,
    )
    try:
        try:
            # Its own timeout doesn't hold for a server that isn't a scheduler.
            with anyio.fail_after(CONNECT_TIMEOUT + 1):
                await client
        except OSError as error:
            raise not_responding(address) from error
        yield client
    finally:
        # The client has tasks of its own, which would outlive the block.
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_TIMEOUT):
            await client.close()


class Exclusion(Struct, frozen=True):
    """A worker gets no rows.

    Attributes:
        message: why.
        until: when it is asked again; `inf` for never.
    """

    message: str
    until: float = inf


class WorkerPool:
    """The workers of a cluster.

    Args:
        client: a connection to the cluster.
        address: the address of its scheduler.
        notify: receives sentences for people.
        on_change: called when workers have come or gone.

    Attributes:
        threads: the threads of each worker that can be used, by its address.
        hosts: the names of their hosts, also of workers that are gone.
    """

    def __init__(
        self,
        client: Any,
        address: str,
        *,
        notify: Callable[[str], Awaitable[None]],
        on_change: Callable[[], None],
    ) -> None:
        self._client = client
        self._address = address
        self._notify = notify
        self._on_change = on_change
        self.threads: dict[str, int] = {}
        self.hosts: dict[str, str] = {}
        self._present: dict[str, int] = {}
        self._checking: set[str] = set()
        self._excluded: dict[str, Exclusion] = {}

    @property
    def usable_hosts(self) -> dict[str, str]:
        """The host of each worker that can be used."""
        return {address: self.hosts[address] for address in self.threads}

    async def watch(self, call: Call) -> None:
        """Follow which workers there are, and check new ones.

        Args:
            call: the run, for `check_worker`.

        Raises:
            ClusterError: the scheduler is gone, or no worker can ever be used.
        """
        idle_since = anyio.current_time()
        async with plain_task_group() as tasks:
            while True:
                self._present = await self._find_present()
                self._update()
                self._check_new(tasks, call)
                now = anyio.current_time()
                if self.threads or self._checking - self._excluded.keys():
                    idle_since = now
                elif now - idle_since >= PATIENCE:
                    await self._report_idleness()
                await anyio.sleep(WATCH_INTERVAL)

    async def exclude(self, address: str, error: LivepeerError) -> None:
        """Hand a worker no rows; after a transient error, for a while."""
        host = self.hosts.get(address) or urlsplit(address).hostname or address
        if is_transient(error):
            until = anyio.current_time() + RECHECK_DELAY
            message = f"the worker on {host} gets no rows until it can be used: {error.args[0]}"
            self._excluded[address] = Exclusion(message, until)
        else:
            message = f"the worker on {host} can't be used: {error}"
            self._excluded[address] = Exclusion(message)
        self._update()
        await self._notify(message)

    async def _find_present(self) -> dict[str, int]:
        try:
            with anyio.fail_after(SCHEDULER_TIMEOUT):
                threads: dict[str, int] = await self._client.nthreads()
                return threads
        except (OSError, RuntimeError) as error:
            raise lost(self._address) from error

    def _update(self) -> None:
        before = self.threads
        self.threads = {
            address: threads
            for address, threads in self._present.items()
            if address in self.hosts and address not in self._excluded
        }
        if before != self.threads:
            self._on_change()

    def _check_new(self, tasks: TaskGroup, call: Call) -> None:
        now = anyio.current_time()
        for address in self._present:
            found = self._excluded.get(address)
            is_due = found.until <= now if found is not None else address not in self.hosts
            if is_due and address not in self._checking:
                self._checking.add(address)
                tasks.start_soon(self._check, address, call)

    async def _check(self, address: str, call: Call) -> None:
        answer: Any = None
        try:
            with anyio.move_on_after(CHECK_TIMEOUT):
                answers = await self._client.run(
                    check_worker, call, workers=[address], on_error="return"
                )
                answer = answers.get(address)
        except Exception as error:  # noqa: BLE001 - any error of its own code, or of Dask
            answer = error
        finally:
            self._checking.discard(address)
        if isinstance(answer, bytes):
            answer = pickle.loads(answer)  # noqa: S301 - as Dask does itself
        host = urlsplit(address).hostname or address
        match answer:
            case str():
                self.hosts[address] = f"{answer} ({host})"
                self._excluded.pop(address, None)
                self._update()
            case Refusal(error=reason):
                await self.exclude(address, reason)
            case OSError() | None:
                pass  # it is gone, or is asked again
            case _:
                await self.exclude(
                    address,
                    ClusterError(
                        "it can't run this version of livepeer-async; install the same version on "
                        "all machines"
                    ),
                )

    async def _report_idleness(self) -> None:
        found = [it for address, it in self._excluded.items() if address in self._present]
        place = urlsplit(self._address).netloc
        if not found:
            await self._notify(f"waiting for workers at {place}")
        elif all(it.until == inf for it in found):
            raise ClusterError(f"no worker can be used; {found[-1].message}")
        else:
            await self._notify("no worker can be used now; the run waits, and asks again")


def not_responding(address: str) -> ClusterError:
    """Return the error for an address without a scheduler that accepts this process."""
    tls = "its TLS certificates don't match" if address.startswith("tls:") else "it expects TLS"
    return ClusterError(f"no Dask scheduler responds at {address}, or {tls}")


def lost(address: str) -> ClusterError:
    """Return the error for a scheduler that is gone."""
    return ClusterError(
        f"the connection to {address} is lost; rows that were begun are kept, and the same command "
        "goes on"
    )
