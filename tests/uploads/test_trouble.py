"""Failures and waits of every request of an upload reach its progress."""

import anyio
import pytest

from livepeer_async import RetryPolicy, Stage, UploadJob
from livepeer_async.http import observers, recovery
from livepeer_async.sandbox import Answer, Fault, LoseAnswer, On, Stall
from livepeer_async.uploads.options import UploadOptions
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, cancel_when, client_for, make_bytes, sandbox_and_client
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(3 * PART)
BAD_GATEWAY = Answer(502)
BUSY = Answer(503, headers={"Retry-After": "0"})


def retries_of(seen):
    return list(dict.fromkeys(it.retry.reason.split(":")[0] for it in seen if it.retry))


def is_held_up(seen):
    return bool(seen and seen[-1].retry)


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (Fault(On(path="request-upload$", nth=1), BUSY), "503 from POST "),
        (Fault(On(path="request-upload$", nth=1), BAD_GATEWAY), "502 from POST "),
        (Fault(On(method="PATCH", nth=1), BAD_GATEWAY), "502 from PATCH "),
        (Fault(On(method="HEAD", nth=1), BAD_GATEWAY), "502 from HEAD "),
        (Fault(On(method="GET", path="/asset/", nth=1), BAD_GATEWAY), "502 from GET "),
    ],
    ids=["busy", "request-upload", "chunk", "offset", "asset"],
)
async def test_failed_request_is_in_the_progress_until_one_succeeds(fault, place):
    seen = []
    faults = [fault, Fault(On(method="PATCH", nth=2), LoseAnswer())]
    async with sandbox_and_client(*faults, **SMALL_S3) as (_, livepeer):
        await livepeer.upload(VIDEO, "talk.mp4", on_progress=seen.append)
    assert any(reason.startswith(place) for reason in retries_of(seen))
    assert (seen[-1].stage, seen[-1].retry) == (Stage.READY, None)
    retries = [it.retry for it in seen if it.retry]
    assert all(it.attempt <= it.attempts for it in retries)
    assert all(it.request_id and it.request_id not in it.reason for it in retries)


async def test_failed_poll_is_in_the_progress_of_all_that_wait():
    seen = {"a": [], "b": [], "c": []}
    fault = Fault(On(method="GET", path=r"/asset(/|$)", times=1), BAD_GATEWAY)
    options = {"processing_seconds": 0.2}
    async with sandbox_and_client(fault, **options) as (_, livepeer):

        async def upload(name):
            report = seen[name].append
            await livepeer.upload(make_bytes(100), name, on_progress=report)

        with anyio.fail_after(TIMEOUT):
            async with anyio.create_task_group() as tasks:
                for name in seen:
                    tasks.start_soon(upload, name)
    assert fault.fired
    assert any(retries_of(it) for it in seen.values())
    assert all(it[-1].retry is None for it in seen.values())


async def test_failed_origin_of_a_relay_is_reported_before_the_asset():
    seen, statuses = [], ["502 Bad Gateway", "502 Bad Gateway", "200 OK"]

    def answer(_):
        return http_response(make_bytes(100), status=statuses.pop(0))

    async with serve_http(answer) as origin, sandbox_and_client() as (_, livepeer):
        options = UploadOptions(on_progress=seen.append)
        result = await livepeer.uploads.relay(f"{origin.origin}/talk.mp4", "talk.mp4", options)
    assert result.error is None
    first = seen[0]
    assert (first.stage, first.fraction, first.retry.attempt) == (Stage.STARTING, None, 1)
    assert first.retry.reason.startswith("502 from GET ")


async def test_server_that_never_responds_is_reported(monkeypatch):
    monkeypatch.setattr(observers, "REPORT_AFTER", 0.02)
    seen = []
    fault = Fault(On(path="request-upload$", nth=1), Stall(VERY_LONG))
    async with sandbox_and_client(fault) as (_, livepeer):

        async def upload():
            await livepeer.upload(VIDEO, "talk.mp4", on_progress=seen.append)

        await cancel_when(lambda: seen, upload)
    waiting = seen[0].waiting
    assert (seen[0].stage, waiting.reason) == (Stage.STARTING, "no response")
    assert waiting.place.startswith("POST http://")


