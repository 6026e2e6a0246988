"""Decisions about retries, and about finished rows."""

import pytest
from msgspec.structs import replace

from livepeer_async import NewAsset, PlaybackPolicy, errors
from livepeer_async.ingest import Row
from livepeer_async.ingest.decisions import (
    MAX_ATTEMPTS,
    ErrorAction,
    classify_error,
    is_finished,
    may_retry,
)
from livepeer_async.journal.records import Record, RecordState, access_fingerprint, url_fingerprint
from livepeer_async.sources.identity import SourceIdentity

RETRY = ErrorAction(retry_row=True)
RETRY_AND_PROBE = ErrorAction(retry_row=True, probe_server=True)
PROBE = ErrorAction(probe_server=True)
ABORT = ErrorAction(abort_run=True)
FAIL = ErrorAction()

ACTIONS = {
    errors.ConfigurationError: FAIL,
    errors.ClientClosed: ABORT,
    errors.ClusterError: FAIL,
    errors.SourceNotReadable: FAIL,
    errors.SourceEmpty: FAIL,
    errors.FormInvalid: FAIL,
    errors.SourceTimedOut: FAIL,
    errors.SourceTooLarge: FAIL,
    errors.SourceUnsupported: FAIL,
    errors.SourceChanged: FAIL,
    errors.SourceNotReplayable: FAIL,
    errors.ConnectFailed: RETRY_AND_PROBE,
    errors.ConnectionBroken: RETRY_AND_PROBE,
    errors.TimedOut: RETRY_AND_PROBE,
    errors.AmbiguousRequest: RETRY_AND_PROBE,
    errors.BadRequest: FAIL,
    errors.NotAuthenticated: ABORT,
    errors.Forbidden: PROBE,
    errors.NotFound: FAIL,
    errors.InvalidRequest: FAIL,
    errors.TooManyRequests: RETRY_AND_PROBE,
    errors.ServerError: RETRY_AND_PROBE,
    errors.DecodeError: RETRY_AND_PROBE,
    errors.IllegalMove: FAIL,
    errors.ProtocolError: FAIL,
    errors.UploadRefused: FAIL,
    errors.UploadGone: RETRY_AND_PROBE,
    errors.KeyTaken: FAIL,
    errors.UploadStopped: FAIL,
    errors.RetriesExhausted: RETRY_AND_PROBE,
    errors.AssetFailed: FAIL,
    errors.AssetDeleted: FAIL,
    errors.AssetTimeout: FAIL,
    errors.IntegrityError: FAIL,
    errors.JournalError: ABORT,
    errors.JournalUnavailable: ABORT,
    errors.TooManyOpenFiles: ABORT,
    errors.UploadInUse: RETRY,
}
STATUSES = {errors.TooManyRequests: 429, errors.ServerError: 502}


def leaves(kind):
    return {leaf for sub in kind.__subclasses__() for leaf in leaves(sub)} or {kind}


def test_every_error_class_is_listed():
    # Only `unwrap` raises the errors of webhooks.
    assert leaves(errors.LivepeerError) - leaves(errors.WebhookError) <= ACTIONS.keys()


@pytest.mark.parametrize("kind", ACTIONS, ids=lambda kind: kind.__name__)
def test_error_is_classified(kind):
    error = kind.__new__(kind)
    error.status = STATUSES.get(kind, 400)
    assert classify_error(error) == ACTIONS[kind]


DOWN = errors.ConnectFailed("no connection")
LOST = errors.AmbiguousRequest("the response was lost")
RETRIES = {
    "transient": (DOWN, {}, True),
    "final": (errors.SourceEmpty("empty", source="a.mp4"), {}, False),
    "too many attempts": (DOWN, {"attempts": MAX_ATTEMPTS}, False),
    "asset and a journal": (DOWN, {"has_asset": True, "has_journal": True}, True),
    "asset without a journal": (DOWN, {"has_asset": True}, False),
    "lost response of a file": (LOST, {}, True),
    "lost response of a URL": (LOST, {"is_url": True}, False),
    "lost response of a URL, and a journal": (LOST, {"is_url": True, "has_journal": True}, True),
}


@pytest.mark.parametrize("name", RETRIES)
def test_row_is_retried_if_that_makes_no_second_asset(name):
    error, facts, expected = RETRIES[name]
    facts = {"attempts": 1, "has_asset": False, "has_journal": False, "is_url": False, **facts}
    row = Row(source="a.mp4", is_url=facts.pop("is_url"), key="k")
    assert may_retry(row, error, **facts) is expected


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
    "unchanged": (FILE, DONE, True),
    "missing file": (replace(FILE, length=None, modified_ns=None), DONE, True),
    "longer": (replace(FILE, length=10), DONE, False),
    "modified": (replace(FILE, modified_ns=6), DONE, False),
    "another playback policy": (replace(FILE, new_asset=PRIVATE), DONE, False),
    "same playback policy": (
        replace(FILE, new_asset=PRIVATE),
        replace(DONE, access=access_fingerprint(PRIVATE)),
        True,
    ),
    "URL": (URL, OF_URL, True),
    "another URL": (replace(URL, source="http://h/b"), OF_URL, False),
    "URL with another signature": (replace(URL, source="http://h/a?sig=2"), OF_URL, True),
    "URL with another playback policy": (replace(URL, new_asset=PRIVATE), OF_URL, False),
    "missing file with another playback policy": (
        replace(FILE, new_asset=PRIVATE, length=None, modified_ns=None),
        DONE,
        False,
    ),
    "failed": (FILE, replace(DONE, state=RecordState.FAILED), False),
    "uploaded, not ready": (FILE, replace(DONE, state=RecordState.UPLOADED), False),
    "upload created": (FILE, replace(DONE, state=RecordState.UPLOAD_CREATED), False),
}


@pytest.mark.parametrize("name", ROWS)
def test_is_finished_compares_record_and_file(name):
    row, record, expected = ROWS[name]
    assert is_finished(row, record, wait=True) is expected


def test_without_wait_uploaded_is_finished():
    uploaded = replace(DONE, state=RecordState.UPLOADED)
    assert is_finished(FILE, uploaded, wait=False)
    assert is_finished(FILE, DONE, wait=False)
    for state in (RecordState.UPLOAD_CREATED, RecordState.FAILED):
        assert not is_finished(FILE, replace(DONE, state=state), wait=False)
