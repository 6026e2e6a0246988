import os
from collections import Counter

import anyio
import pytest

from ingest.running import of, run, write_rows
from livepeer_async import NotAuthenticated, UploadJob
from livepeer_async.errors import (
    AssetFailed,
    ConfigurationError,
    DecodeError,
    NotFound,
    SourceChanged,
    SourceNotReadable,
    UploadInUse,
)
from livepeer_async.ingest import (
    BadRow,
    Checked,
    Halted,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
    check,
    ingest,
    ingestion,
)
from livepeer_async.sandbox import Answer, CutConnection, FailProcessing, Fault, On
from livepeer_async.scheduling.adaptive import MIN_SHARE
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def fill(folder, count, length=3000):
    """Make videos; give their bytes by their names."""
    videos = {
        f"v{number:03}.mp4": make_bytes(length + number, number % 256) for number in range(count)
    }
    for name, video in videos.items():
        (folder / name).write_bytes(video)
    return videos


def states(events):
    return {os.path.basename(it.row.source): str(it.state) for it in of(RowEnded, events)}


async def test_a_folder_becomes_ready_assets(folder):
    videos = fill(folder, 7)
    async with sandbox_and_client() as (sandbox, livepeer):
        events = await run(livepeer, folder)
        assert states(events) == dict.fromkeys(videos, "ready")
        (checked,) = of(Checked, events)
        assert (checked.rows, checked.bad, checked.urls) == (7, 0, 0)
        assert checked.length == sum(map(len, videos.values()))
        assert len(of(RowStarted, events)) == 7
        for ended in of(RowEnded, events):
            asset = await livepeer.assets.get(ended.asset_id)
            video = videos[asset.name]
            assert is_stored(sandbox, asset, video)
            assert (ended.playback_id, ended.length) == (asset.playback_id, len(video))
            assert (ended.attempts, ended.verified, ended.error) == (1, "size", None)


async def test_bad_rows_are_told_before_anything_starts(folder):
    fill(folder, 2)
    rows = [{"path": "v000.mp4"}, {"path": "gone.mp4"}, {"paht": "x"}, {"path": "v001.mp4"}]
    path = write_rows(folder, *rows)
    async with sandbox_and_client() as (_, livepeer):
        events = await run(livepeer, path)
    assert [type(event) for event in events[:3]] == [BadRow, BadRow, Checked]
    assert [bad.place for bad in of(BadRow, events)] == [f"{path}:2", f"{path}:3"]
    assert states(events) == {"v000.mp4": "ready", "v001.mp4": "ready"}


async def test_strict_starts_nothing_where_a_row_is_bad(folder):
    fill(folder, 1)
    path = write_rows(folder, {"path": "v000.mp4"}, {"path": "gone.mp4"})
    async with sandbox_and_client() as (sandbox, livepeer):
        events = await run(livepeer, path, strict=True)
        assert [type(event) for event in events] == [BadRow, Checked]
        assert not sandbox.requests


async def test_a_rerun_asks_nothing_of_what_is_finished(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "BATCH", 16)
    videos = fill(folder, 40)
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            first = await run(livepeer, folder, concurrency=16)
        asked = len(sandbox.requests)
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            second = await run(livepeer, folder)
        assert len(sandbox.requests) == asked
    assert states(second) == dict.fromkeys(videos, "ready")
    assert all(ended.is_earlier for ended in of(RowEnded, second))
    known = {ended.row.key: ended.asset_id for ended in of(RowEnded, first)}
    assert known == {ended.row.key: ended.asset_id for ended in of(RowEnded, second)}


async def test_the_files_of_finished_rows_may_be_gone(folder, tmp_path):
    fill(folder, 2)
    path = write_rows(folder, {"path": "v000.mp4"}, {"path": "v001.mp4"})
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run(livepeer, path)
        (folder / "v000.mp4").unlink()
        events = await run(livepeer, path, strict=True)
    assert states(events) == {"v000.mp4": "ready", "v001.mp4": "ready"}
    assert not of(BadRow, events)


