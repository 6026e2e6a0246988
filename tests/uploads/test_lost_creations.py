"""Creations whose answers are lost: looked for before a new ticket is bought."""

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

pytestmark = pytest.mark.anyio
CREATION = On(method="POST", path="/upload/tus", times=1)
SHORT, LONG = make_bytes(PART - 7), make_bytes(5 * PART + 99)
# The server has acted in full.
LOST = {
    "answer lost, FIN": LoseAnswer("fin"),
    "answer lost, RST": LoseAnswer("rst"),
    "answer cut": CutAnswer(30),
    "500 for a success": Answer(500, when="after"),
    "502 for a success": Answer(502, when="after"),
    "409 for a success": Answer(409, when="after"),
    "answer too late": Stall(2.0, after_bytes=1 << 40),
}
# The server has seen nothing of it, or not all.
NEVER = {
    "request lost": CutConnection(0),
    "502 before": Answer(502),
    "423 before": Answer(423),
}
in_both_storages = pytest.mark.parametrize("storage", STORAGES, ids=["file", "s3"])
HASTY = {"timeout": Timeouts(stall=0.7, chunk_response=0.7)}


async def upload(livepeer, data, **options):
    async with livepeer.begin_upload(data, "clip.mp4", **options) as begun:
        pass
    return begun.result


@in_both_storages
@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
async def test_creation_that_arrived_is_gone_on_with(storage, fault, data):
    strike = Fault(CREATION, LOST[fault])
    async with sandbox_and_client(strike, client=HASTY, **storage) as (sandbox, livepeer):
        result = await upload(livepeer, data)
        assert strike.fired
        assert is_stored(sandbox, result.asset, data)
        assert (result.attempts, len(sandbox.assets)) == (1, 1)
        methods = [method for method, _ in tus_requests(sandbox)]
        assert methods.count("POST") == 1
        assert ("PATCH" in methods) == (data is LONG)
        assert sandbox.violations == []


@in_both_storages
@pytest.mark.parametrize("fault", NEVER)
@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
async def test_creation_that_never_arrived_is_begun_anew(storage, fault, data):
    async with sandbox_and_client(Fault(CREATION, NEVER[fault]), **storage) as (sandbox, livepeer):
        result = await upload(livepeer, data)
        assert is_stored(sandbox, result.asset, data)
        assert result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
        assert sandbox.violations == []


