"""Acquires the lease on a key for a source."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from livepeer_async.journal.lease import Lease
from livepeer_async.journal.records import Record, as_text
from livepeer_async.sources.identity import SourceIdentity
from livepeer_async.sources.source import Source

if TYPE_CHECKING:
    from livepeer_async.journal.journal import Journal


@asynccontextmanager
async def acquire_lease(
    journal: Journal | None,
    key: str | None,
    source: Source,
    *,
    access: Sequence[str],
    url: str | None = None,
    ignore_mtime: bool = False,
    has_handle: bool = False,
) -> AsyncGenerator[Lease, None]:
    """Hold the lease on a key until the block ends.

    Args:
        journal: the journal; `None` writes nothing.
        key: of the upload; `None` for one that no later run resumes.
        source: its bytes.
        access: playback policy and encryption, as `access_fingerprints` returns them: today's
            fingerprint, then those that older records have instead.
        url: fingerprint of the URL that the bytes come from; then it is their only identity.
        ignore_mtime: as for `plan_resume`.
        has_handle: as in `Record`.

    Raises:
        UploadInUse: another upload, here or in another process, holds the claim.
        JournalError: the journal can't be used.
    """
    identity = SourceIdentity(length=source.length, url=url)
    current, *older = access
    if journal is None:
        yield Lease(None, key or "", identity, access=current)
        return
    if key is None:
        async with journal.acquire_keyless() as generated:
            lease = Lease(journal, generated, identity, access=current, is_keyless=True)
            lease.has_handle = has_handle
            yield lease
        return
    if url is None:
        identity = await source.identity()
    key = as_text(key)
    async with journal.acquire(key) as found:
        record = found and found.latest
        if found is not None and record is not found:
            # The request of an upload that was to replace a complete one was interrupted.
            await journal.abandon(found, is_useless=False)
        if record is not None and record.access in older:
            record = replace(record, access=current)
        if record is not None:
            record = _without_foreign_inode(record, identity)
        lease = Lease(
            journal, key, identity, access=current, record=record, ignore_mtime=ignore_mtime
        )
        lease.has_handle = has_handle
        yield lease


def _without_foreign_inode(record: Record, identity: SourceIdentity) -> Record:
    """Return a record that is compared without the inode if another machine has written it.

    A file has the same inode on NFS, but not on SMB, FUSE or a copy.
    """
    if record.host in ("", socket.gethostname()):
        return record
    return replace(record, identity=replace(record.identity, inode=identity.inode))