async def test_a_finished_file_that_changed_fails_and_its_asset_stays(folder, tmp_path):
    fill(folder, 1)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (first,) = of(RowEnded, await run(livepeer, folder))
        (folder / "v000.mp4").write_bytes(make_bytes(77))
        (second,) = of(RowEnded, await run(livepeer, folder))
        assert isinstance(second.error, SourceChanged)
        assert (await livepeer.assets.get(first.asset_id)).phase == "ready"


@pytest.mark.parametrize("kind", ["folder", "rows"])
async def test_a_file_that_goes_after_the_check_is_told_and_stops_no_other(folder, kind):
    fill(folder, 3)
    rows = write_rows(folder, {"path": "v000.mp4"}, {"path": "v001.mp4"}, {"path": "v002.mp4"})
    events = []
    async with sandbox_and_client() as (_, livepeer):
        manifest = folder if kind == "folder" else rows
        async with ingest(livepeer, manifest) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, Checked):
                    (folder / "v001.mp4").unlink()
    ended = states(events)
    # In a folder it isn't found any more; a row that names it fails.
    assert ended.pop("v001.mp4", "not there") == {"folder": "not there", "rows": "failed"}[kind]
    assert ended == {"v000.mp4": "ready", "v002.mp4": "ready"}
    errors = [it.error for it in of(RowEnded, events) if it.error]
    assert all(isinstance(error, SourceNotReadable) for error in errors)


async def test_one_failure_stops_no_other(folder):
    fill(folder, 5)
    broken = Fault(On(asset="v002"), FailProcessing("file format unsupported, must be a valid MP4"))
    async with sandbox_and_client(broken) as (sandbox, livepeer):
        events = await run(livepeer, folder)
        assert not [r for r in sandbox.requests if r.path.endswith("/retry")]
    assert sorted(states(events).values()) == ["failed", "ready", "ready", "ready", "ready"]
    (failed,) = [ended for ended in of(RowEnded, events) if ended.error]
    assert isinstance(failed.error, AssetFailed)
    assert failed.asset_id == failed.error.asset_id


async def test_a_passing_failure_of_the_server_is_retried_without_a_second_upload(folder):
    fill(folder, 3)
    passing = Fault(On(asset="v001", times=1), FailProcessing("execution timeout"))
    async with sandbox_and_client(passing) as (sandbox, livepeer):
        events = await run(livepeer, folder)
        assert sum(r.path.endswith("/retry") for r in sandbox.requests) == 1
        assert sum(r.path.endswith("/request-upload") for r in sandbox.requests) == 3
    assert set(states(events).values()) == {"ready"}


async def test_progress_is_told_by_row(folder):
    fill(folder, 1, 3 * PART)
    told = []
    async with sandbox_and_client(**SMALL_S3) as (_, livepeer):
        await run(livepeer, folder, on_progress=lambda row, it: told.append((row, it)))
    assert {os.path.basename(row.source) for row, _ in told} == {"v000.mp4"}
    assert max(it.sent for _, it in told) == 3 * PART


async def test_without_waiting_rows_end_once_their_bytes_are_there(folder, tmp_path):
    fill(folder, 2)
    async with (
        sandbox_and_client(processing_seconds=VERY_LONG) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        events = await run(livepeer, folder, wait=False)
        assert set(states(events).values()) == {"arrived"}
        asked = len(sandbox.requests)
        again = await run(livepeer, folder, wait=False)
        assert set(states(again).values()) == {"arrived"}
        assert len(sandbox.requests) == asked


async def test_a_wrong_key_ends_the_run_before_anything_starts(folder):
    fill(folder, 3)
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, api_key="wrong") as livepeer:
            with pytest.raises(NotAuthenticated):
                await run(livepeer, folder)
        assert len(sandbox.requests) == 1


