"""Each event is emitted by real uploads, with the facts that the manual lists."""

import json
import logging
import re

import anyio
import pytest

from livepeer_async import UploadJob, UploadStopped, errors, telemetry
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.proxies import read_proxies
from livepeer_async.sandbox import (
    Answer,
    CutConnection,
    FailProcessing,
    Fault,
    LoseAnswer,
    On,
    Stall,
)
from livepeer_async.telemetry import EVENTS
from livepeer_async.telemetry.events import UPLOAD_STARTED, log_event
from livepeer_async.telemetry.subjects import Subject, run_subject
from livepeer_async.uploads.options import UploadOptions
from support.clock import until
from support.sandbox import PART, make_bytes, sandbox_and_client
from support.servers import respond_with, serve_raw

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(3 * PART)
COMMON = {"event_name", "asset_id", "key", "source"}
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
FACTS = {event.name: {*COMMON, *event.facts} for event in EVENTS}
LEVELS = {event.name: event.level for event in EVENTS}


def facts_of(record):
    return {name: value for name, value in vars(record).items() if name not in PLAIN}


def check_records(log):
    """Check that each record has its level and its facts, which JSON can encode."""
    assert log.records
    for record in log.records:
        facts = facts_of(record)
        assert COMMON <= facts.keys() <= FACTS[record.event_name], record.getMessage()
        assert record.levelno == LEVELS[record.event_name]
        assert json.loads(json.dumps(facts)).keys() == facts.keys()
        assert "livepeer_async" in record.name


async def upload_with_retries(livepeer, sandbox, path):
    await livepeer.upload(path)
    await livepeer.upload(path)


async def upload_that_restarts(livepeer, sandbox, path):
    await livepeer.upload(path, key="talk")


async def stopped_and_resumed_upload(livepeer, sandbox, path):
    with pytest.raises(UploadStopped):
        async with livepeer.begin_upload(path) as upload:
            await until(lambda: upload.upload_url)
            upload.stop()
    await livepeer.upload(path)


async def aborted_upload(livepeer, sandbox, path):
    async with livepeer.begin_upload(path) as upload:
        await upload.abort()


async def cancelled_upload(livepeer, sandbox, path):
    with anyio.CancelScope() as scope:
        async with livepeer.begin_upload(VIDEO, "bytes") as upload:
            assert upload.asset.id
            scope.cancel()
            await anyio.sleep_forever()


async def failed_upload(livepeer, sandbox, path):
    with pytest.raises(errors.AssetFailed):
        await livepeer.upload(path)


async def reprocessed_upload(livepeer, sandbox, path):
    result = await livepeer.uploads.run(UploadJob(path), UploadOptions(reprocess=1))
    assert result.unwrap().phase == "ready"


async def upload_without_a_response_to_its_request(livepeer, sandbox, path):
    await livepeer.upload(path)


async def upload_whose_asset_stays(livepeer, sandbox, path):
    async with livepeer.upload_many([b"x", path, str(path)], verify=None) as results:
        assert {type(it.error) async for it in results} == {type(None), errors.UploadRefused}


async def relayed_url(livepeer, sandbox, path):
    whole = b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 100000\r\n\r\n" + VIDEO[:100_000]
    async with serve_raw(respond_with(whole[:50_000])) as (url, _):
        signed = f"{url}/clip.mp4?X-Amz-Signature=s3cret"
        result = await livepeer.uploads.relay(signed, "x", UploadOptions(), key=signed)
    assert isinstance(result.error, errors.SourceError)