@in_both_storages
@pytest.mark.parametrize("action", [CutConnection(10), CutConnection(PART // 2, "fin")])
async def test_creation_of_which_a_part_arrived_is_begun_anew(storage, action):
    """The rest may still be on its way to the storage: no chunk may be sent beside it."""
    async with sandbox_and_client(Fault(CREATION, action), **storage) as (sandbox, livepeer):
        result = await upload(livepeer, SHORT)
        assert is_stored(sandbox, result.asset, SHORT)
        assert result.attempts == 2
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
        assert "PATCH" not in {method for method, _ in tus_requests(sandbox)}


@in_both_storages
@pytest.mark.parametrize("by", [-PART, -1, 1])
async def test_creation_with_bytes_counts_only_where_it_is_whole(storage, by):
    faults = [Fault(CREATION, LoseAnswer()), Fault(On(method="HEAD"), ShiftOffset(by))]
    # The asset is seen to be `uploading` for longer than it is.
    body = b'{"id": "a", "status": {"phase": "uploading"}}'
    faults.append(Fault(On(method="GET", path="/asset/", times=2), Answer(200, body)))
    async with sandbox_and_client(*faults, **storage) as (sandbox, livepeer):
        result = await upload(livepeer, SHORT)
        assert is_stored(sandbox, result.asset, SHORT)
        assert result.attempts == 2
        assert "PATCH" not in {method for method, _ in tus_requests(sandbox)}


async def test_asset_tells_that_a_creation_arrived_where_head_does_not():
    faults = [Fault(CREATION, LoseAnswer()), Fault(On(method="HEAD"), Answer(404))]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, SHORT)
        assert (result.attempts, len(sandbox.assets)) == (1, 1)


async def test_creation_is_found_through_setbacks():
    faults = [
        Fault(CREATION, LoseAnswer()),
        Fault(On(method="HEAD", times=3), Answer(500)),
        Fault(On(method="GET", path="/asset/", times=3), LoseAnswer()),
    ]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, LONG, verify="hash")
        assert is_stored(sandbox, result.asset, LONG)
        assert (result.attempts, result.verified) == (1, "hash")


@pytest.mark.parametrize("answer", [404, 403, 500])
async def test_upload_host_that_shows_nothing_gets_a_new_ticket(answer):
    faults = [Fault(CREATION, LoseAnswer()), Fault(On(method="HEAD"), Answer(answer))]
    async with sandbox_and_client(*faults) as (sandbox, livepeer):
        result = await upload(livepeer, LONG)
        assert is_stored(sandbox, result.asset, LONG)
        assert result.attempts == 2


@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
async def test_search_for_a_creation_ends_where_nothing_answers(data, monkeypatch):
    monkeypatch.setattr(late, "FIRST_POLL", 0.05)
    held = Fault(On(method="POST", path="/upload/tus"), Stall(VERY_LONG))
    silent = Fault(On(method="HEAD"), CutConnection())
    client = {"retry": replace(FAST_RETRY, attempts=10, restarts=1), **HASTY}
    async with sandbox_and_client(held, silent, client=client, **SMALL_S3) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(data)
        methods = [method for method, _ in tus_requests(sandbox)]
        assert methods.count("POST") == 2
        assert methods.count("HEAD") == 2 * (1 + transfer.SEARCH_ATTEMPTS)


async def test_stream_whose_creation_arrived_is_gone_on_with():
    async def pieces():
        for start in range(0, len(LONG), PART):
            yield LONG[start : start + PART]

    async with sandbox_and_client(Fault(CREATION, LoseAnswer())) as (sandbox, livepeer):
        result = await upload(livepeer, pieces(), length=len(LONG))
        assert is_stored(sandbox, result.asset, LONG)
        assert result.attempts == 1


@in_both_storages
async def test_stream_whose_creation_arrived_in_part_is_begun_anew(storage):
    async def pieces():
        for start in range(0, len(SHORT), 10_000):
            yield SHORT[start : start + 10_000]

    fault = Fault(CREATION, CutConnection(PART // 2, "fin"))
    async with sandbox_and_client(fault, **storage) as (sandbox, livepeer):
        result = await upload(livepeer, pieces(), length=len(SHORT), verify="hash")
        assert is_stored(sandbox, result.asset, SHORT)
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


async def test_created_upload_that_was_found_is_resumed_by_the_next_run(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(LONG)
    held = Fault(On(method="PATCH"), Stall(VERY_LONG))
    client = {"journal": tmp_path / "journal"}
    async with sandbox_and_client(Fault(CREATION, LoseAnswer()), held, client=client) as (
        sandbox,
        livepeer,
    ):
        await cancel_when(lambda: held.fired, livepeer.upload, path)
        sandbox.faults.clear()
        asset = await livepeer.upload(path)
        assert is_stored(sandbox, asset, LONG)
        assert len(sandbox.assets) == 1


async def test_cancelled_search_for_a_creation_leaves_no_asset():
    held = Fault(On(method="HEAD"), Stall(VERY_LONG))
    async with sandbox_and_client(Fault(CREATION, LoseAnswer()), held) as (sandbox, livepeer):
        await cancel_when(lambda: held.fired, livepeer.upload, LONG)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


SMALL_CHUNKS = {"upload_limits": replace(SMALL_LIMITS, max_chunk=PART)}


def lost_at(*numbers):
    """Lose the upload at these chunks; each fault counts those that the ones before it let pass."""
    return [Fault(On(method="PATCH", nth=number), Answer(404)) for number in numbers]


async def test_upload_that_gets_further_each_time_begins_anew_without_end():
    # Each ticket gets one chunk further than the one before it.
    client = {"retry": replace(FAST_RETRY, restarts=1), **SMALL_CHUNKS}
    async with sandbox_and_client(*lost_at(2, 4, 7, 11), client=client) as (sandbox, livepeer):
        result = await upload(livepeer, LONG)
        assert is_stored(sandbox, result.asset, LONG)
        assert result.attempts == 5


async def test_restarts_without_progress_are_counted_and_waited_for(caplog):
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


async def test_no_upload_begins_anew_where_that_is_not_wanted():
    client = {"retry": replace(FAST_RETRY, restarts=0)}
    async with sandbox_and_client(*lost_at(1), client=client) as (sandbox, livepeer):
        with pytest.raises(errors.UploadGone):
            await livepeer.upload(LONG)
        assert len(sandbox.assets) == 1


async def test_stop_takes_effect_while_a_restart_is_waited_for():
    client = {"retry": replace(FAST_RETRY, first_delay=VERY_LONG, max_delay=VERY_LONG)}
    async with sandbox_and_client(*lost_at(1), client=client) as (_, livepeer):
        with anyio.fail_after(30), pytest.raises(errors.UploadStopped):
            async with livepeer.begin_upload(LONG) as begun:
                async for progress in begun.progress():
                    if progress.retry:
                        begun.stop()


LOST_TICKETS = {
    "answer lost": LoseAnswer(),
    "answer cut": CutAnswer(),
    "500": Answer(500),
    "409": Answer(409),
    "423": Answer(423),
    "425": Answer(425),
}


@pytest.mark.parametrize("fault", LOST_TICKETS)
async def test_request_for_an_upload_is_repeated_as_often_as_uploads(fault):
    strike = Fault(On(path="request-upload", times=7), LOST_TICKETS[fault])
    async with sandbox_and_client(strike) as (sandbox, livepeer):
        asset = await livepeer.upload(SHORT)
        assert strike.fired == 7
        assert is_stored(sandbox, asset, SHORT)


@pytest.mark.parametrize("status", [408, 409, 423, 425])
async def test_look_at_an_asset_is_repeated(status):
    strike = Fault(On(method="GET", path="/asset/", times=3), Answer(status))
    async with sandbox_and_client(strike) as (_, livepeer):
        assert (await livepeer.upload(LONG)).phase == "ready"
        assert strike.fired == 3