async def test_a_key_that_is_revoked_meanwhile_ends_the_run(folder):
    fill(folder, 150)
    revoked = Fault(On(path="request-upload"), Answer(401, b'{"errors": ["no token found"]}'))
    events = []
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(NotAuthenticated):
            async with ingest(livepeer, folder, concurrency=2) as running:
                async for event in running:
                    events.append(event)
                    if isinstance(event, RowStarted) and len(of(RowStarted, events)) == 10:
                        sandbox.faults.append(revoked)
        # Those that ran; none began in the place of one that was refused.
        assert 0 < revoked.fired <= 2 / MIN_SHARE
    # What had begun is told of, and nothing is called a failure.
    assert set(states(events).values()) <= {"ready", "unfinished"}
    assert len(states(events)) < 150


async def test_a_server_that_is_away_at_the_beginning_is_waited_for(folder):
    fill(folder, 3)
    away = Fault(On(times=2), CutConnection())
    async with sandbox_and_client(away) as (_, livepeer):
        events = await run(livepeer, folder)
    assert [type(event) for event in events[:4]] == [Checked, Halted, Halted, Resumed]
    assert set(states(events).values()) == {"ready"}


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"<html>")])
async def test_what_is_no_livepeer_ends_the_run(folder, answer):
    fill(folder, 3)
    async with sandbox_and_client(Fault(On(), answer)) as (sandbox, livepeer):
        with pytest.raises((NotFound, DecodeError)):
            await run(livepeer, folder)
        assert len(sandbox.requests) == 1


async def test_a_row_that_another_process_carries_comes_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion, "PAUSE", 0.05)
    fill(folder, 3)
    key = str(folder / "v001.mp4")
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        other = client_for(sandbox, tmp_path / "journal")
        async with other, anyio.create_task_group() as tasks:
            held, enough, released = anyio.Event(), anyio.Event(), anyio.Event()

            async def hold():
                async with other.journal.acquire(key):
                    held.set()
                    await enough.wait()
                released.set()

            tasks.start_soon(hold)
            await held.wait()
            events = []
            async with ingest(livepeer, folder) as running:
                async for event in running:
                    events.append(event)
                    if isinstance(event, RowDeferred):
                        assert isinstance(event.error, UploadInUse)
                        enough.set()
                        # It can't begin again before this event's end, however late that is.
                        await released.wait()
    assert len(of(RowDeferred, events)) == 1
    assert set(states(events).values()) == {"ready"}


async def test_an_outage_starts_nothing_and_loses_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion, "PAUSE", 0.05)
    fill(folder, 40)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        circuit_breaker = Fault(On(), CutConnection())
        events = []
        async with ingest(livepeer, folder, concurrency=4) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, RowStarted) and len(of(RowStarted, events)) == 10:
                    sandbox.faults.append(circuit_breaker)
                if len(of(Halted, events)) == 2:
                    sandbox.faults.clear()
        assert circuit_breaker.fired
        phases = Counter([asset.phase async for asset in livepeer.assets.list()])
        assert phases["ready"] == 40
        # What a lost answer has made has no bytes.
        assert phases.keys() <= {"ready", "uploading"}
    assert set(states(events).values()) == {"ready"}
    assert len(states(events)) == 40
    assert len(of(Resumed, events)) == 1
    # Only those that ran met it: the others weren't burnt through.
    assert 0 < len(of(RowDeferred, events)) <= 16


async def test_without_a_journal_no_second_asset_is_made_of_a_file(folder, monkeypatch):
    """What has an asset couldn't be gone on with, so that it mustn't come again."""
    monkeypatch.setattr(ingestion, "PAUSE", 0.05)
    fill(folder, 1)
    gone = Fault(On(method="GET", path="/asset/.", times=30), CutConnection())
    async with sandbox_and_client(gone) as (sandbox, livepeer):
        events = await run(livepeer, folder)
        (ended,) = of(RowEnded, events)
        assert ended.state is RowState.FAILED
        assert ended.asset_id is not None
        assert sum(r.path.endswith("/request-upload") for r in sandbox.requests) == 1


async def test_rows_that_meet_one_outage_after_another_arent_given_up(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(ingestion, "PAUSE", 0.01)
    fill(folder, 1)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        events = []
        async with ingest(livepeer, folder) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, RowStarted) and len(of(RowStarted, events)) <= 5:
                    sandbox.faults.append(Fault(On(), CutConnection()))
                if isinstance(event, Halted):
                    sandbox.faults.clear()
    assert len(of(RowStarted, events)) > ingestion.MOST_ATTEMPTS
    assert states(events) == {"v000.mp4": "ready"}


