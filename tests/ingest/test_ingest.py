"""Whole ingestions of files."""

import os

import anyio
import pytest

from ingest.running import events_of, run, states_of, write_rows, write_videos
from livepeer_async import UploadJob
from livepeer_async.errors import (
    AssetFailed,
    ConfigurationError,
    SourceChanged,
    SourceNotReadable,
)
from livepeer_async.ingest import (
    BadRow,
    Checked,
    RowEnded,
    RowStarted,
    check,
    ingest,
)
from livepeer_async.sandbox import FailProcessing, Fault, On
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


async def test_folder_becomes_ready_assets(folder):
    videos = write_videos(folder, 7)
    async with sandbox_and_client() as (sandbox, livepeer):
        events = await run(livepeer, folder)
        assert states_of(events) == dict.fromkeys(videos, "ready")
        (checked,) = events_of(Checked, events)
        assert (checked.rows, checked.bad, checked.urls) == (7, 0, 0)
        assert checked.length == sum(map(len, videos.values()))
        assert len(events_of(RowStarted, events)) == 7
        for ended in events_of(RowEnded, events):
            asset = await livepeer.assets.get(ended.asset_id)
            video = videos[asset.name]
            assert is_stored(sandbox, asset, video)
            assert (ended.playback_id, ended.length) == (asset.playback_id, len(video))
            assert (ended.attempts, ended.verified, ended.error) == (1, "size", None)


async def test_bad_rows_are_reported_before_any_upload(folder):
    write_videos(folder, 2)
    rows = [{"path": "v000.mp4"}, {"path": "gone.mp4"}, {"paht": "x"}, {"path": "v001.mp4"}]
    path = write_rows(folder, *rows)
    async with sandbox_and_client() as (_, livepeer):
        events = await run(livepeer, path)
    assert [type(event) for event in events[:3]] == [BadRow, BadRow, Checked]
    assert [bad.location for bad in events_of(BadRow, events)] == [f"{path}:2", f"{path}:3"]
    assert states_of(events) == {"v000.mp4": "ready", "v001.mp4": "ready"}


async def test_strict_starts_nothing_if_a_row_is_bad(folder):
    write_videos(folder, 1)
    path = write_rows(folder, {"path": "v000.mp4"}, {"path": "gone.mp4"})
    async with sandbox_and_client() as (sandbox, livepeer):
        events = await run(livepeer, path, strict=True)
        assert [type(event) for event in events] == [BadRow, Checked]
        assert not sandbox.requests


async def test_rerun_sends_no_request_for_finished_rows(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "RUN_BATCH", 16)
    videos = write_videos(folder, 40)
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            first = await run(livepeer, folder, concurrency=16)
        requests = len(sandbox.requests)
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            second = await run(livepeer, folder)
        assert len(sandbox.requests) == requests
    assert states_of(second) == dict.fromkeys(videos, "ready")
    assert all(ended.is_earlier for ended in events_of(RowEnded, second))
    known = {ended.row.key: ended.asset_id for ended in events_of(RowEnded, first)}
    assert known == {ended.row.key: ended.asset_id for ended in events_of(RowEnded, second)}


async def test_files_of_finished_rows_may_be_missing(folder, tmp_path):
    write_videos(folder, 2)
    path = write_rows(folder, {"path": "v000.mp4"}, {"path": "v001.mp4"})
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        await run(livepeer, path)
        (folder / "v000.mp4").unlink()
        events = await run(livepeer, path, strict=True)
    assert states_of(events) == {"v000.mp4": "ready", "v001.mp4": "ready"}
    assert not events_of(BadRow, events)


async def test_changed_file_of_a_finished_row_fails(folder, tmp_path):
    write_videos(folder, 1)
    async with (
        sandbox_and_client() as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        (first,) = events_of(RowEnded, await run(livepeer, folder))
        (folder / "v000.mp4").write_bytes(make_bytes(77))
        (second,) = events_of(RowEnded, await run(livepeer, folder))
        assert isinstance(second.error, SourceChanged)
        assert (await livepeer.assets.get(first.asset_id)).phase == "ready"


@pytest.mark.parametrize("kind", ["folder", "rows"])
async def test_file_deleted_after_the_check_fails_alone(folder, kind):
    write_videos(folder, 3)
    rows = write_rows(folder, {"path": "v000.mp4"}, {"path": "v001.mp4"}, {"path": "v002.mp4"})
    events = []
    async with sandbox_and_client() as (_, livepeer):
        manifest = folder if kind == "folder" else rows
        async with ingest(livepeer, manifest) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, Checked):
                    (folder / "v001.mp4").unlink()
    ended = states_of(events)
    # A folder doesn't contain it any more; a row that names it fails.
    assert ended.pop("v001.mp4", "missing") == {"folder": "missing", "rows": "failed"}[kind]
    assert ended == {"v000.mp4": "ready", "v002.mp4": "ready"}
    errors = [it.error for it in events_of(RowEnded, events) if it.error]
    assert all(isinstance(error, SourceNotReadable) for error in errors)


