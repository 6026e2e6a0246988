"""The lease on one key: its claim and its record in the journal, while its upload runs.

Each fact is written before the effect that follows from it. Without a journal nothing is written.
Without a key, the record only notes a possible leftover, and is deleted once the last byte is
uploaded.

A record ends in one of three ways: `forget`, if nothing is left on the server; `abandon`, if
something may be left, which is recorded as an orphan or an unconfirmed request; or
`AssetRequests.discard`, which records the asset as an orphan and deletes it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from livepeer_async.errors import (
    ConfigurationError,
    JournalError,
    KeyTaken,
    SourceChanged,
    TooManyOpenFiles,
)
from livepeer_async.journal.guard import Guard, Send
from livepeer_async.journal.records import (
    FULLY_UPLOADED,
    Record,
    RecordState,
    ResumeAction,
    plan_resume,
)
from livepeer_async.models import Asset
from livepeer_async.redaction import show_source
from livepeer_async.sources.identity import SourceIdentity, describe_changes, is_touched
from livepeer_async.sources.source import Source
from livepeer_async.telemetry.events import JOURNAL_NOT_WRITTEN, log_event

if TYPE_CHECKING:
    from livepeer_async.journal.journal import Journal


class Lease:
    """The right to run the upload of a key, and its record.

    Args:
        journal: the journal; `None` writes nothing.
        key: the caller's name for the upload.
        identity: of the source.
        access: playback policy and encryption, as `access_fingerprint` returns them.
        record: of an earlier run.
        is_keyless: whether the key is a generated one, of an upload without a key.
        ignore_mtime: as for `plan_resume`.

    Attributes:
        fields, has_handle, previous: as in `Record`.
        missing: why an upload of an earlier run can't be requested again; "" if it can.
        identity: of the source now.
        record: the upload's record in the journal.
    """

    def __init__(
        self,
        journal: Journal | None,
        key: str,
        identity: SourceIdentity,
        *,
        access: str = "",
        record: Record | None = None,
        is_keyless: bool = False,
        ignore_mtime: bool = False,
    ) -> None:
        self._journal = journal
        self._key = key
        self.identity = identity
        self._access = access
        self._is_keyless = is_keyless
        self._ignore_mtime = ignore_mtime
        self.has_handle = False
        self.fields: dict[str, Any] | None = None
        self.missing = ""
        self.record = record
        self.previous = record.previous if record else None

    def guarded(self, send: Send) -> Send:
        """Return a function that sends requests only while this process certainly has the claim."""
        if self._journal is None or not self._journal.is_shared:
            return send
        return Guard(self._journal, self._key, send).send

    @property
    def key(self) -> str | None:
        """The caller's name for the upload; `None` without one."""
        return None if self._is_keyless else self._key or None

    @property
    def is_import(self) -> bool:
        """Whether the server fetches the bytes itself."""
        return self.identity.length == 0

    @property
    def recorded_length(self) -> int:
        """Bytes of the recorded source; 0 for an import, and without a record."""
        return self.record.identity.length if self.record else 0

    @property
    def is_finished(self) -> bool:
        """Whether the asset was ready and verified, in this run or an earlier one."""
        return self.record is not None and self.record.state is RecordState.READY

    @property
    def is_resumable(self) -> bool:
        """Whether a later run could continue the upload."""
        has_url = self.record is not None and self.record.upload_url is not None
        return has_url and self.identity.is_known

    def plan_resume(self) -> ResumeAction:
        """Return the action for the record of an earlier run.

        Raises:
            ConfigurationError: as for `check_request`.
        """
        action = ResumeAction.RESTART
        if self.record is not None:
            action = plan_resume(
                self.record, self.identity, self._access, ignore_mtime=self._ignore_mtime
            )
        if action is ResumeAction.RESTART:
            self.check_request()
        return action

    def check_request(self) -> None:
        """Check that an upload may be requested, before anything of an earlier run is deleted.

        Raises:
            ConfigurationError: the fields of the asset aren't known.
        """
        if self.missing:
            raise ConfigurationError(
                f"the upload of {show_source(self._key)!r} must begin again, but {self.missing}",
                advice="call upload(source, new_asset, key=...) instead",
            )

    def has_sha256(self, sha256: str) -> bool:
        """Whether the recorded bytes have this SHA-256."""
        return self.record is not None and self.record.known_sha256 == sha256

    async def record_identity(self) -> None:
        """Record the identity that the source has now, because its bytes are the same."""
        is_known = self.record is not None and not self._is_keyless
        if self.record is not None and is_known and self.record.identity != self.identity:
            sha256 = self.record.known_sha256
            await self._write(replace(self.record, identity=self.identity, sha256=sha256))

    async def record_sha256(self, sha256: str | None) -> None:
        """Record the SHA-256 of the bytes, for a later run whose source was touched."""
        is_new = self.record is not None and self.record.sha256 != sha256
        if self.record is not None and sha256 and is_new and not self._is_keyless:
            await self._write(replace(self.record, sha256=sha256))

    def check_sha256(self, source: Source, sha256: str | None) -> None:
        """Compare a digest with that of an earlier run, if both are known.

        Raises:
            SourceChanged: they differ.
        """
        before = self.record.sha256 if self.record else None
        if before and sha256 and before != sha256:
            raise self.source_changed_error(source)

    def access_changed_error(self) -> KeyTaken:
        """Return the error for a key whose asset has another playback policy or encryption."""
        advice = "change it with assets.update, or use another key"
        return self._key_taken_error("has another playback policy or encryption", advice)

    def wrong_url_error(self) -> KeyTaken:
        """Return the error for a key whose asset was made from another URL."""
        advice = "use another key, or remove this one from the journal"
        return self._key_taken_error("was made from another URL", advice)

    def _key_taken_error(self, reason: str, advice: str) -> KeyTaken:
        message = (
            f"the key {show_source(self._key)!r} belongs to asset {self._asset_id}, which {reason}"
        )
        return KeyTaken(message, asset_id=self._asset_id, advice=advice)

    def source_changed_error(self, source: Source) -> SourceChanged:
        """Return the error for a source that has changed since it was uploaded under the key."""
        before = self.record.identity if self.record else self.identity
        changes = describe_changes(before, replace(self.identity, inode=before.inode))
        may_be_same = is_touched(before, self.identity)
        # A recorded SHA-256 decides, except for a stream, which can't be read for it first.
        is_decided = self.record and self.record.known_sha256 and self.identity.is_known
        if is_decided and may_be_same:
            changes = ", ".join([*filter(None, [changes]), "another SHA-256"])
        error = SourceChanged(
            f"{source.name} has changed since it was uploaded under the key "
            f"{show_source(self._key)!r} as asset {self._asset_id} ({changes or 'other bytes'})",
            source=source.name,
            asset_id=self._asset_id,
        )
        error.is_touched = may_be_same and not is_decided
        if error.is_touched:
            error.advice = f"pass ignore_mtime=True if the content is the same, {error.advice}"
        return error

    @property
    def _asset_id(self) -> str:
        return (self.record and self.record.asset_id) or ""

    async def record_request(self, name: str) -> None:
        """Record that an upload is about to be requested."""
        self.check_request()
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
            has_handle=self.has_handle,
            host=socket.gethostname(),
            fields=self.fields,
            previous=self.previous,
        )
        await self._write(record)

    async def record_asset(self, asset: Asset) -> None:
        """Record the created asset."""
        if self.record is not None:
            # Set even if the write fails: an abandoned upload then leaves an asset with an ID.
            self.record = replace(
                self.record,
                state=RecordState.ASSET_CREATED,
                asset_id=asset.id,
                playback_id=asset.playback_id or None,
            )
            await self._write(self.record)

    async def record_upload_url(self, upload_url: str) -> None:
        """Record the upload URL, before the first chunk is sent."""
        if self.record is not None and not self._is_keyless:
            record = replace(self.record, state=RecordState.UPLOAD_CREATED, upload_url=upload_url)
            await self._write(record)

    async def keep_for_caller(self) -> None:
        """Record that the caller gets the upload URL with an error, and may resume with it."""
        if self.record is not None and self._is_keyless and not self.record.has_handle:
            await self._write(replace(self.record, has_handle=True))

    async def mark_uploaded(self, *, is_done: bool = False) -> None:
        """Record that the server has all bytes; without a key, a failed write is only logged."""
        if self.record is None or self.record.state is RecordState.READY:
            return
        record = replace(self.record, state=RecordState.UPLOADED, upload_url=None, is_done=is_done)
        if self._is_keyless and self._journal is not None:
            # Kept in memory: the upload is abandoned if its bytes turn out to be wrong.
            self.record = record
            await _or_log(self._journal.drop_keyless(self._key), record, "is uploaded")
        else:
            await self._write(record)

    async def mark_ready(self, asset: Asset, verified: str | None, sha256: str | None) -> None:
        """Record that the asset is ready.

        A failed write is only logged: a later run finds the asset by its earlier record.
        """
        if self.record is None or self._is_keyless:
            return
        record = replace(
            self.record,
            state=RecordState.READY,
            playback_id=asset.playback_id or None,
            verified=verified,
            sha256=sha256 or self.record.sha256,
            upload_url=None,
            previous=None,
        )
        await _or_log(self._write(record), record, "is ready")

    async def mark_failed(self) -> None:
        """Record that processing failed; a failed write is only logged."""
        if self.record is None or self._is_keyless or self.record.state not in FULLY_UPLOADED:
            return
        record = replace(self.record, state=RecordState.FAILED)
        await _or_log(self._write(record), record, "has failed")

    async def reserved_assets(self) -> set[str]:
        """Return the IDs of the assets of other keys, and of the orphans."""
        if self._journal is None:
            return set()
        records = [*await self._journal.records(), *await self._journal.keyless_records()]
        others = {it.asset_id for it in records if it.asset_id and it.key != self._key}
        return others | {orphan.asset_id for orphan in await self._journal.orphans()}

    async def abandon(self, *, is_useless: bool = True) -> None:
        """Abandon the upload, and record its possible leftover.

        Args:
            is_useless: as in `Orphan`.
        """
        if self._journal is not None and self.record is not None:
            await self._journal.abandon(self.record, is_useless=is_useless)
        self.record = None

    async def record_deletion(self, asset_id: str) -> None:
        """Record that an asset was deleted."""
        if self._journal is not None:
            await self._journal.drop_orphan(asset_id)

    async def forget(self) -> None:
        """Delete the record, because nothing of the upload is on the server.

        The record of the upload that it was to replace returns.
        """
        if self._journal is not None and self.record is not None:
            if self.record.previous is not None:
                await self._journal.write(self.record.previous)
            else:
                await self._journal.drop(self._key)
        self.record = None

    def replace_uploaded(self) -> None:
        """Start again if an earlier run has uploaded all bytes; its asset stays.

        Its record stays until the new asset exists, and returns if the new upload is abandoned.
        """
        if self.record is not None and self.record.state in FULLY_UPLOADED:
            self.previous, self.record = replace(self.record, previous=None), None

    async def _write(self, record: Record) -> None:
        if self._journal is not None:
            await self._journal.write(record)
        self.record = record


async def _or_log(writing: Awaitable[None], record: Record, outcome: str) -> None:
    """Await a write to the journal, and log its failure."""
    try:
        await writing
    except (JournalError, TooManyOpenFiles) as error:
        shown = record.asset_id, outcome, error
        facts = {"asset_id": record.asset_id, "reason": str(error)}
        log_event(JOURNAL_NOT_WRITTEN, "asset %s %s, but %s", *shown, **facts)
