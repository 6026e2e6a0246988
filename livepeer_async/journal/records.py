"""Records of uploads as values, and the plan for resuming one. Pure."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from livepeer_async.models import Encryption, NewAsset, PlaybackPolicy, PolicyType
from livepeer_async.redaction import redact_url, redacted, show_source
from livepeer_async.sources.identity import SourceIdentity, is_touched

# Seconds for which a request may still take effect after it was abandoned.
MAX_SERVER_DELAY = 60.0
# Seconds within which a request takes effect, if its process was killed.
MAX_CREATION_DELAY = 600.0

PUBLIC = PlaybackPolicy(type=PolicyType.PUBLIC)


class RecordState(StrEnum):
    """The progress of an upload when its record was written."""

    REQUESTED = "requested"
    """The upload is being requested; there may be an asset."""
    ASSET_CREATED = "ticketed"
    """There is an asset; there may be an upload."""
    UPLOAD_CREATED = "created"
    """There is an upload URL; the server knows the offset."""
    UPLOADED = "arrived"
    """The server has all bytes."""
    READY = "ready"
    """The asset is ready and was verified as requested."""
    FAILED = "failed"
    """The server has all bytes, and processing had failed when it was last checked."""


# States in which no byte has to be sent any more.
FULLY_UPLOADED = frozenset({RecordState.UPLOADED, RecordState.READY, RecordState.FAILED})


@redacted("key", "state", "asset_id", key=show_source)
class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The progress of one upload. `repr` shows no upload URL, which is a bearer secret.

    Attributes:
        key: the caller's name for the upload; one key, one asset.
        name: of the asset.
        identity: of the source.
        requested_at: when the upload was requested, in seconds since 1970 by the local clock.
        access: playback policy and encryption, as `access_fingerprint` returns them.
        verified: how the content was verified, if it was.
        sha256: of the bytes that were read, in hex, if it was computed.
        is_keyless: whether the caller gave no key. The key is then a generated one, and the record
            is deleted once all bytes are uploaded.
        has_handle: whether the caller may have kept the upload URL, to resume with it.
        host: name of the machine that requested the upload; "" in the records of older versions.
        fields: of the `NewAsset`, as `storable_fields` returns them; `None` in older records.
        is_done: whether the caller wanted no more than that the server has all bytes.
        previous: the record of the complete upload that this one replaces, until its asset is
            ready; it returns if this one is abandoned.
    """

    key: str
    state: RecordState
    name: str
    identity: SourceIdentity
    requested_at: float
    access: str = ""
    asset_id: str | None = None
    playback_id: str | None = None
    upload_url: str | None = None
    verified: str | None = None
    sha256: str | None = None
    is_keyless: bool = False
    # True in the records of older versions, which don't say.
    has_handle: bool = True
    host: str = ""
    # Decoded when they are needed, so that no version makes the record unreadable.
    fields: dict[str, Any] | None = None
    is_done: bool = False
    previous: Record | None = None

    @property
    def is_unresumable(self) -> bool:
        """Whether no later run can continue the upload, as its bytes can't be recognised."""
        is_import = not self.identity.length
        return self.state not in FULLY_UPLOADED and not (self.identity.is_known or is_import)

    @property
    def latest(self) -> Record:
        """The record with the latest asset: the previous one until this one has an asset."""
        return self if self.asset_id is not None or self.previous is None else self.previous

    @property
    def known_sha256(self) -> str | None:
        """The SHA-256 of the bytes, if an earlier run knew it."""
        return self.sha256 or self.identity.sha256


@redacted(key=show_source, name=show_source)
class Orphan(Struct, frozen=True, kw_only=True):
    """An abandoned asset of this journal that may not be deleted yet.

    Attributes:
        key: of its upload; "" if it had none.
        name: of the asset.
        since: when it was abandoned, in seconds since 1970.
        is_useless: whether it is useless in any case; else only while it has no bytes.
        has_handle: as in `Record`.
        is_reported: whether the user was told that it couldn't be deleted.
    """

    asset_id: str
    key: str
    name: str
    since: float
    is_useless: bool = True
    has_handle: bool = True
    is_reported: bool = False

    @property
    def is_deletable(self) -> bool:
        """Whether it may be deleted without a question, unless it has all bytes."""
        return self.is_useless or not self.has_handle


@redacted(key=show_source, name=show_source)
class UnconfirmedRequest(Struct, frozen=True, kw_only=True):
    """A request for an upload without a response; it may have created an asset.

    Attributes:
        key: of the upload; "" if it had none.
        name: of the requested asset.
        since: when it was sent, in seconds since 1970 by the local clock.
        until: the latest time at which it may have created an asset.
        is_import: whether the server was to fetch the bytes itself.
        is_reported: whether the user was told of it.
    """

    key: str
    name: str
    since: float
    until: float
    is_import: bool = False
    is_reported: bool = False


