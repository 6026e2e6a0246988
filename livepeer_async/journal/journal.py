"""The journal: durable records of uploads, and one lease on each key.

The offset isn't recorded, because the server knows it. A record is written before the effect that
it makes reversible, so a kill leaves nothing unknown on the server.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from livepeer_async.concurrency import LoopLocal, run_shielded, running_loop
from livepeer_async.deferred import deferred_module
from livepeer_async.errors import ClientClosed, JournalError, TooManyOpenFiles, UploadInUse
from livepeer_async.http.observers import Watch
from livepeer_async.journal.busy_timeout import BusyTimeout, WaitCancelled
from livepeer_async.journal.group_commit import GroupCommit
from livepeer_async.journal.location import is_postgres_url
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    Orphan,
    Record,
    UnconfirmedRequest,
    as_text,
    leftover_from,
)
from livepeer_async.journal.sqlite.store import SqliteStore
from livepeer_async.journal.tables import (
    ClaimPending,
    Row,
    Store,
    Tables,
    abandon,
    find_record,
    in_use_error,
    is_held,
    put_record,
)
from livepeer_async.journal.unfinished import is_unfinished
from livepeer_async.redaction import show_source
from livepeer_async.telemetry.events import JOURNAL_UNREADABLE, log_event

if TYPE_CHECKING:
    from livepeer_async.journal.postgres import store as postgres_store
else:
    # Imports psycopg, which only a journal on PostgreSQL needs.
    postgres_store = deferred_module("livepeer_async.journal.postgres.store")

T = TypeVar("T")

# Seconds for a release after a cancellation, and for closing. A lease that isn't released is
# deleted by the next transaction, or is void once the owner's lock is released.
RELEASE_TIMEOUT = 0.5
# Longest sleep before a claim is tried again, in seconds.
CLAIM_STEP = 1.0
# Seconds for which calls wait at least while PostgreSQL doesn't respond.
MIN_PATIENCE = 60.0
_NOUNS: dict[type, str] = {
    Record: "record",
    Orphan: "orphan",
    UnconfirmedRequest: "unconfirmed request",
}


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


class Journal:
    """A journal in a file or on PostgreSQL; opened by the first call that needs it.

    All event loops share it. It is closed at the end of the last one that holds a lease.

    Args:
        path: the file, created if missing, and readable by its owner only; or the URL of a
            PostgreSQL database.
        account: a fingerprint of the account that the journal belongs to; `None` opens an existing
            file of any account.
        patience: seconds for which calls wait while PostgreSQL doesn't respond.

    Attributes:
        path: the file, or the URL without its password.
        has_new_orphans: whether there may be orphans that weren't looked at yet, of this journal or
            of killed processes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        account: str | None,
        patience: float = MIN_PATIENCE,
    ) -> None:
        self._store: Store = (
            postgres_store.PostgresStore(path, account, patience=patience)
            if is_postgres_url(path)
            else SqliteStore(path, account)
        )
        self.path = self._store.location
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
        """Release all leases of this event loop, in which only `open` can be called afterwards.

        The file is closed, unless another event loop holds a lease.
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
    async def acquire(self, key: str) -> AsyncGenerator[Record | None, None]:
        """Hold the lease on a key until the block ends; return its record, if any.

        Raises:
            UploadInUse: another upload, here or in another process, holds the lease.
            JournalError: the journal can't be read or written.
            ClientClosed: the journal is closed.
        """
        key = as_text(key)
        async with self._hold(key):
            self._store.written.add(key)
            try:
                record = await self._claim(key)
            except (JournalError, TooManyOpenFiles, ClientClosed):
                self._store.written.discard(key)
                raise
            yield record

    @asynccontextmanager
    async def acquire_keyless(self) -> AsyncGenerator[str, None]:
        """Generate a key for an upload without one; its lease is written with its record."""
        key = uuid.uuid4().hex
        async with self._hold(key):
            yield key

    @asynccontextmanager
    async def _hold(self, key: str) -> AsyncGenerator[None, None]:
        """Keep the lease on a key from being deleted until the block ends.

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
            if is_free and key in self._store.written:
                # Shielded: an unreleased lease blocks other processes while this one runs.
                await run_shielded(self._release, timeout=timeout, grace=RELEASE_TIMEOUT)

    async def write(self, record: Record) -> None:
        """Replace the record of a key; for an upload without a key, write its lease as well.

        Raises:
            JournalError: it can't be written; the old one stays.
        """

        def write(tables: Tables) -> None:
            tables.check_claim(record.key)
            if record.is_keyless:
                tables.claim(record.key)
            put_record(tables, record)

        await self._run(write)

    async def drop(self, key: str) -> None:
        """Delete the record of a key, because nothing of the upload is on the server."""

        def drop(tables: Tables) -> None:
            tables.check_claim(key)
            tables.run(tables.statements.delete_record, key)

        await self._run(drop)

    async def drop_keyless(self, key: str) -> None:
        """Delete the record and the lease of an upload without a key."""

        def drop(tables: Tables) -> None:
            tables.check_claim(key)
            tables.run(tables.statements.delete_record, key)
            tables.run(tables.statements.delete_claim, key)

        await self._run(drop)
        self._store.written.discard(key)

    async def abandon(self, record: Record, *, is_useless: bool) -> None:
        """Replace a record with an orphan or an unconfirmed request, and its previous record.

        Args:
            record: of the upload.
            is_useless: as in `Orphan`.
        """
        leftover = leftover_from(record, time.time(), is_useless=is_useless)
        self.has_new_orphans = True
        previous = record.previous

        def work(tables: Tables) -> None:
            tables.check_claim(record.key)
            abandon(tables, record.key, leftover)
            if previous is not None:
                put_record(tables, previous)

        await self._run(work)

    async def forget(self, key: str) -> bool:
        """Forget a key, so that its next upload starts again; return whether it had a record.

        Nothing is deleted on the server: a complete upload stays, an unfinished one becomes an
        orphan.

        Raises:
            UploadInUse: the upload is running.
            JournalError: the journal can't be read or written.
        """
        async with self.acquire(key) as record:
            if record is None:
                return False
            if record.state in FULLY_UPLOADED:
                await self.drop(record.key)
            else:
                await self.abandon(replace(record, previous=None), is_useless=False)
            return True

    async def rename(self, key: str, name: str) -> None:
        """Record another name of the asset of a key; raises as `forget` does."""
        async with self.acquire(key) as record:
            if record is not None:
                await self.write(replace(record, name=name))

    async def records(self) -> list[Record]:
        """Return the readable records of uploads with a key, in the order of their keys."""
        records = await self._read(lambda it: it.run(it.statements.select_keyed), Record)
        return [record.latest for record in records]

    async def unfinished(self) -> list[tuple[Record, bool]]:
        """Return the records of `is_unfinished`, each with whether its upload runs anywhere."""
        records = [record for record in await self.records() if is_unfinished(record)]
        return await self._run(lambda tables: [(it, is_held(tables, it.key)) for it in records])

    async def keyless_records(self) -> list[Record]:
        """Return the readable records of running and interrupted uploads without a key."""
        return await self._read(lambda it: it.run(it.statements.select_keyless), Record)

    async def interrupted(self) -> list[Record]:
        """Return the records of interrupted uploads that are `is_unresumable`."""
        found = [record for record in await self.records() if record.is_unresumable]
        return await self._run(lambda tables: [it for it in found if not is_held(tables, it.key)])

    async def find(self, keys: Sequence[str]) -> dict[str, Record]:
        """Return the readable records of the given keys, by key."""
        given = {as_text(key): key for key in keys}
        found = await self._read(lambda tables: tables.find_records(list(given)), Record)
        return {given[record.key]: record for record in found if record.key in given}

    async def drop_orphan(self, asset_id: str) -> None:
        """Delete an orphan, because its asset was deleted."""
        await self._run(lambda it: it.run(it.statements.delete_orphan, asset_id))

    async def orphans(self) -> list[Orphan]:
        """Return the abandoned assets of this journal that may not be deleted yet."""
        await self._run(self._abandon_keyless)
        return await self._read(lambda it: it.run(it.statements.select_orphans), Orphan)

    async def drop_unconfirmed(self, unconfirmed: UnconfirmedRequest) -> None:
        """Delete an unconfirmed request, because its result is known now."""
        row = msgspec.json.encode(unconfirmed)
        await self._run(lambda it: it.run(it.statements.delete_doubt, row))

    async def mark_reported(self, leftover: Orphan | UnconfirmedRequest) -> None:
        """Record that the user was told of a possible leftover."""
        told = msgspec.json.encode(replace(leftover, is_reported=True))
        before = msgspec.json.encode(leftover)

        def mark(tables: Tables) -> None:
            known = tables.statements
            is_orphan = isinstance(leftover, Orphan)
            replace_row = known.replace_orphan if is_orphan else known.replace_doubt
            tables.run(replace_row, told, before)

        await self._run(mark)

    async def unconfirmed_requests(self) -> list[UnconfirmedRequest]:
        """Return the requests that may have created an asset."""
        await self._run(self._abandon_keyless)
        return await self._read(lambda it: it.run(it.statements.select_doubts), UnconfirmedRequest)

    async def _read(self, select: Callable[[Tables], list[Row]], kind: type[T]) -> list[T]:
        """Decode the second column of the rows; log unreadable ones by the first, and skip them."""
        found: list[T] = []
        for name, row in await self._run(select):
            try:
                found.append(msgspec.json.decode(row, type=kind))
            except msgspec.DecodeError as error:
                noun = f"{_NOUNS[kind]} {show_source(name)!r}"
                facts = {"path": str(self.path), "reason": str(error)}
                message = "journal %s: skipping unreadable %s: %s"
                log_event(JOURNAL_UNREADABLE, message, self.path, noun, error, **facts)
        return found

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
            tables.claim(key)
            row = find_record(tables, key)
            return msgspec.json.decode(row, type=Record) if row else None

        while True:
            try:
                return await self._run(claim)
            except ClaimPending as pending:
                with Watch(f"waiting until {pending.owner} has certainly stopped,"):
                    await anyio.sleep(min(pending.seconds, CLAIM_STEP))

    def _in_use_here(self, key: str, tables: Tables) -> UploadInUse:
        return in_use_error(tables, self.path, key, "this process")

    def _abandon_keyless(self, tables: Tables) -> None:
        """Abandon interrupted uploads without a key."""
        for key, row in tables.run(tables.statements.select_keyless):
            # Skip unreadable records, and owners whose lock can't be checked.
            with suppress(JournalError, msgspec.DecodeError):
                if tables.is_in_use(key):
                    continue
                record = msgspec.json.decode(row, type=Record)
                # Not useless: a caller may have kept the upload URL.
                abandon(tables, key, leftover_from(record, time.time(), is_useless=False))
                tables.run(tables.statements.delete_claim, key)

    async def _release(self) -> None:
        """Delete the leases that aren't held; if this fails, the next transaction does."""
        with suppress(JournalError, TooManyOpenFiles, ClientClosed):
            await self._run(lambda _: None)

    def _closed(self) -> ClientClosed:
        return ClientClosed(f"the journal {self.path} is closed: open it, or a new client")
