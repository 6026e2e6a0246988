"""An open journal: its database, its claims, and its calls from several event loops."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from livepeer_async.concurrency import LoopLocal, run_shielded, running_loop
from livepeer_async.errors import ClientClosed, JournalError, TooManyOpenFiles, UploadInUse
from livepeer_async.http.observers import Watch
from livepeer_async.journal.busy_timeout import BusyTimeout, WaitCancelled
from livepeer_async.journal.extra import import_postgres
from livepeer_async.journal.group_commit import GroupCommit
from livepeer_async.journal.location import is_postgres_url
from livepeer_async.journal.records import Record
from livepeer_async.journal.sqlite.store import SqliteStore
from livepeer_async.journal.tables import ClaimPending, Store, Tables, find_record, in_use_error
from livepeer_async.redaction import Hidden
from livepeer_async.scheduling.throttle import Throttle

T = TypeVar("T")

# Seconds for a release after a cancellation, and for closing. A claim that isn't released is
# deleted by the next transaction, or is void once the owner's lock is released.
RELEASE_TIMEOUT = 0.5
# Longest sleep before a claim is tried again, in seconds.
CLAIM_STEP = 1.0


class _LoopState:
    """What a journal has in one event loop.

    Args:
        transactions: runs the calls of the loop.

    Attributes:
        transactions: as passed.
        is_closed: whether `aclose` was called.
    """

    def __init__(self, transactions: GroupCommit) -> None:
        self.transactions = transactions
        self.is_closed = False


class OpenJournal:
    """A journal in a file or on PostgreSQL; opened by the first call that needs it.

    All event loops share it. It is closed at the end of the last one that holds a claim.

    Args:
        path, account, throttle, outage_timeout: as for `Journal`.

    Attributes:
        path: the file, or the URL without its password.
        location: the file or the URL as it was passed, in `.value`; the repr hides it.
        has_new_orphans: as in `Journal`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        account: str | None,
        throttle: Throttle | None = None,
        outage_timeout: float = 0.0,
    ) -> None:
        self._store = _make_store(path, account, throttle, outage_timeout)
        self.path = self._store.location
        self.location = Hidden(os.fspath(path))
        self._loops = LoopLocal(self._make_loop_state, aclose=self._close_at_end)
        self.has_new_orphans = True

    def __repr__(self) -> str:
        return f"<Journal {self.path!r}>"

    def _make_loop_state(self) -> _LoopState:
        store = self._store
        return _LoopState(GroupCommit(store.transact, store.busy_timeout, store.held.__len__))

    async def open(self) -> None:
        """Open or create the file, also after `aclose`.

        Raises:
            JournalError: it isn't a journal, belongs to a newer version or another account, or
                can't be written.
        """
        self._loops.get().is_closed = False
        await self._run(lambda _: None)

    async def aclose(self) -> None:
        """Release all claims of this event loop, in which only `open` can be called afterwards.

        The file is closed, unless another event loop holds a claim.
        """
        loop_state = self._loops.get()
        loop_state.is_closed = True
        loop_state.transactions.cancel()
        if not self._store.is_forked:
            await run_shielded(self._close, grace=RELEASE_TIMEOUT)
        loop_state.transactions.close()

    async def _close_at_end(self, loop_state: _LoopState) -> None:
        """Close the file at the end of an event loop, which can't start tasks any more."""
        loop_state.transactions.close()
        if not (loop_state.is_closed or self._store.is_forked):
            self._store.close(BusyTimeout(RELEASE_TIMEOUT), loop=running_loop())

    @asynccontextmanager
    async def _hold(self, key: str) -> AsyncGenerator[None, None]:
        """Keep the claim on a key from being deleted until the block ends.

        Raises:
            UploadInUse: another upload of this process holds it.
        """
        timeout, is_free = inf, False
        try:
            with self._store.held.reserve(key) as is_free:
                if not is_free:
                    raise await self._run(partial(self._in_use_here, key))
                yield
        except anyio.get_cancelled_exc_class():
            # `Task.cancel` doesn't repeat, so it wouldn't interrupt a long release.
            timeout = RELEASE_TIMEOUT
            raise
        finally:
            # A database that doesn't respond gets it later, with the next sign of life.
            has_time = timeout == inf or self._store.is_certain
            if is_free and has_time and key in self._store.written:
                # Shielded: an unreleased claim blocks other processes while this one runs.
                await run_shielded(self._release, timeout=timeout, grace=RELEASE_TIMEOUT)

    async def identify(self) -> str:
        """Return an ID of the journal, which is the same for all of its clients.

        Raises:
            JournalError: the journal can't be read.
        """
        return await self._run(self._store.identify)

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use the journal, so that claims on it may be lost."""
        return not isinstance(self._store, SqliteStore)

    @property
    def holds_claims(self) -> bool:
        """Whether all claims certainly hold, now and for the next seconds; in any thread."""
        return self._store.is_certain

    def watch_claims(self, on_lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call a function, in any thread, if claims may be lost within the block."""
        return self._store.watch(on_lost)

    async def wait_for_claim(self, key: str) -> None:
        """Wait until the claim on a key, which was acquired, certainly holds.

        Raises:
            UploadInUse: another process has it by now.
            JournalUnavailable: the database doesn't respond.
        """
        if not self._store.is_certain:
            with Watch("the journal's database doesn't respond,"):
                await self._run(lambda _: None)
        self._store.check_claim(key)

    async def _run(self, work: Callable[[Tables], T]) -> T:
        """Call a function in a transaction in a worker thread, because the disk may be slow."""
        loop_state = self._loops.get()
        if loop_state.is_closed:
            raise self._closed()
        try:
            return await loop_state.transactions.run(work)
        except WaitCancelled:
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise self._closed() from None

    async def _close(self) -> None:
        """Close the file in a thread of its own, as that of the calls may be waiting for a lock."""
        close = partial(self._store.close, BusyTimeout(RELEASE_TIMEOUT), loop=running_loop())
        # A limiter of its own: in a queue, a cancelled call would never start.
        await anyio.to_thread.run_sync(close, limiter=anyio.CapacityLimiter(1))

    async def _claim(self, key: str) -> Record | None:
        """Write the claim on a key, once its last owner has certainly stopped."""

        def claim(tables: Tables) -> Record | None:
            self._store.claim(tables, key)
            row = find_record(tables, key)
            return msgspec.json.decode(row, type=Record) if row else None

        with Watch() as watch:
            owner = ""
            while True:
                try:
                    return await self._run(claim)
                except ClaimPending as pending:
                    if pending.owner != owner:
                        owner = pending.owner
                        watch.restart(f"waiting until {owner} has certainly stopped,")
                    seconds = min(pending.seconds, CLAIM_STEP)
                await anyio.sleep(seconds)

    def _in_use_here(self, key: str, tables: Tables) -> UploadInUse:
        return in_use_error(tables, self.path, key, "this process")

    async def _release(self) -> None:
        """Delete the claims that aren't held; if this fails, the next transaction does."""
        with suppress(JournalError, TooManyOpenFiles, ClientClosed):
            await self._run(lambda _: None)

    def _closed(self) -> ClientClosed:
        return ClientClosed(f"the journal {self.path} is closed: open it, or a new client")


def _make_store(
    path: str | os.PathLike[str],
    account: str | None,
    throttle: Throttle | None,
    outage_timeout: float,
) -> Store:
    if not is_postgres_url(path):
        return SqliteStore(path, account)
    make: Callable[..., Store] = import_postgres("store").PostgresStore
    return make(path, account, throttle=throttle, outage_timeout=outage_timeout)
