"""Which uploads later runs go on with, by errors and records."""

import msgspec

from livepeer_async import errors
from livepeer_async.journal.records import Record, RecordState, access_fingerprint
from livepeer_async.journal.unfinished import (
    can_resume,
    is_unfinished,
    restore_fields,
    storable_fields,
)
from livepeer_async.models import Encryption, NewAsset, PlaybackPolicy
from livepeer_async.sources.identity import SourceIdentity

RECORD = Record(
    key="k",
    state=RecordState.UPLOAD_CREATED,
    name="talk",
    identity=SourceIdentity(length=3, modified_ns=1),
    requested_at=1.0,
    upload_url="https://origin.example/files/ab12",
    asset_id="1",
)


def test_later_run_goes_on_by_record():
    stream = SourceIdentity(length=3)
    replace = msgspec.structs.replace
    records = {
        RECORD: (True, True),
        replace(RECORD, state=RecordState.UPLOADED): (True, True),
        replace(RECORD, state=RecordState.UPLOADED, identity=stream): (True, True),
        replace(RECORD, state=RecordState.UPLOADED, is_done=True): (True, False),
        replace(RECORD, state=RecordState.READY): (True, False),
        replace(RECORD, state=RecordState.FAILED, upload_url=None): (False, False),
        replace(RECORD, state=RecordState.REQUESTED, upload_url=None): (False, True),
        replace(RECORD, identity=stream): (False, False),
        replace(RECORD, identity=SourceIdentity(length=0)): (False, False),
        replace(RECORD, is_keyless=True): (False, False),
    }
    interrupted = errors.RetriesExhausted("x", attempts=1)
    for record, expected in records.items():
        assert (can_resume(interrupted, record), is_unfinished(record)) == expected, record
    assert not is_unfinished(replace(RECORD, identity=SourceIdentity(length=3, url="x")))


def error(kind, **attributes):
    """Create an error without its arguments."""
    found = kind.__new__(kind)
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


def test_later_run_goes_on_by_error():
    final = (
        errors.AssetDeleted,
        errors.AssetFailed,
        errors.IntegrityError,
        errors.KeyTaken,
        errors.ConfigurationError,
        errors.SourceChanged,
        errors.SourceEmpty,
        errors.SourceTooLarge,
        errors.SourceUnsupported,
        errors.SourceNotReplayable,
        errors.UploadGone,
    )
    kept = (
        errors.AmbiguousRequest,
        errors.AssetTimeout,
        errors.ClientClosed,
        errors.DecodeError,
        errors.JournalError,
        errors.NetworkError,
        errors.NotAuthenticated,
        errors.ProtocolError,
        errors.ServerError,
        errors.SourceNotReadable,
        errors.TooManyOpenFiles,
        errors.UploadRefused,
        errors.UploadStopped,
    )
    assert not any(can_resume(error(kind), RECORD) for kind in final)
    assert all(can_resume(error(kind), RECORD) for kind in kept)
    assert not any(can_resume(error(kind), None) for kind in (*final, *kept))
    assert can_resume(error(errors.UploadInUse), None)
    for kind in (errors.UploadStopped, errors.ClientClosed, errors.JournalError):
        assert can_resume(error(kind, upload_url="https://origin.example/files/ab12"), None)


def test_fields_of_an_asset_are_restored_but_for_secrets():
    public = NewAsset("talk", creator_id="c", playback_policy=PlaybackPolicy(type="public"))
    secret = NewAsset("talk", encryption=Encryption(encrypted_key="f00dcafe"))
    webhook = PlaybackPolicy(type="webhook", webhook_id="w", webhook_context={"k": "f00dcafe"})
    for new_asset, missing in (
        (public, ""),
        (secret, "the journal holds no encryption key and no webhook context"),
        (
            NewAsset("talk", playback_policy=webhook),
            "the journal holds no encryption key and no webhook context",
        ),
    ):
        record = record_of(new_asset)
        assert b"f00dcafe" not in msgspec.json.encode(record)
        restored, reason = restore_fields(record)
        assert reason == missing
        assert restored.name == "talk"
        assert missing or restored == new_asset
    older = msgspec.structs.replace(RECORD, fields=None)
    assert restore_fields(older) == (
        NewAsset("talk"),
        "the journal doesn't hold the fields of its asset",
    )


def record_of(new_asset):
    fields = storable_fields(new_asset)
    access = access_fingerprint(new_asset)
    return msgspec.structs.replace(RECORD, fields=fields, access=access)
