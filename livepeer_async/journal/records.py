"""Records of uploads as values, and what a later run does with one.

Pure.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec
from msgspec import UNSET, Struct

from livepeer_async.models import NewAsset
from livepeer_async.redaction import redact_url, redacted, show_source
from livepeer_async.sources.identity import SourceIdentity


class RecordState(StrEnum):
    """How far an upload had come when its record was written."""

    REQUESTED = "requested"
    """It was asked for; whether there is an asset, nobody knows."""
    ASSET_CREATED = "ticketed"
    """There is an asset; whether there is an upload, nobody knows."""
    UPLOAD_CREATED = "created"
    """There is an upload URL; the server knows its offset."""
    UPLOADED = "arrived"
    """The server has all bytes."""
    READY = "ready"
    """The asset became ready, and was compared as far as that was wanted."""
    FAILED = "failed"
    """The server has all bytes, and could make nothing of them when it was last asked."""


# States in which nothing has to be sent any more.
FULLY_UPLOADED = frozenset({RecordState.UPLOADED, RecordState.READY, RecordState.FAILED})


@redacted("key", "state", "asset_id", key=show_source)
class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one upload stands. `repr` shows no upload URL, which is a bearer secret.

    Attributes:
        key: the caller's name for the upload; one key, one asset.
        name: of the asset.
        identity: of the source.
        requested_at: when the upload was asked for, in seconds since 1970 by this machine's clock.
        access: who may play the asset and how it is encrypted, as `access_of` gives it.
        verified: how far the content is proved, where it was compared.
        sha256: of the bytes that were read, in hex, where it was made.
        is_keyless: whether the caller gave no key, so that no later run can ask for the upload;
            `key` is then one that was made up, and the record lasts only until the bytes are there.
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


@redacted(key=show_source, name=show_source)
class Orphan(Struct, frozen=True, kw_only=True):
    """An asset of ours that is given up and isn't known to be deleted.

    Attributes:
        key: of the upload that it was made for; "" where it had none.
        name: of the asset.
        since: when it was given up, in seconds since 1970.
        is_useless: whether it is of no use whatever becomes of it; else only while it has no bytes.
    """

    asset_id: str
    key: str
    name: str
    since: float
    is_useless: bool = True


@redacted(key=show_source, name=show_source)
class UnconfirmedRequest(Struct, frozen=True, kw_only=True):
    """A request for an upload whose answer was lost: it may have made an asset.

    Attributes:
        key: of the upload; "" where it had none.
        name: that was asked for.
        since: when it was sent, in seconds since 1970 by this machine's clock.
        until: when it was given up.
        is_import: whether the server was to fetch the bytes itself.
    """

    key: str
    name: str
    since: float
    until: float
    is_import: bool = False


# A request that was given up may still be carried out for so long.
MAX_SERVER_DELAY = 60.0
# The process may have ended right after it was sent, days before anybody looks.
MAX_CREATION_DELAY = 600.0


def leftover_from(record: Record, now: float, *, is_useless: bool) -> Orphan | UnconfirmedRequest:
    """Say what an upload that is given up may have left on the server.

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
        )
    since = record.requested_at
    until = min(now + MAX_SERVER_DELAY, since + MAX_CREATION_DELAY)
    is_import = record.identity.length == 0
    return UnconfirmedRequest(
        key=key, name=record.name, since=since, until=until, is_import=is_import
    )


class ResumeAction(StrEnum):
    """What a later run does with a record."""

    RESTART = "begin"
    """Nothing of it can be used; what is left on the server is thrown away."""
    RESUME = "look"
    """Look at its asset, and go on from there."""
    REJECT = "refuse"
    """Its asset is there and others may play it than those who are wanted."""
    SOURCE_CHANGED = "doubt"
    """Look at its asset: unless it failed, it was made of other bytes under the same key."""


def access_fingerprint(new_asset: NewAsset) -> str:
    """Tell who may play an asset, and how it is encrypted, as a digest: keys may be in it."""
    fields = {
        "playback_policy": new_asset.playback_policy,
        "encryption": new_asset.encryption,
    }
    wanted = {name: value for name, value in fields.items() if value is not UNSET}
    return hashlib.sha256(msgspec.json.encode(wanted)).hexdigest()[:16] if wanted else ""


def url_fingerprint(url: str) -> str:
    """Tell a URL from others as a digest, whatever its signature of the day is."""
    return hashlib.sha256(redact_url(url).encode()).hexdigest()[:16]


def plan_resume(record: Record, identity: SourceIdentity, access: str) -> ResumeAction:
    """Say what a later run does with a record.

    An upload that has arrived is found again by its key also where its source can't be told, a
    stream for instance, or was moved to another disk; but never with another length or time of
    change.

    Args:
        record: what an earlier run wrote.
        identity: of the source as it is today.
        access: of the asset that is wanted today.
    """
    if record.asset_id is None:
        return ResumeAction.RESTART
    was, is_all_there = record.identity, record.state in FULLY_UPLOADED
    if record.access != access:
        return ResumeAction.REJECT if is_all_there else ResumeAction.RESTART
    if is_all_there:
        then = (was.length, was.modified_ns, was.sha256, was.url)
        today = (identity.length, identity.modified_ns, identity.sha256, identity.url)
        return ResumeAction.RESUME if then == today else ResumeAction.SOURCE_CHANGED
    return ResumeAction.RESUME if was == identity and identity.is_known else ResumeAction.RESTART