def leftover_from(record: Record, now: float, *, is_useless: bool) -> Orphan | UnconfirmedRequest:
    """Return the possible leftover of an abandoned upload.

    Args:
        record: of the upload.
        now: seconds since 1970.
        is_useless: as in `Orphan`.
    """
    key = "" if record.is_keyless else record.key
    if record.asset_id is not None:
        return Orphan(
            asset_id=record.asset_id,
            key=key,
            name=record.name,
            since=now,
            is_useless=is_useless,
            has_handle=record.has_handle,
        )
    since = record.requested_at
    return UnconfirmedRequest(
        key=key,
        name=record.name,
        since=since,
        until=min(now + MAX_SERVER_DELAY, since + MAX_CREATION_DELAY),
        is_import=record.identity.length == 0,
    )


class ResumeAction(StrEnum):
    """The action of a later run for a record."""

    RESTART = "restart"
    """Start again, and delete the leftover."""
    RESUME = "resume"
    """Check its asset, and continue."""
    REJECT = "reject"
    """Raise an error: its asset has another playback policy or encryption."""
    SOURCE_CHANGED = "source_changed"
    """Check its asset: unless it failed, it has other bytes under the same key."""
    COMPARE_SHA256 = "compare_sha256"
    """Resume if the source has the recorded SHA-256; else its bytes have changed."""


def access_fingerprint(new_asset: NewAsset) -> str:
    """Return a digest of playback policy and encryption, which may contain keys."""
    return access_fingerprints(new_asset)[0]


def access_fingerprints(new_asset: NewAsset | None) -> tuple[str, ...]:
    """Return the digest of playback policy and encryption, and those of equal requests.

    The server treats null, an absent policy and a bare `public` alike, and an empty list like an
    absent one. Older records have digests that differ.
    """
    if new_asset is None:
        new_asset = NewAsset("")
    policy, encryption = new_asset.playback_policy, new_asset.encryption or UNSET
    plain = _without_empty_fields(policy) if policy else None
    equal: list[PlaybackPolicy | UnsetType | None] = [plain, policy]
    if plain is None or plain == PUBLIC:
        equal = [UNSET, None, PUBLIC, policy]
    return tuple(dict.fromkeys(_digest(policy, encryption) for policy in equal))


def _without_empty_fields(policy: PlaybackPolicy) -> PlaybackPolicy:
    return replace(
        policy,
        allowed_origins=policy.allowed_origins or None,
        webhook_context=policy.webhook_context or None,
    )


def _digest(policy: PlaybackPolicy | UnsetType | None, encryption: Encryption | UnsetType) -> str:
    fields = {"playback_policy": policy, "encryption": encryption}
    given = {name: value for name, value in fields.items() if value is not UNSET}
    return hashlib.sha256(msgspec.json.encode(given)).hexdigest()[:16] if given else ""


def url_fingerprint(url: str) -> str:
    """Return a digest of a URL without its signature."""
    return hashlib.sha256(redact_url(url).encode()).hexdigest()[:16]


def is_accepted(record: Record | None) -> bool:
    """Whether the server has all bytes, and hasn't failed to process them."""
    return record is not None and record.state in FULLY_UPLOADED - {RecordState.FAILED}


def plan_resume(
    record: Record, identity: SourceIdentity, access: str, *, ignore_mtime: bool = False
) -> ResumeAction:
    """Return the action of a later run for a record.

    A complete upload is found by its key even if its source has no known identity, such as a
    stream, or was moved to another disk; but never with another length. If the modification time
    differs, a recorded SHA-256 decides.

    Args:
        record: of an earlier run.
        identity: of the source now.
        access: of the requested asset.
        ignore_mtime: whether a source of the same length is the same, whenever it was modified.
    """
    if record.asset_id is None:
        return ResumeAction.RESTART
    before, is_uploaded = record.identity, record.state in FULLY_UPLOADED
    if record.access != access:
        return ResumeAction.REJECT if is_uploaded else ResumeAction.RESTART
    if is_uploaded:
        return _plan_for_uploaded(record, identity, ignore_mtime=ignore_mtime)
    is_same = before == identity or (ignore_mtime and is_touched(before, identity))
    return ResumeAction.RESUME if is_same and identity.is_known else ResumeAction.RESTART


def _plan_for_uploaded(
    record: Record, identity: SourceIdentity, *, ignore_mtime: bool
) -> ResumeAction:
    before = record.identity
    may_be_same = is_touched(before, identity)
    if replace(before, inode=identity.inode) == identity or (ignore_mtime and may_be_same):
        return ResumeAction.RESUME
    # A stream can't be read for its SHA-256 first.
    if may_be_same and identity.is_known and record.known_sha256 is not None:
        return ResumeAction.COMPARE_SHA256
    return ResumeAction.SOURCE_CHANGED


def as_text(key: str) -> str:
    """Return a key as valid UTF-8: file names may contain any bytes."""
    return key.encode("utf-8", "backslashreplace").decode()
