import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from livepeer_async import Encryption, NewAsset, PlaybackPolicy, PolicyType
from livepeer_async.journal.records import (
    Record,
    RecordState,
    ResumeAction,
    access_fingerprint,
    access_fingerprints,
    as_text,
    is_accepted,
    leftover_from,
    plan_resume,
    url_fingerprint,
)
from livepeer_async.sources.identity import SourceIdentity

FILE = SourceIdentity(length=9, modified_ns=5, inode=3)
BYTES = SourceIdentity(length=9, sha256="ab")
STREAM = SourceIdentity(length=9)


def record(state, identity=FILE, **fields):
    return Record(
        **{
            "key": "talk",
            "state": state,
            "name": "talk.mp4",
            "identity": identity,
            "requested_at": 1.0,
            "asset_id": "asset-1",
            **fields,
        }
    )


@pytest.mark.parametrize(
    "state",
    [
        RecordState.ASSET_CREATED,
        RecordState.UPLOAD_CREATED,
        RecordState.UPLOADED,
        RecordState.READY,
    ],
)
@pytest.mark.parametrize("identity", [FILE, BYTES])
def test_record_of_the_same_bytes_is_resumed(state, identity):
    assert plan_resume(record(state, identity), identity, "") is ResumeAction.RESUME


def test_request_without_a_response_is_restarted():
    requested = record(RecordState.REQUESTED, asset_id=None)
    assert plan_resume(requested, FILE, "") is ResumeAction.RESTART


@pytest.mark.parametrize("changed", [{"length": 8}, {"modified_ns": 6}, {"inode": 4}])
def test_unfinished_upload_of_a_changed_file_is_restarted(changed):
    assert (
        plan_resume(record(RecordState.UPLOAD_CREATED), replace(FILE, **changed), "")
        is ResumeAction.RESTART
    )


def test_unfinished_upload_of_a_stream_is_restarted():
    assert (
        plan_resume(record(RecordState.UPLOAD_CREATED, STREAM), STREAM, "") is ResumeAction.RESTART
    )


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
@pytest.mark.parametrize("changed", [{"length": 8}, {"modified_ns": 6}])
def test_complete_upload_of_a_changed_file_is_not_resumed(state, changed):
    assert plan_resume(record(state), replace(FILE, **changed), "") is ResumeAction.SOURCE_CHANGED


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
def test_complete_upload_of_a_moved_file_is_resumed(state):
    assert plan_resume(record(state), replace(FILE, inode=4), "") is ResumeAction.RESUME


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
def test_complete_upload_of_a_stream_is_resumed(state):
    assert plan_resume(record(state, STREAM), STREAM, "") is ResumeAction.RESUME


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY, RecordState.FAILED])
def test_upload_of_another_url_is_not_resumed(state):
    before, now = (
        replace(STREAM, url=url_fingerprint(f"https://a.example/{name}")) for name in "ab"
    )
    assert plan_resume(record(state, before), now, "") is ResumeAction.SOURCE_CHANGED
    assert plan_resume(record(state, before), before, "") is ResumeAction.RESUME


def test_repr_of_a_record_shows_no_upload_url():
    shown = repr(
        record(RecordState.UPLOAD_CREATED, upload_url="https://origin.example/files/secret")
    )
    assert (
        shown
        == "Record(key='talk', state=<RecordState.UPLOAD_CREATED: 'created'>, asset_id='asset-1')"
    )
    rich = record(
        RecordState.UPLOAD_CREATED, upload_url="https://origin.example/files/x"
    ).__rich_repr__()
    assert rich == [("key", "talk"), ("state", "created"), ("asset_id", "asset-1")]


@pytest.mark.parametrize(
    ("state", "expected"),
    [(RecordState.UPLOAD_CREATED, ResumeAction.RESTART), (RecordState.READY, ResumeAction.REJECT)],
)
def test_asset_with_another_policy_is_not_resumed(state, expected):
    private = access_fingerprint(NewAsset("a", playback_policy=PlaybackPolicy(type="jwt")))
    assert plan_resume(record(state), FILE, private) is expected
    assert plan_resume(record(state, access=private), FILE, "") is expected
    assert plan_resume(record(state, access=private), FILE, private) is ResumeAction.RESUME


def test_access_fingerprint_ignores_other_fields():
    assert (
        access_fingerprint(NewAsset("a", creator_id="b")) == access_fingerprint(NewAsset("c")) == ""
    )


def test_equal_requests_have_equal_access_fingerprints():
    key = Encryption(encrypted_key="k")
    plain = [UNSET, None, PlaybackPolicy(type="public"), PlaybackPolicy(type=PolicyType.PUBLIC)]
    jwt = [PlaybackPolicy(type="jwt"), PlaybackPolicy(type="jwt", allowed_origins=())]
    for policies in (plain, jwt):
        for encryption in (UNSET, key):
            made = {
                access_fingerprint(NewAsset("a", playback_policy=policy, encryption=encryption))
                for policy in policies
            }
            assert len(made) == 1
    assert access_fingerprints(None) == access_fingerprints(NewAsset("a"))
    assert access_fingerprint(NewAsset("a", playback_policy=jwt[0])) != ""


def test_abandoned_upload_may_leave_its_asset():
    orphan = leftover_from(record(RecordState.UPLOAD_CREATED), 7.0, is_useless=False)
    assert (orphan.asset_id, orphan.since, orphan.is_useless) == ("asset-1", 7.0, False)


