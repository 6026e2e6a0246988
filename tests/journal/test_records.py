import pytest
from msgspec.structs import replace

from livepeer_async import NewAsset, PlaybackPolicy
from livepeer_async.journal.records import (
    Record,
    RecordState,
    ResumeAction,
    access_fingerprint,
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
def test_what_is_begun_of_the_same_bytes_is_picked_up(state, identity):
    assert plan_resume(record(state, identity), identity, "") is ResumeAction.RESUME


def test_a_request_without_an_answer_leaves_nothing_to_pick_up():
    asked = record(RecordState.REQUESTED, asset_id=None)
    assert plan_resume(asked, FILE, "") is ResumeAction.RESTART


@pytest.mark.parametrize("changed", [{"length": 8}, {"modified_ns": 6}, {"inode": 4}])
def test_an_unfinished_upload_of_a_changed_file_begins_anew(changed):
    assert (
        plan_resume(record(RecordState.UPLOAD_CREATED), replace(FILE, **changed), "")
        is ResumeAction.RESTART
    )


def test_an_unfinished_upload_of_a_stream_begins_anew():
    assert (
        plan_resume(record(RecordState.UPLOAD_CREATED, STREAM), STREAM, "") is ResumeAction.RESTART
    )


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
@pytest.mark.parametrize("changed", [{"length": 8}, {"modified_ns": 6}])
def test_what_has_arrived_is_not_taken_for_a_changed_file(state, changed):
    assert plan_resume(record(state), replace(FILE, **changed), "") is ResumeAction.SOURCE_CHANGED


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
def test_what_has_arrived_is_found_again_after_its_file_moved_to_another_disk(state):
    assert plan_resume(record(state), replace(FILE, inode=4), "") is ResumeAction.RESUME


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY])
def test_a_stream_that_has_arrived_is_found_again_by_its_key(state):
    assert plan_resume(record(state, STREAM), STREAM, "") is ResumeAction.RESUME


@pytest.mark.parametrize("state", [RecordState.UPLOADED, RecordState.READY, RecordState.FAILED])
def test_what_came_from_another_url_is_not_picked_up(state):
    was, today = (
        replace(STREAM, url=url_fingerprint(f"https://a.example/{name}")) for name in "ab"
    )
    assert plan_resume(record(state, was), today, "") is ResumeAction.SOURCE_CHANGED
    assert plan_resume(record(state, was), was, "") is ResumeAction.RESUME


def test_a_record_shows_no_upload_url():
    shown = repr(
        record(RecordState.UPLOAD_CREATED, upload_url="https://origin.example/files/secret")
    )
    assert (
        shown
        == "Record(key='talk', state=<RecordState.UPLOAD_CREATED: 'created'>, asset_id='asset-1')"
    )
    told = record(
        RecordState.UPLOAD_CREATED, upload_url="https://origin.example/files/x"
    ).__rich_repr__()
    assert told == [("key", "talk"), ("state", "created"), ("asset_id", "asset-1")]


@pytest.mark.parametrize(
    ("state", "expected"),
    [(RecordState.UPLOAD_CREATED, ResumeAction.RESTART), (RecordState.READY, ResumeAction.REJECT)],
)
def test_an_asset_that_others_may_play_is_not_taken_for_the_one_that_is_wanted(state, expected):
    private = access_fingerprint(NewAsset("a", playback_policy=PlaybackPolicy(type="jwt")))
    assert plan_resume(record(state), FILE, private) is expected
    assert plan_resume(record(state, access=private), FILE, "") is expected
    assert plan_resume(record(state, access=private), FILE, private) is ResumeAction.RESUME


def test_a_name_is_no_matter_of_access():
    assert (
        access_fingerprint(NewAsset("a", creator_id="b")) == access_fingerprint(NewAsset("c")) == ""
    )


def test_an_upload_that_is_given_up_may_have_left_its_asset():
    orphan = leftover_from(record(RecordState.UPLOAD_CREATED), 7.0, is_useless=False)
    assert (orphan.asset_id, orphan.since, orphan.is_useless) == ("asset-1", 7.0, False)


@pytest.mark.parametrize(("now", "until"), [(7.0, 67.0), (1e6, 601.0)])
def test_a_request_that_is_given_up_may_have_made_an_asset_soon_after(now, until):
    asked = record(RecordState.REQUESTED, asset_id=None)
    unconfirmed = leftover_from(asked, now, is_useless=True)
    assert (unconfirmed.name, unconfirmed.since, unconfirmed.until) == ("talk.mp4", 1.0, until)


SIGNED = "https://user:pass@bucket.example/a.mp4?X-Amz-Signature=51ab"


@pytest.mark.parametrize("asset_id", ["asset-1", None])
def test_a_key_that_is_a_signed_url_is_shown_without_its_signature(asset_id):
    one = record(RecordState.ASSET_CREATED, key=SIGNED, asset_id=asset_id)
    for it in (one, leftover_from(one, 9.0, is_useless=True)):
        assert "https://bucket.example/a.mp4" in repr(it)
        for shown in (repr(it), repr(it.__rich_repr__())):
            assert "pass" not in shown
            assert "51ab" not in shown


@pytest.mark.parametrize("length", [0, 9])
def test_what_the_server_was_to_fetch_is_remembered_as_that(length):
    one = record(RecordState.REQUESTED, SourceIdentity(length=length), asset_id=None)
    assert leftover_from(one, 9.0, is_useless=True).is_import == (length == 0)


@pytest.mark.parametrize("asset_id", [None, "asset-1"])
def test_remains_of_an_upload_without_a_key_have_none(asset_id):
    one = replace(record(RecordState.ASSET_CREATED), asset_id=asset_id, is_keyless=True)
    assert leftover_from(one, 9.0, is_useless=False).key == ""


def test_a_url_is_told_whatever_its_signature_of_the_day_is():
    assert url_fingerprint(SIGNED) == url_fingerprint(
        "https://bucket.example/a.mp4?X-Amz-Signature=52bc"
    )
    assert url_fingerprint(SIGNED) != url_fingerprint("https://bucket.example/b.mp4")
