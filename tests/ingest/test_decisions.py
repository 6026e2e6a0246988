"""What an error says of a row and of all others, and what is finished."""

import pytest
from msgspec.structs import replace

from livepeer_async import NewAsset, PlaybackPolicy, errors
from livepeer_async.ingest import Row
from livepeer_async.ingest.decisions import ErrorAction, classify_error, is_finished
from livepeer_async.journal.records import Record, RecordState, access_fingerprint, url_fingerprint
from livepeer_async.sources.identity import SourceIdentity

AGAIN = ErrorAction(retry_row=True)
AGAIN_AND_ASK = ErrorAction(retry_row=True, probe_server=True)
ASK = ErrorAction(probe_server=True)
END = ErrorAction(abort_run=True)
FAIL = ErrorAction()

VERDICTS = {
    errors.ConfigurationError: FAIL,
    errors.SourceNotReadable: FAIL,
    errors.SourceEmpty: FAIL,
    errors.SourceTooLarge: FAIL,
    errors.SourceChanged: FAIL,
    errors.SourceNotReplayable: FAIL,
    errors.ConnectFailed: AGAIN_AND_ASK,
    errors.ConnectionBroken: AGAIN_AND_ASK,
    errors.TimedOut: AGAIN_AND_ASK,
    errors.AmbiguousRequest: AGAIN_AND_ASK,
    errors.BadRequest: FAIL,
    errors.NotAuthenticated: END,
    errors.Forbidden: ASK,
    errors.NotFound: FAIL,
    errors.InvalidRequest: FAIL,
    errors.TooManyRequests: AGAIN_AND_ASK,
    errors.ServerError: AGAIN_AND_ASK,
    errors.DecodeError: AGAIN_AND_ASK,
    errors.IllegalMove: FAIL,
    errors.ProtocolError: FAIL,
    errors.UploadRefused: FAIL,
    errors.UploadGone: AGAIN_AND_ASK,
    errors.KeyTaken: FAIL,
    errors.UploadStopped: FAIL,
    errors.RetriesExhausted: AGAIN_AND_ASK,
    errors.AssetFailed: FAIL,
    errors.AssetDeleted: FAIL,
    errors.AssetTimeout: FAIL,
    errors.IntegrityError: FAIL,
    errors.JournalError: END,
    errors.UploadInUse: AGAIN,
}
STATUSES = {errors.TooManyRequests: 429, errors.ServerError: 502}


def leaves(kind):
    return {leaf for sub in kind.__subclasses__() for leaf in leaves(sub)} or {kind}


def test_every_error_of_the_tree_has_a_verdict():
    assert leaves(errors.LivepeerError) <= VERDICTS.keys()


@pytest.mark.parametrize("kind", VERDICTS, ids=lambda kind: kind.__name__)
def test_an_error_says_what_becomes_of_its_row_and_of_the_others(kind):
    error = kind.__new__(kind)
    error.status = STATUSES.get(kind, 400)
    assert classify_error(error) == VERDICTS[kind]


FILE = Row(source="a.mp4", is_url=False, key="k", length=9, modified_ns=5)
DONE = Record(
    key="k",
    state=RecordState.READY,
    name="a.mp4",
    identity=SourceIdentity(length=9, modified_ns=5, inode=1),
    requested_at=1.0,
    asset_id="a1",
)
PRIVATE = NewAsset("a.mp4", playback_policy=PlaybackPolicy(type="jwt"))


URL = replace(FILE, source="http://h/a", is_url=True, length=None, modified_ns=None)
OF_URL = replace(DONE, identity=SourceIdentity(length=0, url=url_fingerprint("http://h/a?sig=1")))
ROWS = {
    "as it was": (FILE, DONE, True),
    "a file that is gone": (replace(FILE, length=None, modified_ns=None), DONE, True),
    "longer": (replace(FILE, length=10), DONE, False),
    "touched": (replace(FILE, modified_ns=6), DONE, False),
    "for others to play": (replace(FILE, new_asset=PRIVATE), DONE, False),
    "private before and today": (
        replace(FILE, new_asset=PRIVATE),
        replace(DONE, access=access_fingerprint(PRIVATE)),
        True,
    ),
    "a URL": (URL, OF_URL, True),
    "another URL": (replace(URL, source="http://h/b"), OF_URL, False),
    "a URL with the signature of today": (replace(URL, source="http://h/a?sig=2"), OF_URL, True),
    "a private asset of a URL": (replace(URL, new_asset=PRIVATE), OF_URL, False),
    "a private asset of a file that is gone": (
        replace(FILE, new_asset=PRIVATE, length=None, modified_ns=None),
        DONE,
        False,
    ),
    "failed": (FILE, replace(DONE, state=RecordState.FAILED), False),
    "arrived, not seen ready": (FILE, replace(DONE, state=RecordState.UPLOADED), False),
    "begun": (FILE, replace(DONE, state=RecordState.UPLOAD_CREATED), False),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_finished_is_told_by_the_record_and_the_file(name):
    row, record, expected = ROWS[name]
    assert is_finished(row, record, is_ready_wanted=True) is expected


def test_who_waits_for_nothing_is_done_once_all_bytes_are_there():
    arrived = replace(DONE, state=RecordState.UPLOADED)
    assert is_finished(FILE, arrived, is_ready_wanted=False)
    assert is_finished(FILE, DONE, is_ready_wanted=False)
    for state in (RecordState.UPLOAD_CREATED, RecordState.FAILED):
        assert not is_finished(FILE, replace(DONE, state=state), is_ready_wanted=False)