@pytest.mark.parametrize(("now", "until"), [(7.0, 67.0), (1e6, 601.0)])
def test_abandoned_request_may_create_an_asset_later(now, until):
    requested = record(RecordState.REQUESTED, asset_id=None)
    unconfirmed = leftover_from(requested, now, is_useless=True)
    assert (unconfirmed.name, unconfirmed.since, unconfirmed.until) == ("talk.mp4", 1.0, until)


SIGNED = "https://user:pass@bucket.example/a.mp4?X-Amz-Signature=51ab"


@pytest.mark.parametrize("asset_id", ["asset-1", None])
def test_signature_of_a_key_is_not_shown(asset_id):
    signed = record(RecordState.ASSET_CREATED, key=SIGNED, asset_id=asset_id)
    for value in (signed, leftover_from(signed, 9.0, is_useless=True)):
        assert "https://bucket.example/a.mp4" in repr(value)
        for shown in (repr(value), repr(value.__rich_repr__())):
            assert "pass" not in shown
            assert "51ab" not in shown


@pytest.mark.parametrize("length", [0, 9])
def test_leftover_of_an_import_is_marked(length):
    requested = record(RecordState.REQUESTED, SourceIdentity(length=length), asset_id=None)
    assert leftover_from(requested, 9.0, is_useless=True).is_import == (length == 0)


@pytest.mark.parametrize("asset_id", [None, "asset-1"])
def test_leftover_of_a_keyless_upload_has_no_key(asset_id):
    keyless = replace(record(RecordState.ASSET_CREATED), asset_id=asset_id, is_keyless=True)
    assert leftover_from(keyless, 9.0, is_useless=False).key == ""


def test_url_fingerprint_ignores_the_signature():
    assert url_fingerprint(SIGNED) == url_fingerprint(
        "https://bucket.example/a.mp4?X-Amz-Signature=52bc"
    )
    assert url_fingerprint(SIGNED) != url_fingerprint("https://bucket.example/b.mp4")


@pytest.mark.parametrize("state", RecordState)
def test_only_uploads_that_did_not_fail_are_accepted(state):
    assert is_accepted(record(state)) is (state in {RecordState.UPLOADED, RecordState.READY})


def test_upload_without_a_record_is_not_accepted():
    assert not is_accepted(None)


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY, RecordState.FAILED])
def test_recorded_sha256_decides_for_a_touched_file(state):
    touched = replace(FILE, modified_ns=6, inode=4)
    compare = ResumeAction.COMPARE_SHA256
    assert plan_resume(record(state, sha256="ab"), touched, "") is compare
    assert plan_resume(record(state, BYTES), FILE, "") is compare
    changed = ResumeAction.SOURCE_CHANGED
    assert plan_resume(record(state, sha256="ab"), replace(touched, length=8), "") is changed
    assert plan_resume(record(state, sha256="ab"), STREAM, "") is changed


@pytest.mark.parametrize("state", RecordState)
def test_touched_file_is_resumed_if_times_are_ignored(state):
    touched = replace(FILE, modified_ns=6, inode=4)
    assert plan_resume(record(state), touched, "", ignore_mtime=True) is ResumeAction.RESUME
    longer = plan_resume(record(state), replace(touched, length=8), "", ignore_mtime=True)
    assert longer is not ResumeAction.RESUME


@pytest.mark.parametrize(
    ("is_useless", "has_handle", "expected"),
    [(True, True, True), (False, True, False), (False, False, True)],
)
def test_orphan_that_can_be_resumed_is_not_deletable(is_useless, has_handle, expected):
    abandoned = record(RecordState.ASSET_CREATED, has_handle=has_handle)
    assert leftover_from(abandoned, 2.0, is_useless=is_useless).is_deletable is expected


def test_records_of_older_versions_may_have_been_kept():
    older = msgspec.json.encode(record(RecordState.ASSET_CREATED))
    assert b"has_handle" not in older
    assert msgspec.json.decode(older, type=Record).has_handle


def test_latest_record_has_an_asset_if_one_has():
    complete = record(state=RecordState.READY, asset_id="old")
    requested = record(state=RecordState.REQUESTED, asset_id=None, previous=complete)
    assert requested.latest is complete
    created = record(state=RecordState.ASSET_CREATED, asset_id="new", previous=complete)
    assert created.latest is created
    first = record(state=RecordState.REQUESTED, asset_id=None)
    assert first.latest is first


@pytest.mark.parametrize(
    ("identity", "state", "expected"),
    [
        (SourceIdentity(length=5), RecordState.UPLOAD_CREATED, True),
        (SourceIdentity(length=5), RecordState.UPLOADED, False),
        (SourceIdentity(length=5, sha256="ab"), RecordState.UPLOAD_CREATED, False),
        (SourceIdentity(length=0), RecordState.ASSET_CREATED, False),
    ],
)
def test_interrupted_stream_is_unresumable(identity, state, expected):
    record = Record(key="k", state=state, name="x", identity=identity, requested_at=0.0)
    assert record.is_unresumable == expected


def test_key_of_any_bytes_becomes_utf8():
    assert as_text("talk é.mp4") == "talk é.mp4"
    assert as_text("a\udcff.mp4") == "a\\udcff.mp4"
