"""Direct uploads: one PUT of all bytes."""

import hashlib
import io
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from livepeer_async import (
    AsyncLivepeer,
    ConfigurationError,
    IntegrityError,
    LivepeerError,
    RetriesExhausted,
    RetryPolicy,
    SourceNotReplayable,
    SourceTooLarge,
    UploadRefused,
    UploadStopped,
)
from livepeer_async.errors import NetworkError
from livepeer_async.ingest import RowEnded, ingest
from livepeer_async.sandbox import (
    Answer,
    CutConnection,
    Fault,
    Garbage,
    LoseAnswer,
    On,
    Slow,
    Stall,
    WrongSize,
)
from livepeer_async.uploads import completion
from livepeer_async.uploads.direct import MAX_LENGTH, RateLimits
from support import command_line
from support.clock import until
from support.constants import (
    FAST_RETRY,
    KIB,
    MIB,
    SHORT_TIMEOUTS,
    UNREACHABLE_API,
    VERY_LONG,
)
from support.sandbox import (
    SMALL_S3,
    cancel_when,
    client_for,
    is_stored,
    make_bytes,
    sandbox_and_client,
)

pytestmark = pytest.mark.anyio

# More than the buffers of a connection on loopback take.
VIDEO = make_bytes(8 * MIB + 1)
SMALL = make_bytes(300 * KIB)
PUT = On(method="PUT")
FIRST_PUT = On(method="PUT", nth=1)
MIDDLE = 2 * MIB


def puts(sandbox):
    """List the PUTs as statuses, oldest first."""
    return [r.status for r in sandbox.requests if r.method == "PUT"]


def undeleted(sandbox):
    return [asset for asset in sandbox.assets if not asset.is_deleted]


async def stream(data, size=64 * KIB):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


SOURCES = {
    "path": lambda path: {"source": path},
    "bytes": lambda path: {"source": VIDEO},
    "file object": lambda path: {"source": io.BytesIO(VIDEO)},
    "stream with length": lambda path: {"source": stream(VIDEO), "length": len(VIDEO)},
    "stream without length": lambda path: {"source": stream(VIDEO)},
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_one_put_stores_the_bytes_read(kind, path):
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        asset = await livepeer.upload(**SOURCES[kind](path), method="direct", verify="hash")
        assert is_stored(sandbox, asset, VIDEO)
        assert (asset.phase, asset.size) == ("ready", len(VIDEO))
        assert puts(sandbox) == [200]
        (put,) = [r for r in sandbox.requests if r.method == "PUT"]
        assert put.headers["content-length"] == str(len(VIDEO))
        assert "transfer-encoding" not in put.headers
        assert not put.is_authorized
        assert not any("/tus" in r.path for r in sandbox.requests)
        assert sandbox.violations == []


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("talk.mp4", "video/mp4"),
        ("talk.mov", "video/quicktime"),
        ("talk.json", "application/octet-stream"),
        ("talk.geojson", "application/octet-stream"),
        ("talk", "application/octet-stream"),
    ],
)
async def test_content_type_is_never_json(name, content_type, tmp_path):
    path = tmp_path / name
    # A JSON parser would accept it.
    path.write_bytes(b"[1]")
    async with sandbox_and_client() as (sandbox, livepeer):
        await livepeer.upload(path, method="direct")
        (put,) = [r for r in sandbox.requests if r.method == "PUT"]
        assert put.headers["content-type"] == content_type


async def test_progress_counts_bytes_in_flight_until_the_response():
    async with sandbox_and_client() as (_, livepeer):
        seen = []
        livepeer.throttle.max_rate = 16 * MIB
        await livepeer.upload(VIDEO, method="direct", on_progress=seen.append)
        uploading = [it for it in seen if it.stage == "uploading"]
        assert any(0 < it.in_flight < len(VIDEO) for it in uploading)
        assert all(it.sent in {0, len(VIDEO)} for it in uploading)
        assert (uploading[-1].sent, uploading[-1].in_flight) == (len(VIDEO), 0)
        assert seen[-1].stage == "ready"