BUSY = Fault(On(method="PATCH", nth=1), Answer(503))
SCENARIOS = [
    (
        upload_with_retries,
        [
            BUSY,
            Fault(On(method="PATCH", nth=3), CutConnection()),
            Fault(On(method="GET", path="/asset/", nth=1), Answer(500)),
        ],
        "requests.paused requests.resumed upload.retry chunk.sent poll.retry upload.found",
    ),
    (
        upload_that_restarts,
        [
            Fault(On(method="PATCH", nth=1), Answer(404)),
            Fault(On(path="request-upload", nth=1), Answer(429)),
        ],
        "upload.started upload.restarted asset.deleted request.retry upload.succeeded",
    ),
    (
        stopped_and_resumed_upload,
        [Fault(On(method="PATCH", nth=1), Stall(0.05))],
        "upload.started upload.stopped upload.resumed upload.succeeded",
    ),
    (aborted_upload, [], "upload.aborted asset.deleted"),
    (
        cancelled_upload,
        [Fault(On(method="POST", path="/upload/tus"), Stall(30.0))],
        "upload.cancelled asset.deleted",
    ),
    (
        failed_upload,
        [Fault(On(times=1), FailProcessing("broken"))],
        "upload.failed",
    ),
    (
        reprocessed_upload,
        [Fault(On(times=1), FailProcessing("internal error processing file"))],
        "processing.retry upload.succeeded",
    ),
    (
        upload_without_a_response_to_its_request,
        [Fault(On(path="request-upload", nth=1), LoseAnswer())],
        "response.lost request.retry upload.succeeded",
    ),
    (
        upload_whose_asset_stays,
        [
            Fault(On(method="POST", path="/upload/tus", nth=1), Answer(403)),
            Fault(On(method="DELETE", path="/api/asset/", times=9), Answer(403)),
        ],
        "asset.not_deleted source.repeated upload.failed",
    ),
    (relayed_url, [], "download.retry upload.failed"),
]


@pytest.mark.parametrize(
    ("run", "faults", "names"), SCENARIOS, ids=[scenario[0].__name__ for scenario in SCENARIOS]
)
async def test_upload_logs_its_events(run, faults, names, log, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(VIDEO)
    options = {"journal": tmp_path / "journal"}
    async with sandbox_and_client(*faults, client=options) as (sandbox, livepeer):
        await run(livepeer, sandbox, path)
    check_records(log)
    assert set(names.split()) <= set(log.names), log.names
    assert "s3cret" not in "".join(map(repr, map(vars, log.records)))


async def test_retry_names_the_asset_and_the_key(log, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(VIDEO)
    fault = Fault(On(method="PATCH", nth=1), CutConnection())
    async with sandbox_and_client(fault) as (_, livepeer):
        asset = await livepeer.upload(path)
    (record,) = log.named("upload.retry")
    message = record.getMessage()
    assert message.startswith("upload at byte 0: ")
    assert message.endswith(f" (asset {asset.id}, key {str(path)!r})")
    assert (record.asset_id, record.key, record.offset) == (asset.id, str(path), 0)
    assert (record.attempt, record.attempts, record.status_code) == (1, 5, None)


async def test_status_and_bytes_are_facts(log):
    fault = Fault(On(method="PATCH", nth=1), Answer(500))
    async with sandbox_and_client(fault) as (_, livepeer):
        await livepeer.upload(VIDEO, "x", key="talk")
    (retry,) = log.named("upload.retry")
    assert retry.status_code == 500
    assert retry.livepeer_request_id
    sent = log.named("chunk.sent")
    assert [it.command for it in sent][:1] == ["create"]
    assert sum(it.bytes for it in sent) == len(VIDEO)
    assert {it.key for it in [*sent, retry]} == {"talk"}
    (end,) = log.named("upload.succeeded")
    assert (end.length, end.phase, end.verified) == (len(VIDEO), "ready", "size")
    assert end.seconds > 0


async def test_put_of_a_direct_upload_is_logged(log):
    fault = Fault(On(method="PUT", nth=1), CutConnection())
    async with sandbox_and_client(fault) as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "x", key="talk", method="direct")
    check_records(log)
    (sent,) = log.named("chunk.sent")
    facts = (sent.command, sent.offset, sent.bytes, sent.status_code, sent.asset_id, sent.key)
    assert facts == ("put", 0, len(VIDEO), 200, asset.id, "talk")
    assert sent.seconds > 0


async def test_restart_is_logged_with_both_assets(log):
    fault = Fault(On(method="PATCH", nth=1), Answer(404))
    async with sandbox_and_client(fault) as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "x")
    first, second = log.named("upload.started")
    (restart,) = log.named("upload.restarted")
    assert restart.asset_id == first.asset_id == second.previous_asset_id
    assert second.asset_id == asset.id != first.asset_id


async def test_failure_of_an_owned_upload_is_logged_once(log):
    async with sandbox_and_client(Fault(On(times=1), FailProcessing("broken"))) as (_, livepeer):
        upload = await livepeer.start_upload(VIDEO, "x", key="talk")
        with pytest.raises(errors.AssetFailed):
            await upload.wait()
    (record,) = [it for it in log.records if it.levelno >= logging.WARNING]
    assert (record.event_name, record.key, record.error) == ("upload.failed", "talk", "AssetFailed")
    assert record.asset_id == upload.asset.id


