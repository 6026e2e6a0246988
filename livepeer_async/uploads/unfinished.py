"""Unfinished uploads in the journal: their list, and the jobs that go on with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from livepeer_async.errors import ConfigurationError, SourceNotReadable
from livepeer_async.journal.records import FULLY_UPLOADED, Record, RecordState
from livepeer_async.journal.unfinished import is_resumable, restore_fields
from livepeer_async.models.model import Model
from livepeer_async.redaction import redacted, show_source
from livepeer_async.sources.identity import SourceIdentity
from livepeer_async.sources.source import Source, SourceLike
from livepeer_async.uploads.options import ResumedJob, Verify
from livepeer_async.uploads.progress import Stage

if TYPE_CHECKING:
    # Imports SQLite, which only a client with a journal needs.
    from livepeer_async.journal.journal import Journal

_STAGES = {
    RecordState.UPLOAD_CREATED: Stage.UPLOADING,
    RecordState.UPLOADED: Stage.PROCESSING,
}


@redacted(key=show_source)
class UnfinishedUpload(Model, frozen=True, kw_only=True):
    """An upload in the journal that `AsyncLivepeer.resume_upload` can go on with.

    Attributes:
        key: of the upload.
        name: of the asset.
        state: `starting` if nothing was sent, `uploading`, or `processing` if all bytes were.
        since: when the upload was requested, in seconds since 1970.
        asset_id: of the asset; None if it isn't known that there is one.
        host: name of the machine that requested it, which may be the only one with the source.
        is_running: whether a process is running it now, this one or another.
    """

    key: str
    name: str
    state: Stage
    since: float
    asset_id: str | None = None
    host: str = ""
    is_running: bool = False


class RecordedSource(Source):
    """The source of an upload whose bytes the server has: only its identity is known."""

    is_replayable = False

    def __init__(self, record: Record) -> None:
        super().__init__(record.name, record.identity.length)
        self._identity = record.identity

    @property
    def can_restart(self) -> bool:
        """False."""
        return False

    async def identity(self) -> SourceIdentity:
        """Return the recorded identity."""
        return self._identity

    async def read_into(self, position: int, buffer: memoryview) -> int:  # noqa: ARG002
        """Raise SourceNotReadable."""
        raise SourceNotReadable(f"{self.name} has to be read, but isn't known", source=self.name)


async def find_unfinished(journal: Journal) -> list[UnfinishedUpload]:
    """Return the unfinished uploads of a journal, the oldest first."""
    found = [
        UnfinishedUpload(
            key=record.key,
            name=record.name,
            state=_STAGES.get(record.state, Stage.STARTING),
            since=record.requested_at,
            asset_id=record.asset_id,
            host=record.host,
            is_running=is_running,
        )
        for record, is_running in await journal.unfinished()
    ]
    return sorted(found, key=lambda upload: upload.since)


async def find_job(
    journal: Journal, key: str, source: SourceLike | None, *, length: int | None, verify: Verify
) -> ResumedJob:
    """Return the job that goes on with the upload of a key; arguments as for `resume_upload`.

    Raises:
        ConfigurationError: the journal has no such upload, or the source is required.
    """
    shown = show_source(key)
    record = (await journal.find([key])).get(key)
    if record is None or record.is_keyless:
        raise ConfigurationError(
            f"the journal {journal.path} has no upload of {shown!r}", advice="call upload instead"
        )
    new_asset, missing = restore_fields(record)
    recorded = None if source is not None else _find_recorded(record, verify)
    if source is None and recorded is None and not Path(key).is_absolute():
        error = ConfigurationError(
            f"the upload of {shown!r} needs its source, because the key isn't a path",
            advice="pass source= to resume_upload",
        )
        error.can_resume = is_resumable(record)
        raise error
    return ResumedJob(
        key if source is None else source,
        new_asset,
        length,
        key,
        access=record.access,
        missing=missing,
        recorded=recorded,
    )


def _find_recorded(record: Record, verify: Verify) -> Source | None:
    """Return the source of an upload whose bytes needn't be read again."""
    if record.state not in FULLY_UPLOADED or not record.identity.length:
        return None
    return None if verify == "hash" and Path(record.key).is_absolute() else RecordedSource(record)