BREAKS = {
    "reset": CutConnection(after_bytes=MIDDLE),
    "close": CutConnection(after_bytes=MIDDLE, how="fin"),
    "reset at once": CutConnection(),
    "garbage": Garbage(),
    "503 before the body": Answer(503),
    "500 of the bucket": Answer(500, b"<?xml version='1.0'?><Error/>", when="read"),
    "429": Answer(429, headers={"Retry-After": "0"}, when="read"),
    "409": Answer(409),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_broken_put_is_sent_again_on_the_same_ticket(name):
    async with sandbox_and_client(Fault(FIRST_PUT, BREAKS[name])) as (sandbox, livepeer):
        asset = await livepeer.upload(VIDEO, method="direct")
        assert is_stored(sandbox, asset, VIDEO)
        assert len(sandbox.assets) == 1
        assert puts(sandbox)[-1] == 200
        assert len(puts(sandbox)) == 2
        assert sandbox.violations == []


async def test_stalled_put_is_sent_again():
    stall = Fault(FIRST_PUT, Stall(VERY_LONG, after_bytes=MIDDLE))
    options = {"timeout": SHORT_TIMEOUTS}
    async with sandbox_and_client(stall, client=options) as (sandbox, livepeer):
        asset = await livepeer.upload(VIDEO, method="direct")
        assert is_stored(sandbox, asset, VIDEO)
        assert puts(sandbox) == [None, 200]
        assert sandbox.violations == []


@pytest.mark.parametrize("action", [LoseAnswer(), LoseAnswer(how="rst")])
@pytest.mark.parametrize("data", [SMALL, VIDEO], ids=["small", "large"])
async def test_lost_response_is_no_reason_to_send_again(action, data):
    async with sandbox_and_client(Fault(PUT, action)) as (sandbox, livepeer):
        asset = await livepeer.upload(data, method="direct")
        assert is_stored(sandbox, asset, data)
        assert puts(sandbox) == [None]
        assert sandbox.violations == []


async def test_response_to_a_slow_storage_is_not_sent_beside():
    # The server has all bytes and responds after the time limit for the response.
    stall = Fault(FIRST_PUT, Stall(1.0, after_bytes=len(SMALL) + 1))
    async with sandbox_and_client(stall, client={"timeout": SHORT_TIMEOUTS}) as (
        sandbox,
        livepeer,
    ):
        asset = await livepeer.upload(SMALL, method="direct")
        assert is_stored(sandbox, asset, SMALL)
        assert len(puts(sandbox)) == 1


async def test_second_put_after_a_doubt_looks_at_the_asset():
    faults = [
        Fault(FIRST_PUT, LoseAnswer()),
        # The asset can't be looked at before the second PUT.
        Fault(On(method="GET", path="/asset/", times=4), Answer(404)),
    ]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        asset = await livepeer.upload(SMALL, method="direct")
        assert is_stored(sandbox, asset, SMALL)
        assert puts(sandbox)[0] is None
        assert set(puts(sandbox)[1:]) <= {422}
        assert len(sandbox.assets) == 1


async def test_used_ticket_without_a_doubt_is_refused():
    refusal = Answer(422, b'{"errors":["asset has already been uploaded"]}')
    async with sandbox_and_client(Fault(PUT, refusal)) as (sandbox, livepeer):
        with pytest.raises(UploadRefused, match="already been uploaded") as caught:
            await livepeer.upload(VIDEO, method="direct")
        assert caught.value.status == 422
        assert undeleted(sandbox) == []


@pytest.mark.parametrize("status", [400, 401, 403, 411, 413])
async def test_final_status_deletes_the_asset(status):
    async with sandbox_and_client(Fault(PUT, Answer(status, b"<h1>No PUT here</h1>"))) as (
        sandbox,
        livepeer,
    ):
        with pytest.raises(UploadRefused, match=f"{status} from PUT .*: No PUT here") as caught:
            await livepeer.upload(SMALL, method="direct")
        assert caught.value.asset_id == sandbox.assets[0].id
        assert undeleted(sandbox) == []
        assert len(puts(sandbox)) == 1


async def test_retries_end():
    async with sandbox_and_client(Fault(PUT, CutConnection(after_bytes=MIDDLE))) as (
        sandbox,
        livepeer,
    ):
        with pytest.raises(RetriesExhausted, match="failed 6 times") as caught:
            await livepeer.upload(VIDEO, method="direct")
        assert isinstance(caught.value.__cause__, NetworkError)
        assert len(puts(sandbox)) == 1 + FAST_RETRY.attempts
        assert undeleted(sandbox) == []


async def test_deleted_asset_restarts_on_a_new_ticket():
    gone = Answer(404, b'{"errors":["asset not found"]}')
    async with sandbox_and_client(Fault(FIRST_PUT, gone)) as (sandbox, livepeer):
        asset = await livepeer.upload(VIDEO, method="direct")
        assert is_stored(sandbox, asset, VIDEO)
        assert [it.id for it in undeleted(sandbox)] == [asset.id]


async def test_success_that_completes_nothing_restarts_on_a_new_ticket(monkeypatch):
    monkeypatch.setattr(completion, "FINALIZE_AFTER", 0.1)
    monkeypatch.setattr(completion, "LEAVE_TIMEOUT", 0.1)
    async with sandbox_and_client(Fault(FIRST_PUT, Answer(201, when="read"))) as (
        sandbox,
        livepeer,
    ):
        asset = await livepeer.upload(SMALL, method="direct")
        assert is_stored(sandbox, asset, SMALL)
        assert [it.id for it in undeleted(sandbox)] == [asset.id]


async def test_broken_stream_is_sent_only_once():
    async with sandbox_and_client(Fault(FIRST_PUT, CutConnection(after_bytes=MIDDLE))) as (
        sandbox,
        livepeer,
    ):
        with pytest.raises(SourceNotReplayable, match="wanted a source that can be") as caught:
            await livepeer.upload(stream(VIDEO), "talk", length=len(VIDEO), method="direct")
        assert isinstance(caught.value.__cause__, NetworkError)
        assert "tus" in str(caught.value)
        assert undeleted(sandbox) == []
        assert len(puts(sandbox)) == 1


async def test_stream_whose_response_is_lost_is_complete():
    async with sandbox_and_client(Fault(PUT, LoseAnswer())) as (sandbox, livepeer):
        asset = await livepeer.upload(
            stream(VIDEO), "talk", length=len(VIDEO), method="direct", verify="hash"
        )
        assert is_stored(sandbox, asset, VIDEO)


@pytest.mark.parametrize("more", [-1, 1])
async def test_stream_of_another_length_deletes_the_asset(more):
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(LivepeerError, match="announced"):
            await livepeer.upload(stream(SMALL), "talk", length=len(SMALL) + more, method="direct")
        assert undeleted(sandbox) == []


async def test_long_file_is_refused_before_any_request(tmp_path):
    path = tmp_path / "long.mp4"
    path.touch()
    os.truncate(path, 1300 * MIB)
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(SourceTooLarge, match=r"300 s.*4,194,304 bytes/s, as assumed") as caught:
            await livepeer.upload(path, method="direct")
        assert (caught.value.length, caught.value.limit) == (1300 * MIB, 1200 * MIB)
        assert "upload it with tus, the default method" in str(caught.value)
        livepeer.throttle.max_rate = 100 * KIB
        os.truncate(path, 40 * MIB)
        with pytest.raises(SourceTooLarge, match="102,400 bytes/s, the limit of the client"):
            await livepeer.upload(path, method="direct")
        assert sandbox.requests == []


async def test_put_that_takes_too_long_is_not_repeated():
    # The server ends a request after 2.5 s, Livepeer's after 300.
    slow = Fault(PUT, Slow(2 * MIB))
    async with sandbox_and_client(slow, request_seconds=2.5) as (sandbox, livepeer):
        with pytest.raises(SourceTooLarge, match="bytes/s, as measured") as caught:
            await livepeer.upload(VIDEO, method="direct")
        assert caught.value.limit < len(VIDEO)
        assert undeleted(sandbox) == []
        assert len(puts(sandbox)) == 1


class FakeSource:
    name = "talk.mp4"

    def __init__(self, length, *, is_stream=False):
        self.length, self.is_stream = length, is_stream


def refused_limit(rates, length, max_rate=None):
    with pytest.raises(SourceTooLarge) as caught:
        rates.check(FakeSource(length), max_rate=max_rate)
    return caught.value.limit


def test_measured_rate_replaces_the_assumed_one():
    now = [0.0]
    rates = RateLimits(lambda: now[0])
    rates.check(FakeSource(1200 * MIB), max_rate=None)
    rates.record(100 * MIB, 100.0)
    assert refused_limit(rates, 301 * MIB) == 300 * MIB
    rates.check(FakeSource(300 * MIB), max_rate=None)
    # Small bodies only fill buffers.
    rates.record(MIB, 0.001)
    assert refused_limit(rates, 301 * MIB) == 300 * MIB
    rates.record(100 * MIB, 1.0)
    rates.check(FakeSource(MAX_LENGTH), max_rate=None)
    assert refused_limit(rates, MAX_LENGTH + 1) == MAX_LENGTH
    assert refused_limit(rates, 301 * MIB, max_rate=MIB) == 300 * MIB
    now[0] = 601.0
    assert refused_limit(rates, MAX_LENGTH) == 1200 * MIB


def test_pace_ends_a_put_that_cannot_end_in_time():
    rates = RateLimits(lambda: 0.0)
    source = FakeSource(300 * MIB)
    rates.check_pace(source, 1, 14.9)
    rates.check_pace(source, 15 * MIB, 15.0)
    with pytest.raises(SourceTooLarge, match="as measured") as caught:
        rates.check_pace(source, 10 * MIB, 20.0)
    assert caught.value.limit == 150 * MIB
    assert refused_limit(rates, 151 * MIB) == 150 * MIB


def test_slow_stream_says_nothing_about_other_sources():
    rates = RateLimits(lambda: 0.0)
    with pytest.raises(SourceTooLarge):
        rates.check_pace(FakeSource(300 * MIB, is_stream=True), 10 * MIB, 20.0)
    rates.check(FakeSource(1200 * MIB), max_rate=None)


async def test_wrong_size_is_noticed_and_can_be_replaced():
    async with sandbox_and_client(Fault(On(times=2), WrongSize(1))) as (sandbox, livepeer):
        with pytest.raises(IntegrityError):
            await livepeer.upload(SMALL, method="direct")
        asset = await livepeer.upload(SMALL, method="direct", on_mismatch="reupload")
        assert is_stored(sandbox, asset, SMALL)
        assert len(puts(sandbox)) == 3


async def test_wait_false_returns_once_the_server_has_all_bytes():
    options = {"processing_seconds": VERY_LONG}
    async with sandbox_and_client(**options) as (sandbox, livepeer):
        asset = await livepeer.upload(SMALL, method="direct", wait=False)
        assert asset.phase != "uploading"
        assert is_stored(sandbox, asset, SMALL)


async def test_stop_lets_the_put_end_and_keeps_the_asset(path, journal):
    slow = Fault(FIRST_PUT, Slow(12 * MIB))
    async with sandbox_and_client(slow) as (sandbox, _):
        async with client_for(sandbox, journal) as livepeer:
            with pytest.raises(UploadStopped) as caught:
                async with livepeer.begin_upload(path, method="direct") as upload:
                    async for progress in upload.progress():
                        if progress.in_flight:
                            upload.stop()
        assert puts(sandbox) == [200]
        assert caught.value.can_resume
        async with client_for(sandbox, journal) as livepeer:
            asset = await livepeer.upload(path, method="direct")
        assert asset.id == caught.value.asset_id
        assert is_stored(sandbox, asset, VIDEO)
        assert puts(sandbox) == [200]


async def test_stop_between_two_puts_deletes_the_asset(path, journal):
    busy = Fault(PUT, Answer(503, headers={"Retry-After": "500"}))
    async with sandbox_and_client(busy, client={"journal": journal}) as (sandbox, livepeer):
        with pytest.raises(UploadStopped) as caught:
            async with livepeer.begin_upload(path, method="direct") as upload:
                async for progress in upload.progress():
                    if progress.retry:
                        upload.stop()
        assert not caught.value.can_resume
        assert undeleted(sandbox) == []


async def test_pause_lets_the_put_end(path):
    slow = Fault(FIRST_PUT, Slow(12 * MIB))
    async with sandbox_and_client(slow) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path, method="direct")
        await until(lambda: upload.latest.in_flight)
        upload.pause()
        assert (await upload.wait()).asset.phase == "ready"
        assert puts(sandbox) == [200]