async def test_unconfirmed_chunk_is_reported(monkeypatch):
    monkeypatch.setattr(observers, "REPORT_AFTER", 0.02)
    seen = []
    fault = Fault(On(method="PATCH", nth=1), Stall(VERY_LONG, after_bytes=PART))
    async with sandbox_and_client(fault, **SMALL_S3) as (_, livepeer):

        async def upload():
            await livepeer.upload(VIDEO, "talk.mp4", on_progress=seen.append)

        await cancel_when(lambda: any(it.waiting and it.in_flight for it in seen), upload)
    last = next(it for it in seen if it.waiting and it.in_flight)
    assert last.waiting.reason == "the server hasn't confirmed 64.0 KiB"
    assert (last.sent, last.in_flight, last.fraction) == (0, PART, 0.0)


async def test_sent_bytes_never_fall_unless_the_upload_restarts():
    seen = []
    faults = [Fault(On(method="PATCH", every=2), LoseAnswer())]
    async with sandbox_and_client(*faults, **SMALL_S3) as (_, livepeer):
        await livepeer.upload(make_bytes(9 * PART), "talk.mp4", on_progress=seen.append)
    sent = [it.sent for it in seen]
    assert sent == sorted(sent)
    assert {it.asset_id for it in seen} == {seen[-1].asset_id}
    assert all(it.sent + it.in_flight <= it.length for it in seen)


async def test_resumed_upload_never_reports_less_than_the_server_has(tmp_path):
    path, journal, first, second = tmp_path / "talk.mp4", tmp_path / "journal", [], []
    path.write_bytes(make_bytes(6 * PART))
    async with sandbox_and_client(**SMALL_S3) as (sandbox, _):

        async def upload(seen):
            async with client_for(sandbox, journal) as livepeer:
                await livepeer.upload(path, on_progress=seen.append)

        await cancel_when(lambda: first and first[-1].sent >= 2 * PART, upload, first)
        await upload(second)
    assert second[0].sent >= 2 * PART
    assert second[0].fraction >= 1 / 3


async def test_first_success_after_an_outage_wakes_all_uploads(monkeypatch):
    monkeypatch.setattr(recovery, "MIN_OUTAGE", 0.0)
    monkeypatch.setattr(recovery, "SPREAD_SECONDS", 0.01)
    patient = RetryPolicy(first_delay=VERY_LONG, max_delay=VERY_LONG)
    fault = Fault(On(method="PATCH", times=3), BAD_GATEWAY)
    seen = {}
    async with sandbox_and_client(fault, client={"retry": patient}, **SMALL_S3) as (_, livepeer):
        jobs = [UploadJob(VIDEO, name) for name in ("a.mp4", "b.mp4", "c.mp4")]

        async def upload(job):
            report = seen.setdefault(job.new_asset, []).append
            await livepeer.upload(job.source, job.new_asset, on_progress=report)

        with anyio.fail_after(TIMEOUT):
            async with anyio.create_task_group() as tasks:
                for job in jobs:
                    tasks.start_soon(upload, job)
                await until(lambda: len(seen) == 3 and all(map(is_held_up, seen.values())))
                await livepeer.ping()
    assert {it[-1].stage for it in seen.values()} == {Stage.READY}


async def test_observers_see_the_calls_of_their_block():
    events = []
    fault = Fault(On(method="GET", path="/asset$", nth=1), BAD_GATEWAY)
    async with sandbox_and_client(fault) as (_, livepeer):
        with observers.observe_requests(events.append):
            assert [asset async for asset in livepeer.assets.list()] == []
    retry, recovered = events
    assert (retry.attempt, retry.reason[:13], recovered) == (1, "502 from GET ", None)