@pytest.mark.parametrize("concurrency", [1, 2, None])
async def test_who_takes_the_events_may_upload_through_the_same_slots(folder, concurrency):
    videos = fill(folder, 12)
    async with sandbox_and_client() as (sandbox, livepeer):
        with anyio.fail_after(TIMEOUT):
            async with ingest(livepeer, folder, concurrency=concurrency) as events:
                async for event in events:
                    if not isinstance(event, RowEnded):
                        continue
                    # Meanwhile other rows begin, each in its slot.
                    await anyio.wait_all_tasks_blocked()
                    name = f"beside {event.row.key}"
                    async with livepeer.upload_many([UploadJob(b"beside", name)]) as results:
                        assert [result.error async for result in results] == [None]
        assert len(sandbox.assets) == 2 * len(videos)


@pytest.mark.parametrize(
    "option",
    [
        {"verify": "x"},
        {"on_mismatch": "x"},
        {"ready_timeout": 0},
        {"reprocess": -1},
        {"outage_timeout": 0},
        {"outage_timeout": float("nan")},
        {"concurrency": 1.5},
        {"max_rate": 1},
    ],
)
async def test_an_option_that_cant_work_is_refused_before_any_row(folder, option):
    fill(folder, 1)
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ConfigurationError, match=next(iter(option))):
            await run(livepeer, folder, **option)
        assert sandbox.requests == []


async def test_a_row_that_failed_names_the_asset_that_it_concerns(folder, tmp_path):
    fill(folder, 1)
    failing = Fault(On(times=1), FailProcessing("file format unsupported, must be a valid MP4"))
    async with sandbox_and_client(failing) as (sandbox, _):
        for _ in range(2):
            async with client_for(sandbox, tmp_path / "journal") as livepeer:
                (ended,) = of(RowEnded, await run(livepeer, folder))
            assert isinstance(ended.error, AssetFailed)
            assert [ended.asset_id] == [asset.id for asset in sandbox.assets]


async def test_a_server_that_stays_away_ends_the_run(folder):
    fill(folder, 5)
    async with sandbox_and_client(Fault(On(), Answer(500))) as (_, livepeer):
        with pytest.raises(Exception, match="500"):
            await run(livepeer, folder, outage_timeout=0.5)


async def test_stopped_it_finishes_chunks_and_a_rerun_goes_on(folder, tmp_path):
    videos = fill(folder, 4, 6 * PART)
    async with sandbox_and_client(**SMALL_S3) as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            livepeer.throttle.max_rate = 20 * PART
            moved = anyio.Event()

            def follow(_row, progress):
                if progress.sent > 2 * PART:
                    moved.set()

            events = []
            ingesting = ingest(livepeer, folder, on_progress=follow, concurrency=2)
            async with ingesting as running, anyio.create_task_group() as tasks:

                async def stop():
                    await moved.wait()
                    running.stop()

                tasks.start_soon(stop)
                events = [event async for event in running]
            assert set(states(events).values()) == {"unfinished"}
            assert len(states(events)) == 2
        before = sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)
        statuses = {r.status for r in sandbox.requests if "/upload/tus" in r.path}
        assert statuses <= {200, 201, 204}
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            again = await run(livepeer, folder)
        assert states(again) == dict.fromkeys(videos, "ready")
        sent = sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)
        assert sent == sum(map(len, videos.values()))
        assert before > 0


async def test_a_block_that_is_left_early_cancels_what_runs(folder):
    fill(folder, 4, 6 * PART)
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        livepeer.throttle.max_rate = PART * 4
        with anyio.fail_after(TIMEOUT):
            async with ingest(livepeer, folder) as running:
                async for event in running:
                    if isinstance(event, RowStarted):
                        break
        await until(lambda: not [r for r in sandbox.requests if not r.is_over])