@pytest.mark.parametrize("has_journal", [True, False])
async def test_cancellation_deletes_the_asset(has_journal, path, journal):
    stall = Fault(PUT, Stall(VERY_LONG, after_bytes=MIB))
    options = {"journal": journal if has_journal else None}
    async with sandbox_and_client(stall, client=options) as (sandbox, livepeer):

        async def upload():
            await livepeer.upload(path, method="direct")

        await cancel_when(lambda: stall.fired, upload)
        assert undeleted(sandbox) == []


async def test_abort_deletes_the_asset(path):
    stall = Fault(PUT, Stall(VERY_LONG, after_bytes=MIB))
    async with sandbox_and_client(stall) as (sandbox, livepeer):
        async with livepeer.begin_upload(path, method="direct") as upload:
            await until(lambda: stall.fired)
            await upload.abort()
        assert undeleted(sandbox) == []


# A process that uploads a file directly until it is killed.
UPLOADING = """
import asyncio, sys
from support.sandbox import client_for

class Account:
    api_key, base_url = sys.argv[1:3]

async def main():
    async with client_for(Account, sys.argv[3]) as livepeer:
        await livepeer.upload(sys.argv[4], method="direct")

asyncio.run(main())
"""


@contextmanager
def killed(command, env):
    """Run a command during the block, then kill it."""
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def test_killed_upload_begins_again_under_its_key(path, journal):
    stall = Fault(FIRST_PUT, Stall(VERY_LONG, after_bytes=MIB))
    async with sandbox_and_client(stall) as (sandbox, _):
        arguments = [sandbox.api_key, sandbox.base_url, str(journal), str(path)]
        command = [sys.executable, "-c", UPLOADING, *arguments]
        env = command_line.environment(PYTHONPATH=":".join(sys.path))
        with killed(command, env):
            await until(lambda: puts(sandbox) and sandbox.requests[-1].received > KIB)
        # The URL is a bearer secret that no later run needs.
        for file in journal.parent.glob(f"{journal.name}*"):
            assert b"token=" not in file.read_bytes()
        async with client_for(sandbox, journal) as livepeer:
            asset = await livepeer.upload(path, method="direct")
            assert is_stored(sandbox, asset, VIDEO)
            assert await livepeer.leftovers() == []
        assert len(sandbox.assets) == 2
        assert [it.id for it in undeleted(sandbox)] == [asset.id]