async def test_polls_for_all_uploads_name_none_of_them(log):
    fault = Fault(On(method="GET", path="/asset", nth=1), Answer(500))
    async with sandbox_and_client(fault) as (_, livepeer):
        await livepeer.upload(VIDEO, "x", key="talk")
    (record,) = log.named("poll.retry")
    assert (record.asset_id, record.key, record.assets) == (None, None, 1)


async def test_concurrent_uploads_log_their_own_keys(log):
    fault = Fault(On(method="PATCH", every=3), Answer(500))
    jobs = [UploadJob(VIDEO, f"{number}", key=f"key-{number}") for number in range(4)]
    async with sandbox_and_client(fault) as (_, livepeer), livepeer.upload_many(jobs) as results:
        ids = {f"key-{it.asset.name}": it.asset.id async for it in results}
    # There is no asset yet when one is requested.
    uploads = [it for it in log.records if it.key and it.asset_id]
    assert {(it.key, it.asset_id) for it in uploads} == set(ids.items())


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("https://h/clip.mp4?X-Amz-Signature=s3cret", "https://h/clip.mp4"),
        ("https://user:s3cret@h/clip.mp4", "https://h/clip.mp4"),
        ("clip.mp4?token=s3cret", "clip.mp4?token=***"),
        ("clips/one.mp4", "clips/one.mp4"),
        (None, None),
    ],
)
def test_key_has_no_secrets(key, shown, log):
    with run_subject(Subject("clip.mp4", key)):
        log_event(UPLOAD_STARTED, "begun", length=1)
    (record,) = log.records
    assert record.key == shown
    assert "s3cret" not in record.getMessage() + repr(vars(record))


@pytest.mark.parametrize(
    ("asset_id", "key", "suffix"),
    [
        ("a1", "talk", " (asset a1, key 'talk')"),
        ("a1", None, " (asset a1)"),
        (None, "talk", " (key 'talk')"),
        (None, None, " (source 'clip.mp4')"),
    ],
)
def test_message_names_what_is_known(asset_id, key, suffix, log):
    subject = Subject("clip.mp4", key)
    subject.asset_id = asset_id
    with run_subject(subject):
        log_event(UPLOAD_STARTED, "begun, %d %% done", 0, length=1)
    assert log.records[0].getMessage() == f"begun, 0 % done{suffix}"


def test_facts_do_not_collide_with_a_record_factory(log):
    make = logging.getLogRecordFactory()

    def make_with_key(*args, **options):
        record = make(*args, **options)
        record.key = "of the application"
        return record

    logging.setLogRecordFactory(make_with_key)
    try:
        log_event(UPLOAD_STARTED, "begun", length=1)
    finally:
        logging.setLogRecordFactory(make)
    (record,) = log.records
    assert record.key == "of the application"
    assert (record.livepeer_event_name, record.livepeer_length) == ("upload.started", 1)


def test_facts_overwrite_no_attribute_of_a_record():
    assert not {name for names in FACTS.values() for name in names} & PLAIN


def test_record_has_the_place_of_the_call(log):
    log_event(UPLOAD_STARTED, "begun", length=1)
    assert log.records[0].filename == "test_events.py"


async def test_other_events_are_logged(log, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "a:b:c/d")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    read_proxies()
    Descriptors().on_shortage("100 % of the descriptors are in use")
    (record,) = log.named("descriptors.exhausted")
    assert record.getMessage() == "100 % of the descriptors are in use"
    (record,) = log.named("proxy.entry_ignored")
    assert record.entry == 1
    check_records(log)


def test_manual_lists_each_event_with_its_facts():
    text = telemetry.__doc__
    groups = {
        name: set(re.findall(r"`(\w+)`", facts))
        for name, facts in re.findall(r"^- (\*\w+\*): ((?:.+\n  )*.+)$", text, re.MULTILINE)
    }
    listed = {}
    for name, level, facts in re.findall(
        r"^\| `([\w.]+)` \| ([A-Z]+) \|.*\|(.*)\|$", text, re.MULTILINE
    ):
        found = set(re.findall(r"`(\w+)`", facts))
        for group in re.findall(r"\*\w+\*", facts):
            found |= groups[group]
        listed[name] = (level, found)
    wanted = {it.name: (logging.getLevelName(it.level), set(it.facts)) for it in EVENTS}
    assert listed == wanted
