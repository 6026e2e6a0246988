"""Creations with a lost response: the upload is looked for before a restart."""

import anyio
import pytest
from msgspec.structs import replace

from livepeer_async import Timeouts, errors
from livepeer_async.sandbox import (
    Answer,
    CutAnswer,
    CutConnection,
    Fault,
    LoseAnswer,
    On,
    ShiftOffset,
    Stall,
)
from livepeer_async.tus import late
from livepeer_async.uploads import transfer
from support.constants import FAST_RETRY, VERY_LONG
from support.sandbox import (
    PART,
    SMALL_LIMITS,
    SMALL_S3,
    STORAGES,
    cancel_when,
    is_stored,
    make_bytes,
    sandbox_and_client,
    tus_requests,
)
from support.streams import split

pytestmark = pytest.mark.anyio
CREATION = On(method="POST", path="/upload/tus", times=1)
SHORT, LONG = make_bytes(PART - 7), make_bytes(5 * PART + 99)
# The server has handled the whole request.
LOST = {
    "response lost, FIN": LoseAnswer("fin"),
    "response lost, RST": LoseAnswer("rst"),
    "response cut": CutAnswer(30),
    "500 for a success": Answer(500, when="after"),
    "502 for a success": Answer(502, when="after"),
    "409 for a success": Answer(409, when="after"),
    "response too late": Stall(2.0, after_bytes=1 << 40),
}
# The server has received none of the request, or not all.
UNSENT = {
    "request lost": CutConnection(0),
    "502 before": Answer(502),
    "423 before": Answer(423),
}
in_both_storages = pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
SHORT_TIMEOUTS = {"timeout": Timeouts(stall=0.7, chunk_response=0.7)}


async def upload(livepeer, data, **options):
    async with livepeer.begin_upload(data, "clip.mp4", **options) as running_upload:
        pass
    return running_upload.result


@in_both_storages
@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
async def test_arrived_creation_is_resumed(storage, fault, data):
    lost = Fault(CREATION, LOST[fault])
    async with sandbox_and_client(lost, client=SHORT_TIMEOUTS, **storage) as (sandbox, livepeer):
        result = await upload(livepeer, data)
        assert lost.fired
        assert is_stored(sandbox, result.asset, data)
        assert (result.attempts, len(sandbox.assets)) == (1, 1)
        methods = [method for method, _ in tus_requests(sandbox)]
        assert methods.count("POST") == 1
        assert ("PATCH" in methods) == (data is LONG)
        assert sandbox.violations == []


@in_both_storages
@pytest.mark.parametrize("fault", UNSENT)
@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
async def test_creation_that_never_arrived_restarts(storage, fault, data):
    async with sandbox_and_client(Fault(CREATION, UNSENT[fault]), **storage) as (sandbox, livepeer):
        result = await upload(livepeer, data)
        assert is_stored(sandbox, result.asset, data)
        assert result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
        assert sandbox.violations == []


@in_both_storages
@pytest.mark.parametrize("action", [CutConnection(10), CutConnection(PART // 2, "fin")])
async def test_partly_arrived_creation_restarts(storage, action):
    """The rest may still be stored, and a chunk beside it would be a second writer."""
    async with sandbox_and_client(Fault(CREATION, action), **storage) as (sandbox, livepeer):
        result = await upload(livepeer, SHORT)
        assert is_stored(sandbox, result.asset, SHORT)
        assert result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
        assert "PATCH" not in {method for method, _ in tus_requests(sandbox)}


@in_both_storages
@pytest.mark.parametrize("by", [-PART, -1, 1])
async def test_creation_with_bytes_counts_only_if_complete(storage, by):
    faults = [Fault(CREATION, LoseAnswer()), Fault(On(method="HEAD"), ShiftOffset(by))]
    # The asset looks `uploading` for longer than it is.
    body = b'{"id": "a", "status": {"phase": "uploading"}}'
    faults.append(Fault(On(method="GET", path="/asset/", times=2), Answer(200, body)))
    async with sandbox_and_client(*faults, **storage) as (sandbox, livepeer):
        result = await upload(livepeer, SHORT)
        assert is_stored(sandbox, result.asset, SHORT)
        assert result.attempts == 2
        assert "PATCH" not in {method for method, _ in tus_requests(sandbox)}


async def test_asset_shows_that_a_creation_arrived_if_head_fails():
    faults = [Fault(CREATION, LoseAnswer()), Fault(On(method="HEAD"), Answer(404))]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, SHORT)
        assert (result.attempts, len(sandbox.assets)) == (1, 1)


async def test_creation_is_found_through_faults():
    faults = [
        Fault(CREATION, LoseAnswer()),
        Fault(On(method="HEAD", times=3), Answer(500)),
        Fault(On(method="GET", path="/asset/", times=3), LoseAnswer()),
    ]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, LONG, verify="hash")
        assert is_stored(sandbox, result.asset, LONG)
        assert (result.attempts, result.verified) == (1, "hash")


@pytest.mark.parametrize("status", [404, 403, 500])
async def test_failing_head_restarts_with_a_new_ticket(status):
    faults = [Fault(CREATION, LoseAnswer()), Fault(On(method="HEAD"), Answer(status))]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, LONG)
        assert is_stored(sandbox, result.asset, LONG)
        assert result.attempts == 2


