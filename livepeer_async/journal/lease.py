"""The lease on one key: the right to run its upload, and its record in the journal.

Each fact is written before the effect that follows from it. Without a journal nothing is written.
Without a key the record only says what may be left on the server, and is dropped with the last
byte.

A record ends in one of three ways. `forget`: the server has nothing. `abandon`: it may have
something, which is noted as an orphan or a doubt. `Tickets.discard`: it has an asset, which is
noted and then deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from livepeer_async.errors import JournalError, KeyTaken, SourceChanged
from livepeer_async.journal.journal import Journal, as_text
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    Record,
    RecordState,
    ResumeAction,
    plan_resume,
)
from livepeer_async.models import Asset
from livepeer_async.redaction import show_source
from livepeer_async.sources.identity import SourceIdentity
from livepeer_async.sources.source import Source

_log = logging.getLogger("livepeer_async")


class Lease:
    """The right to carry the upload of a key, and its record.

    Args:
        journal: where it is written; `None` for an upload that isn't.
        key: the caller's name for it.
        identity: of the source.
        access: who may play the asset, as `access_of` gives it.
        record: of an earlier run.
        is_keyless: whether the key was made up, for an upload that has none.

    Attributes:
        identity: of the source, as it is today.
        record: what the journal has of the upload.
    """

    def __init__(  # noqa: PLR0913 - what is known of an upload when it begins
        self,
        journal: Journal | None,
        key: str,
        identity: SourceIdentity,
        *,
        access: str = "",
        record: Record | None = None,
        is_keyless: bool = False,
    ) -> None:
        self._journal = journal
        self._key = key
        self.identity = identity
        self._access = access
        self._is_keyless = is_keyless
        self.record = record

    @property
    def is_import(self) -> bool:
        """Whether the server is to fetch the bytes itself."""
        return self.identity.length == 0

    @property
    def is_finished(self) -> bool:
        """Whether an earlier run, or this one, has seen the asset ready and right."""
        return self.record is not None and self.record.state is RecordState.READY

    @property
    def is_resumable(self) -> bool:
        """Whether a later run could go on with the upload."""
        has_url = self.record is not None and self.record.upload_url is not None
        return has_url and self.identity.is_known

    def plan_resume(self) -> ResumeAction:
        """Say what can be done with the record of an earlier run."""
        if self.record is None:
            return ResumeAction.RESTART
        return plan_resume(self.record, self.identity, self._access)

    def check_sha256(self, source: Source, sha256: str | None) -> None:
        """Compare with what an earlier run has read, where both have made a digest.

        Raises:
            SourceChanged: it read other bytes.
        """
        was = self.record.sha256 if self.record else None
        if was and sha256 and was != sha256:
            raise self.source_changed_error(source)

    def access_changed_error(self) -> KeyTaken:
        """Give the error for a key whose asset others may play than those who are wanted."""
        advice = "change it with assets.update, or give another key"
        return self._key_taken_error("has another playback policy or encryption", advice)

    def wrong_url_error(self) -> KeyTaken:
        """Give the error for a key whose asset was made of another URL."""
        advice = "give another key, or let the journal forget this one"
        return self._key_taken_error("was made of another URL", advice)

    def _key_taken_error(self, why: str, advice: str) -> KeyTaken:
        asset_id = (self.record and self.record.asset_id) or ""
        said = f"under the key {show_source(self._key)!r} stands asset {asset_id}, which {why}"
        return KeyTaken(said, asset_id=asset_id, advice=advice)

    def source_changed_error(self, source: Source) -> SourceChanged:
        """Give the error for a source that isn't what was uploaded under the key."""
        asset_id = (self.record and self.record.asset_id) or ""
        then = self.record.identity.length if self.record else 0
        return SourceChanged(
            f"{source.name} has changed since it was uploaded under the key "
            f"{show_source(self._key)!r} as asset {asset_id} ({then} bytes then, {source.length} "
            "today)",
            source=source.name,
            asset_id=asset_id,
        )

    async def record_request(self, name: str) -> None:
        """Write that an upload is about to be asked for."""
        if self._journal is None:
            return
        record = Record(
            key=self._key,
            state=RecordState.REQUESTED,
            name=name,
            identity=self.identity,
            requested_at=time.time(),
            access=self._access,
            is_keyless=self._is_keyless,
        )
        await self._write(record)

    async def record_asset(self, asset: Asset) -> None:
        """Write which asset was made."""
        if self.record is not None:
            # Known from here on, also where it can't be written: what is abandoned has an ID then.
            self.record = replace(
                self.record,
                state=RecordState.ASSET_CREATED,
                asset_id=asset.id,
                playback_id=asset.playback_id,
            )
            await self._write(self.record)

    async def record_upload_url(self, upload_url: str) -> None:
        """Write where the upload is, before a byte is sent that it would be a pity to lose."""
        if self.record is not None and not self._is_keyless:
            record = replace(self.record, state=RecordState.UPLOAD_CREATED, upload_url=upload_url)
            await self._write(record)

    async def mark_uploaded(self) -> None:
        """Write that the server has all bytes; nobody needs the upload URL any more."""
        if self.record is None or self.record.state is RecordState.READY:
            return
        record = replace(self.record, state=RecordState.UPLOADED, upload_url=None)
        if self._is_keyless and self._journal is not None:
            await self._journal.drop_keyless(self._key)
            # Still known, for it may be given up because its bytes turn out to be wrong.
            self.record = record
        else:
            await self._write(record)

    async def mark_ready(self, asset: Asset, verified: str | None, sha256: str | None) -> None:
        """Write that the asset is ready.

        What can't be written is logged: the asset is there all the same, and a later run finds it
        by its record.
        """
        if self.record is None or self._is_keyless:
            return
        record = replace(
            self.record,
            state=RecordState.READY,
            playback_id=asset.playback_id,
            verified=verified,
            sha256=sha256,
            upload_url=None,
        )
        try:
            await self._write(record)
        except JournalError as error:
            _log.warning("asset %s is ready, but %s", asset.id, error)

    async def mark_failed(self) -> None:
        """Write that the server could make nothing of it; what can't be written is logged."""
        if self.record is None or self._is_keyless or self.record.state not in FULLY_UPLOADED:
            return
        try:
            await self._write(replace(self.record, state=RecordState.FAILED))
        except JournalError as error:
            _log.warning("asset %s has failed, but %s", self.record.asset_id, error)

    async def reserved_assets(self) -> set[str]:
        """List the assets that other keys hold, and those that are given up and may be deleted."""
        if self._journal is None:
            return set()
        records = [*await self._journal.records(), *await self._journal.keyless_records()]
        held = {it.asset_id for it in records if it.asset_id and it.key != self._key}
        return held | {orphan.asset_id for orphan in await self._journal.orphans()}

    async def abandon(self, *, is_useless: bool = True) -> None:
        """Give up what there is, and write what it may have left on the server.

        Args:
            is_useless: as in `Orphan`.
        """
        if self._journal is not None and self.record is not None:
            await self._journal.abandon(self.record, is_useless=is_useless)
        self.record = None

    async def record_deletion(self, asset_id: str) -> None:
        """Write that an asset is deleted."""
        if self._journal is not None:
            await self._journal.drop_orphan(asset_id)

    async def forget(self) -> None:
        """Forget the upload: nothing of it is left."""
        if self._journal is not None and self.record is not None:
            await self._journal.drop(self._key)
        self.record = None

    async def _write(self, record: Record) -> None:
        if self._journal is not None:
            await self._journal.write(record)
        self.record = record


@asynccontextmanager
async def acquire_lease(
    journal: Journal | None,
    key: str | None,
    source: Source,
    *,
    access: str,
    url: str | None = None,
) -> AsyncGenerator[Lease, None]:
    """Claim the upload of a key until the block ends.

    Args:
        journal: where it is written; `None` for nowhere.
        key: of the upload; `None` for one that no later run shall find.
        source: its bytes.
        access: who may play the asset, as `access_of` gives it.
        url: where the bytes come from, as `tell_url` gives it; nothing else tells them then.

    Raises:
        UploadInUse: somebody else carries it.
        JournalError: the journal can't be used.
    """
    identity = SourceIdentity(length=source.length, url=url)
    if journal is None:
        yield Lease(None, "", identity, access=access)
        return
    if key is None:
        async with journal.acquire_keyless() as made_up:
            yield Lease(journal, made_up, identity, access=access, is_keyless=True)
        return
    if url is None:
        identity = await source.identity()
    key = as_text(key)
    async with journal.acquire(key) as record:
        yield Lease(journal, key, identity, access=access, record=record)