async def test_put_that_a_kill_completed_is_not_repeated(path, journal):
    # The response arrives, and the client ends before it has looked at the asset.
    look = Fault(On(method="GET", path="/asset/[^/]+$", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(look) as (sandbox, _):
        arguments = [sandbox.api_key, sandbox.base_url, str(journal), str(path)]
        command = [sys.executable, "-c", UPLOADING, *arguments]
        env = command_line.environment(PYTHONPATH=":".join(sys.path))
        with killed(command, env):
            await until(lambda: look.fired)
        async with client_for(sandbox, journal) as livepeer:
            asset = await livepeer.upload(path, method="direct")
        assert is_stored(sandbox, asset, VIDEO)
        assert puts(sandbox) == [200]
        assert len(sandbox.assets) == 1


@pytest.mark.parametrize("methods", [("tus", "direct"), ("direct", "tus")])
async def test_other_method_discards_the_unfinished_upload(methods, path, journal):
    fault = On(method="PATCH") if methods[0] == "tus" else PUT
    broken = Fault(fault, CutConnection(after_bytes=KIB))
    options = {"journal": journal, "retry": RetryPolicy(attempts=0)}
    async with sandbox_and_client(broken, **SMALL_S3) as (sandbox, _):
        async with client_for(sandbox, **options) as livepeer:
            with pytest.raises(RetriesExhausted):
                await livepeer.upload(path, method=methods[0])
        sandbox.faults.clear()
        sandbox.clear_log()
        async with client_for(sandbox, journal) as livepeer:
            asset = await livepeer.upload(path, method=methods[1])
        assert is_stored(sandbox, asset, VIDEO)
        assert [it.id for it in undeleted(sandbox)] == [asset.id]
        assert bool(puts(sandbox)) is (methods[1] == "direct")


async def test_many_uploads_share_the_method_and_the_rate():
    videos = [make_bytes(200 * KIB, seed) for seed in range(5)]
    async with sandbox_and_client() as (sandbox, livepeer):
        async with livepeer.upload_many(videos, method="direct", max_rate=2 * MIB) as results:
            done = [result.unwrap() async for result in results]
        assert len(done) == 5
        assert puts(sandbox) == 5 * [200]


async def test_ingestion_sends_files_and_relayed_urls_directly(tmp_path, path, journal):
    async with sandbox_and_client(client={"journal": journal}) as (sandbox, livepeer):
        origin = await livepeer.assets.get((await livepeer.upload(SMALL, "origin.mp4")).id)
        manifest = tmp_path / "rows.jsonl"
        manifest.write_text(f'{{"path":"{path}"}}\n{{"url":"{origin.download_url}"}}\n')
        async with ingest(livepeer, manifest, relay=True, method="direct") as events:
            ended = [event async for event in events if isinstance(event, RowEnded)]
        assert [event.error for event in ended] == [None, None]
        assert puts(sandbox) == [200, 200]


async def test_unknown_method_is_refused():
    async with AsyncLivepeer("key", base_url=UNREACHABLE_API) as livepeer:
        with pytest.raises(ConfigurationError, match="method is 'post'; wanted 'tus' or"):
            await livepeer.upload(b"x", method="post")
        with pytest.raises(ConfigurationError, match="method is 'post'"):
            livepeer.begin_upload(b"x", method="post")


async def test_url_is_never_shown(caplog):
    caplog.set_level(logging.DEBUG)
    breaks = Fault(FIRST_PUT, CutConnection(after_bytes=MIDDLE))
    async with sandbox_and_client(breaks, Fault(PUT, Answer(403, b"no"))) as (_, livepeer):
        with pytest.raises(UploadRefused) as caught:
            async with livepeer.begin_upload(VIDEO, "talk.mp4", method="direct") as upload:
                pass
        shown = [caplog.text, str(caught.value), repr(caught.value), repr(upload)]
        assert "retry 1 of" in caplog.text
        assert "no URL yet" in repr(upload)
        assert not any("eyJ" in text for text in shown)


def test_hash_of_a_repeated_put_is_that_of_the_source(portal):
    async def run():
        async with sandbox_and_client(Fault(FIRST_PUT, CutConnection(after_bytes=MIDDLE))) as (
            _,
            livepeer,
        ):
            async with livepeer.begin_upload(VIDEO, method="direct", verify="hash") as upload:
                pass
            return upload.result

    result = portal.call(run)
    assert (result.sha256, result.verified) == (hashlib.sha256(VIDEO).hexdigest(), "hash")