@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
async def test_search_for_a_creation_ends_without_a_response(data, monkeypatch):
    monkeypatch.setattr(late, "FIRST_POLL", 0.05)
    stall = Fault(On(method="POST", path="/upload/tus"), Stall(VERY_LONG))
    silent = Fault(On(method="HEAD"), CutConnection())
    client = {"retry": replace(FAST_RETRY, attempts=10, restarts=1), **SHORT_TIMEOUTS}
    async with sandbox_and_client(stall, silent, client=client, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(data)
        methods = [method for method, _ in tus_requests(sandbox)]
        assert methods.count("POST") == 2
        assert methods.count("HEAD") == 2 * (1 + transfer.SEARCH_ATTEMPTS)


async def test_arrived_creation_of_a_stream_is_resumed():
    async with sandbox_and_client(Fault(CREATION, LoseAnswer())) as (sandbox, livepeer):
        result = await upload(livepeer, split(LONG, PART), length=len(LONG))
        assert is_stored(sandbox, result.asset, LONG)
        assert result.attempts == 1


@in_both_storages
async def test_partly_arrived_creation_of_a_stream_restarts(storage):
    fault = Fault(CREATION, CutConnection(PART // 2, "fin"))
    async with sandbox_and_client(fault, **storage) as (sandbox, livepeer):
        result = await upload(livepeer, split(SHORT, 10_000), length=len(SHORT), verify="hash")
        assert is_stored(sandbox, result.asset, SHORT)
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


async def test_found_creation_is_resumed_by_the_next_run(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(LONG)
    stall = Fault(On(method="PATCH"), Stall(VERY_LONG))
    client = {"journal": tmp_path / "journal"}
    async with sandbox_and_client(Fault(CREATION, LoseAnswer()), stall, client=client) as (
        sandbox,
        livepeer,
    ):
        await cancel_when(lambda: stall.fired, livepeer.upload, path)
        sandbox.faults.clear()
        asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, LONG)
        assert len(sandbox.assets) == 1


async def test_cancelled_search_for_a_creation_leaves_no_asset():
    stall = Fault(On(method="HEAD"), Stall(VERY_LONG))
    async with sandbox_and_client(Fault(CREATION, LoseAnswer()), stall) as (sandbox, livepeer):
        await cancel_when(lambda: stall.fired, livepeer.upload, LONG)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


SMALL_CHUNKS = {"upload_limits": replace(SMALL_LIMITS, max_chunk=PART)}


def lost_at(*numbers):
    """Lose the upload at these chunks; a fault counts the chunks that earlier faults let pass."""
    return [Fault(On(method="PATCH", nth=number), Answer(404)) for number in numbers]


async def test_restarts_with_progress_are_unlimited():
    # Each upload gets one chunk further than the one before.
    client = {"retry": replace(FAST_RETRY, restarts=1), **SMALL_CHUNKS}
    async with sandbox_and_client(*lost_at(2, 4, 7, 11), client=client) as (sandbox, livepeer):
        result = await upload(livepeer, LONG)
        assert is_stored(sandbox, result.asset, LONG)
        assert result.attempts == 5


async def test_restarts_without_progress_are_counted_and_delayed(caplog):
    client = {"retry": replace(FAST_RETRY, restarts=2), **SMALL_CHUNKS}
    async with sandbox_and_client(*lost_at(2, 3, 4), client=client) as (sandbox, livepeer):
        failures = []

        def note(progress):
            if progress.retry and progress.retry.reason.startswith("the upload is lost"):
                failures.append(progress.retry.attempt)

        with pytest.raises(errors.UploadGone):
            await livepeer.upload(LONG, on_progress=note)
        assert len(sandbox.assets) == 3
        assert failures == [1, 2]
        assert "retry 2 of 2" in caplog.text


async def test_zero_restarts_disables_restarting():
    client = {"retry": replace(FAST_RETRY, restarts=0)}
    async with sandbox_and_client(*lost_at(1), client=client) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(LONG)
        assert len(sandbox.assets) == 1


async def test_stop_ends_the_wait_before_a_restart():
    client = {"retry": replace(FAST_RETRY, first_delay=VERY_LONG, max_delay=VERY_LONG)}
    async with sandbox_and_client(*lost_at(1), client=client) as (_, livepeer):
        with anyio.fail_after(30), pytest.raises(errors.UploadStopped):
            async with livepeer.begin_upload(LONG) as running_upload:
                async for progress in running_upload.progress():
                    if progress.retry:
                        running_upload.stop()


LOST_TICKETS = {
    "response lost": LoseAnswer(),
    "response cut": CutAnswer(),
    "500": Answer(500),
    "409": Answer(409),
    "423": Answer(423),
    "425": Answer(425),
}


@pytest.mark.parametrize("fault", LOST_TICKETS)
async def test_request_for_an_upload_is_repeated(fault):
    lost = Fault(On(path="request-upload", times=7), LOST_TICKETS[fault])
    async with sandbox_and_client(lost) as (sandbox, livepeer):
        asset = await livepeer.upload(SHORT)
        assert lost.fired == 7
        assert is_stored(sandbox, asset, SHORT)


@pytest.mark.parametrize("status", [408, 409, 423, 425])
async def test_poll_of_an_asset_is_repeated(status):
    lost = Fault(On(method="GET", path="/asset/", times=3), Answer(status))
    async with sandbox_and_client(lost) as (_, livepeer):
        assert (await livepeer.upload(LONG)).phase == "ready"
        assert lost.fired == 3
