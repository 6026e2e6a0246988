"""`can_resume` of an error is true if a later call goes on without sending everything again."""

import msgspec
import pytest

from livepeer_async import RetryPolicy, errors
from livepeer_async.journal.records import Record, RecordState, access_fingerprint
from livepeer_async.journal.unfinished import (
    can_resume,
    is_unfinished,
    restore_fields,
    storable_fields,
)
from livepeer_async.models import Encryption, NewAsset, PlaybackPolicy
from livepeer_async.sandbox import Answer, CutConnection, FailProcessing, Fault, On, Slow, Stall
from livepeer_async.sources.identity import SourceIdentity
from support.clock import until
from support.constants import VERY_LONG
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client
from support.streams import split

VIDEO = make_bytes(6 * PART + 100)

# The fault, the error that it causes, and whether the upload of a file with a journal can resume.
CASES = {
    "connection": (Fault(On(method="PATCH", nth=2), CutConnection()), "RetriesExhausted", True),
    "refusal": (Fault(On(method="PATCH", nth=2), Answer(403)), "UploadRefused", True),
    "server before the ticket": (Fault(On(path="request-upload"), Answer(403)), "Forbidden", False),
    "lost upload": (Fault(On(method="PATCH", nth=2), Answer(410)), "UploadGone", False),
    "processing": (Fault(On(asset="talk"), FailProcessing()), "AssetFailed", False),
    "key revoked": (
        Fault(On(method="GET", path="/asset/[^u]"), Answer(401)),
        "NotAuthenticated",
        True,
    ),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


@pytest.mark.anyio
@pytest.mark.parametrize("name", CASES)
async def test_error_tells_whether_the_upload_is_kept(name, path, journal):
    fault, kind, expected = CASES[name]
    fault.fired = fault.seen = 0
    client = {"journal": journal, "retry": RetryPolicy(attempts=0, restarts=0)}
    async with sandbox_and_client(fault, client=client, **SMALL_S3) as (_, livepeer):
        with pytest.raises(errors.LivepeerError) as caught:
            await livepeer.upload(path)
        assert type(caught.value).__name__ == kind
        assert caught.value.can_resume is expected
        async with livepeer.upload_many([path]) as results:
            async for result in results:
                assert result.error is None or result.error.can_resume is expected


@pytest.mark.anyio
async def test_upload_without_a_journal_resumes_from_its_url(path):
    fault = Fault(On(method="PATCH", nth=2), Answer(403))
    async with sandbox_and_client(fault, **SMALL_S3) as (_, livepeer):
        for source, expected in ((path, True), (split(VIDEO, 1000), False)):
            fault.fired = fault.seen = 0
            length = None if expected else len(VIDEO)
            with pytest.raises(errors.UploadRefused) as caught:
                await livepeer.upload(source, length=length)
            assert caught.value.can_resume is expected
            assert (caught.value.upload_url is not None) is expected


@pytest.mark.anyio
async def test_cancelled_upload_of_a_block(path, journal):
    held = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(held, client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        with pytest.raises(ZeroDivisionError):
            async with livepeer.begin_upload(path) as upload:
                await until(lambda: held.fired)
                raise ZeroDivisionError
        assert isinstance(upload.error, errors.UploadStopped)
        assert upload.error.can_resume
        assert "was cancelled" in str(upload.error)


@pytest.mark.anyio
async def test_file_that_changes_restarts(path, journal):
    slow = Fault(On(method="PATCH"), Slow(PART * 20))
    async with sandbox_and_client(slow, client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        path.write_bytes(VIDEO[:-1])
        with pytest.raises(errors.SourceChanged) as caught:
            await upload.wait()
        assert not caught.value.can_resume


def connection_of(livepeer):
    """The journal's connection, to which limits apply."""
    return livepeer.journal._file._connection  # noqa: SLF001


@pytest.mark.anyio
async def test_full_disk_before_an_upload_leaves_no_asset(path, journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        # SQLite's page limit raises the same error as a full disk.
        connection_of(livepeer).execute("PRAGMA max_page_count = 1")
        with pytest.raises(errors.JournalError, match="disk is full") as caught:
            await livepeer.start_upload(path, key="k" * 100_000)
        assert not caught.value.can_resume
        assert all(asset.is_deleted for asset in sandbox.assets)


@pytest.mark.anyio
async def test_unwritable_journal_during_an_upload_loses_nothing(path, journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path)
        upload.pause()
        await until(lambda: upload.latest.is_paused)
        connection_of(livepeer).execute("PRAGMA query_only = 1")
        upload.resume()
        with pytest.raises(errors.JournalError) as caught:
            await upload.wait()
        assert caught.value.can_resume
        connection_of(livepeer).execute("PRAGMA query_only = 0")
        sent = sum(r.received for r in sandbox.requests)
        resumed = await livepeer.resume_upload(str(path))
        assert is_stored(sandbox, (await resumed.wait()).asset, VIDEO)
        assert sum(r.received for r in sandbox.requests) == sent
        assert len(sandbox.assets) == 1


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