async def test_failure_does_not_affect_other_rows(folder):
    write_videos(folder, 5)
    broken = Fault(On(asset="v002"), FailProcessing("file format unsupported, must be a valid MP4"))
    async with sandbox_and_client(broken) as (sandbox, livepeer):
        events = await run(livepeer, folder)
        assert not [r for r in sandbox.requests if r.path.endswith("/retry")]
    assert sorted(states_of(events).values()) == ["failed", "ready", "ready", "ready", "ready"]
    (failed,) = [ended for ended in events_of(RowEnded, events) if ended.error]
    assert isinstance(failed.error, AssetFailed)
    assert failed.asset_id == failed.error.asset_id


async def test_failed_asset_is_reprocessed_without_new_upload(folder):
    write_videos(folder, 3)
    passing = Fault(On(asset="v001", times=1), FailProcessing("execution timeout"))
    async with sandbox_and_client(passing) as (sandbox, livepeer):
        events = await run(livepeer, folder)
        assert sum(r.path.endswith("/retry") for r in sandbox.requests) == 1
        assert sum(r.path.endswith("/request-upload") for r in sandbox.requests) == 3
    assert set(states_of(events).values()) == {"ready"}


async def test_progress_is_reported_per_row(folder):
    write_videos(folder, 1, 3 * PART)
    updates = []
    async with sandbox_and_client(**SMALL_S3) as (_, livepeer):
        await run(livepeer, folder, on_progress=lambda row, it: updates.append((row, it)))
    assert {os.path.basename(row.source) for row, _ in updates} == {"v000.mp4"}
    assert max(it.sent for _, it in updates) == 3 * PART


async def test_without_wait_rows_end_as_uploaded(folder, tmp_path):
    write_videos(folder, 2)
    async with (
        sandbox_and_client(processing_seconds=VERY_LONG) as (sandbox, _),
        client_for(sandbox, tmp_path / "journal") as livepeer,
    ):
        events = await run(livepeer, folder, wait=False)
        assert set(states_of(events).values()) == {"arrived"}
        requests = len(sandbox.requests)
        again = await run(livepeer, folder, wait=False)
        assert set(states_of(again).values()) == {"arrived"}
        assert len(sandbox.requests) == requests


@pytest.mark.parametrize("concurrency", [1, 2, None])
async def test_event_consumer_can_upload_with_the_same_slots(folder, concurrency):
    videos = write_videos(folder, 12)
    async with sandbox_and_client() as (sandbox, livepeer):
        with anyio.fail_after(TIMEOUT):
            async with ingest(livepeer, folder, concurrency=concurrency) as events:
                async for event in events:
                    if not isinstance(event, RowEnded):
                        continue
                    # Other rows start meanwhile, each in a slot.
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
async def test_invalid_option_is_rejected_before_any_request(folder, option):
    write_videos(folder, 1)
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ConfigurationError, match=next(iter(option))):
            await run(livepeer, folder, **option)
        assert sandbox.requests == []


async def test_failed_row_has_its_asset_id(folder, tmp_path):
    write_videos(folder, 1)
    failing = Fault(On(times=1), FailProcessing("file format unsupported, must be a valid MP4"))
    async with sandbox_and_client(failing) as (sandbox, _):
        for _ in range(2):
            async with client_for(sandbox, tmp_path / "journal") as livepeer:
                (ended,) = events_of(RowEnded, await run(livepeer, folder))
            assert isinstance(ended.error, AssetFailed)
            assert [ended.asset_id] == [asset.id for asset in sandbox.assets]


async def test_stop_finishes_chunks_and_a_rerun_resumes(folder, tmp_path):
    videos = write_videos(folder, 4, 6 * PART)
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
            assert set(states_of(events).values()) == {"unfinished"}
            assert len(states_of(events)) == 2
        before = sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)
        statuses = {r.status for r in sandbox.requests if "/upload/tus" in r.path}
        assert statuses <= {200, 201, 204}
        async with client_for(sandbox, tmp_path / "journal") as livepeer:
            again = await run(livepeer, folder)
        assert states_of(again) == dict.fromkeys(videos, "ready")
        sent = sum(r.received for r in sandbox.requests if "/upload/tus" in r.path)
        assert sent == sum(map(len, videos.values()))
        assert before > 0


async def test_leaving_the_block_cancels_uploads(folder):
    write_videos(folder, 4, 6 * PART)
    async with sandbox_and_client(**SMALL_S3) as (sandbox, livepeer):
        livepeer.throttle.max_rate = PART * 4
        with anyio.fail_after(TIMEOUT):
            async with ingest(livepeer, folder) as running:
                async for event in running:
                    if isinstance(event, RowStarted):
                        break
        await until(lambda: not [r for r in sandbox.requests if not r.is_over])
