"""The journal: durable records of uploads, and one claim on each key.

The offset isn't recorded, because the server knows it. A record is written before the effect that
it makes reversible, so a kill leaves nothing unknown on the server.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from livepeer_async.errors import ClientClosed, JournalError, TooManyOpenFiles
from livepeer_async.journal.opened import OpenJournal
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    Orphan,
    Record,
    UnconfirmedRequest,
    as_text,
    leftover_from,
)
from livepeer_async.journal.tables import Row, Tables, abandon, put_record
from livepeer_async.journal.unfinished import is_unfinished
from livepeer_async.redaction import show_source
from livepeer_async.telemetry.events import JOURNAL_UNREADABLE, log_event

T = TypeVar("T")

_NOUNS: dict[type, str] = {
    Record: "record",
    Orphan: "orphan",
    UnconfirmedRequest: "unconfirmed request",
}


class Journal(OpenJournal):
    """A journal in a file or on PostgreSQL; opened by the first call that needs it.

    All event loops share it. It is closed at the end of the last one that holds a claim.

    Args:
        path: the file, created if missing, and readable by its owner only; or the URL of a
            PostgreSQL database.
        account: a fingerprint of the account that the journal belongs to; `None` opens an existing
            file of any account.
        throttle: has the limits that the clients of a journal on PostgreSQL share, if any.
        outage_timeout: seconds for which calls wait for PostgreSQL, at least a minute.

    Attributes:
        path: the file, or the URL without its password.
        has_new_orphans: whether there may be orphans that weren't looked at yet, of this journal or
            of killed processes.
    """

    @asynccontextmanager
    async def acquire(self, key: str) -> AsyncGenerator[Record | None, None]:
        """Hold the claim on a key until the block ends; return its record, if any.

        Raises:
            UploadInUse: another upload, here or in another process, holds the claim.
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
    async def acquire_asset(self, asset_id: str) -> AsyncGenerator[list[Record], None]:
        """Hold the leases on all keys of an asset until the block ends; return their records.

        Raises:
            UploadInUse: an upload of the asset is running.
            JournalError: the journal can't be read or written.
        """
        async with AsyncExitStack() as stack:
            known = [*await self.records(), *await self.keyless_records()]
            keys = [record.key for record in known if record.asset_id == asset_id]
            found = [await stack.enter_async_context(self.acquire(key)) for key in keys]
            yield [record for record in found if record and record.asset_id == asset_id]

    @asynccontextmanager
    async def acquire_keyless(self) -> AsyncGenerator[str, None]:
        """Generate a key for an upload without one; its claim is written with its record."""
        key = uuid.uuid4().hex
        async with self._hold(key):
            yield key

    async def write(self, record: Record) -> None:
        """Replace the record of a key; for an upload without a key, write its claim as well.

        Raises:
            JournalError: it can't be written; the old one stays.
        """

        def write(tables: Tables) -> None:
            self._store.check_claim(record.key)
            if record.is_keyless:
                self._store.claim(tables, record.key)
            put_record(tables, record)

        await self._run(write)

    async def drop(self, key: str) -> None:
        """Delete the record of a key, because nothing of the upload is on the server."""

        def drop(tables: Tables) -> None:
            self._store.check_claim(key)
            tables.execute(tables.statements.delete_record, key)

        await self._run(drop)

    async def drop_keyless(self, key: str) -> None:
        """Delete the record and the claim of an upload without a key."""

        def drop(tables: Tables) -> None:
            self._store.check_claim(key)
            tables.execute(tables.statements.delete_record, key)
            tables.execute(tables.statements.delete_claim, key)

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
            self._store.check_claim(record.key)
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
        records = await self._read(lambda it: it.execute(it.statements.select_keyed), Record)
        return [record.latest for record in records]

    async def unfinished(self) -> list[tuple[Record, bool]]:
        """Return the records of `is_unfinished`, each with whether its upload runs anywhere."""
        records = [record for record in await self.records() if is_unfinished(record)]
        held = await self._held_keys(records)
        return [(record, record.key in held) for record in records]

    async def keyless_records(self) -> list[Record]:
        """Return the readable records of running and interrupted uploads without a key."""
        return await self._read(lambda it: it.execute(it.statements.select_keyless), Record)

    async def interrupted(self) -> list[Record]:
        """Return the records of interrupted uploads that are `is_unresumable`."""
        found = [record for record in await self.records() if record.is_unresumable]
        held = await self._held_keys(found)
        return [record for record in found if record.key not in held]

    async def find(self, keys: Sequence[str]) -> dict[str, Record]:
        """Return the readable records of the given keys, by key."""
        given = {as_text(key): key for key in keys}
        found = await self._read(lambda tables: tables.find_records(list(given)), Record)
        return {given[record.key]: record for record in found if record.key in given}

    async def drop_orphan(self, asset_id: str) -> None:
        """Delete an orphan, because its asset was deleted."""
        await self._run(lambda it: it.execute(it.statements.delete_orphan, asset_id))

    async def orphans(self) -> list[Orphan]:
        """Return the abandoned assets of this journal that may not be deleted yet."""
        await self._run(self._abandon_keyless)
        return await self._read(lambda it: it.execute(it.statements.select_orphans), Orphan)

    async def drop_unconfirmed(self, unconfirmed: UnconfirmedRequest) -> None:
        """Delete an unconfirmed request, because its result is known now."""
        row = msgspec.json.encode(unconfirmed)
        await self._run(lambda it: it.execute(it.statements.delete_doubt, row))

    async def mark_reported(self, leftover: Orphan | UnconfirmedRequest) -> None:
        """Record that the user was told of a possible leftover."""
        told = msgspec.json.encode(replace(leftover, is_reported=True))
        before = msgspec.json.encode(leftover)

        def mark(tables: Tables) -> None:
            known = tables.statements
            is_orphan = isinstance(leftover, Orphan)
            replace_row = known.replace_orphan if is_orphan else known.replace_doubt
            tables.execute(replace_row, told, before)

        await self._run(mark)

    async def unconfirmed_requests(self) -> list[UnconfirmedRequest]:
        """Return the requests that may have created an asset."""
        await self._run(self._abandon_keyless)
        return await self._read(
            lambda it: it.execute(it.statements.select_doubts), UnconfirmedRequest
        )

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

    async def _held_keys(self, records: Sequence[Record]) -> set[str]:
        """Return the keys that can't be claimed, also because it is unknown whether they can."""

        def is_held(tables: Tables, key: str) -> bool:
            try:
                return self._store.is_in_use(tables, key)
            except JournalError:
                return True

        return await self._run(lambda it: {one.key for one in records if is_held(it, one.key)})

    def _abandon_keyless(self, tables: Tables) -> None:
        """Abandon interrupted uploads without a key."""
        for key, row in tables.execute(tables.statements.select_keyless):
            # Skip unreadable records, and owners whose lock can't be checked.
            with suppress(JournalError, msgspec.DecodeError):
                if not self._store.is_abandoned(tables, key):
                    continue
                record = msgspec.json.decode(row, type=Record)
                # Not useless: a caller may have kept the upload URL.
                abandon(tables, key, leftover_from(record, time.time(), is_useless=False))
                tables.execute(tables.statements.delete_claim, key)
