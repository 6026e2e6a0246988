"""Each call of the public surface against the sandbox, as a user writes it."""

import pytest
from msgspec.structs import replace

import livepeer_async
from libraries import LIBRARIES
from livepeer_async import AssetPatch, AsyncLivepeer, NewAsset, Timeouts, UploadJob, errors, models
from livepeer_async.sandbox import Answer, FailProcessing, Fault, LoseAnswer, On, Sandbox
from studio import PART, QUICK, content, is_stored, studio, until

pytestmark = pytest.mark.anyio


async def test_the_ten_lines_of_the_readme_work(tmp_path, monkeypatch):
    path = tmp_path / "talk.mp4"
    path.write_bytes(content(1000))
    async with Sandbox() as sandbox:
        monkeypatch.setenv("LIVEPEER_API_KEY", sandbox.api_key)
        monkeypatch.setenv("LIVEPEER_BASE_URL", sandbox.base_url)
        async with AsyncLivepeer() as livepeer:
            asset = await livepeer.upload(path)
        assert asset.status.phase == "ready"
        assert asset.name == "talk.mp4"
        assert is_stored(sandbox, asset, content(1000))


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_client_that_was_handed_in_is_used_and_left_open(library):
    async with library.AsyncClient() as http_client:
        async with studio(client={"http_client": http_client}) as (sandbox, livepeer):
            asset = await livepeer.upload(content(5 * PART))
            assert is_stored(sandbox, asset, content(5 * PART))
        assert not http_client.is_closed


async def test_a_ticket_is_for_a_browsers_tus_client():
    async with studio() as (_, livepeer):
        ticket = await livepeer.assets.request_upload(NewAsset("talk", creator_id="me"))
        assert "token=" in ticket.tus_endpoint
        assert "token=" not in repr(ticket)
        assert ticket.asset.status.phase == "uploading"
        assert ticket.asset.creator_id.value == "me"
        assert (await livepeer.tasks.get(ticket.task.id)).output_asset_id == ticket.asset.id


async def test_an_asset_lives_as_the_api_says():
    async with studio() as (_, livepeer):
        asset = await livepeer.upload(content(1000), "first")
        got = await livepeer.assets.get(asset.id, details=True)
        assert (got.size, got.phase) == (1000, "ready")
        renamed = await livepeer.assets.update(asset.id, AssetPatch(name="second"))
        assert renamed.name == "second"
        info = await livepeer.playback.get(asset.playback_id)
        assert info.type == "vod"
        await livepeer.assets.delete(asset.id)
        await livepeer.assets.delete(asset.id)
        with pytest.raises(errors.NotFound):
            await livepeer.assets.get(asset.id)


async def test_lists_go_through_all_pages_and_give_no_row_twice():
    async with studio() as (_, livepeer):
        made = [(await livepeer.assets.request_upload(f"a{n}")).asset.id for n in range(7)]
        seen = []
        async for asset in livepeer.assets.list(page_size=2, order="createdAt-true"):
            seen.append(asset.id)
            if len(seen) == 2:
                await livepeer.assets.request_upload("late")
        assert set(made) <= set(seen)
        assert len(seen) == len(set(seen))
        tasks = [task.id async for task in livepeer.tasks.list(page_size=3)]
        assert len(tasks) == 8
        ready = [asset async for asset in livepeer.assets.list(phase="ready")]
        assert ready == []
        named = [a.name async for a in livepeer.assets.list(filters={"name": "A3"})]
        assert named == ["a3"]


async def test_a_url_is_fetched_by_the_server():
    async with studio() as (sandbox, livepeer):
        first = await livepeer.upload(content(1000), "first")
        ticket = await livepeer.assets.upload_from_url(
            first.download_url, NewAsset("copy", static_mp4=True)
        )
        copy = await livepeer.assets.wait(ticket.asset.id, timeout=30)
        assert is_stored(sandbox, copy, content(1000))
        wanted = models.NewAssetFromUrl("again", url=first.download_url)
        ticket = await livepeer.assets.upload_from_url("ignored", wanted)
        assert (await livepeer.assets.wait(ticket.asset.id, timeout=30)).name == "again"


async def test_a_failed_asset_is_retried_without_a_second_upload():
    message = "internal error processing file"
    fault = Fault(On(asset="x", nth=1), FailProcessing(message))
    async with studio(fault) as (sandbox, livepeer):
        with pytest.raises(errors.AssetFailed) as caught:
            await livepeer.upload(content(100), "x")
        assert caught.value.is_retryable
        await livepeer.assets.retry(caught.value.asset_id)
        await until(lambda: sandbox.assets[0].phase == "ready", seconds=30)
        with pytest.raises(errors.BadRequest, match="not failed"):
            await livepeer.assets.retry(caught.value.asset_id)


async def test_many_are_waited_for_and_each_comes_as_it_ends():
    bad = Fault(On(asset="bad"), FailProcessing("no"))
    async with studio(bad, waiting_seconds=0.3) as (_, livepeer):
        ids = [(await livepeer.upload(content(100), name, wait=False)).id for name in ("a", "bad")]
        seen = {}
        waiting = livepeer.assets.wait_many(
            ids, timeout=60, on_change=lambda asset: seen.update({asset.id: asset.phase})
        )
        results = {result.asset_id: result async for result in waiting}
        assert seen == dict(zip(ids, ["ready", "failed"], strict=True))
        assert results[ids[0]].asset.phase == "ready"
        assert isinstance(results[ids[1]].error, errors.AssetFailed)


async def test_many_uploads_end_one_by_one_and_none_stops_another(tmp_path):
    async with studio(Fault(On(asset="bad"), FailProcessing("no"))) as (sandbox, livepeer):
        jobs = [
            content(2 * PART),
            UploadJob(content(10), "bad"),
            tmp_path / "missing.mp4",
            UploadJob(content(20, seed=3), NewAsset("named")),
        ]
        told = []
        async with livepeer.upload_many(
            jobs, concurrency=2, on_progress=lambda source, progress: told.append(progress)
        ) as results:
            found = [result async for result in results]
        kinds = sorted(type(result.error).__name__ for result in found)
        assert kinds == ["AssetFailed", "NoneType", "NoneType", "SourceNotReadable"]
        for result in found:
            if result.error is None:
                assert is_stored(sandbox, result.asset, result.source)
                assert result.attempts == 1
        assert {progress.length for progress in told} == {2 * PART, 10, 20}


async def test_any_other_endpoint_can_be_asked():
    async with studio() as (_, livepeer):
        response = await livepeer.request("GET", "/asset", params={"limit": 1})
        assert (response.status, response.body) == (200, b"[]")
        response = await livepeer.request(
            "POST", "/asset/request-upload", json={"name": "x"}, headers={"X-Mine": "1"}
        )
        assert response.status == 200
        assert (await livepeer.request("GET", "/nothing/here")).status == 404


async def test_a_full_queue_is_waited_for():
    full = Answer(429, b'{"errors":["user x has reached the maximum number of pending tasks"]}')
    async with studio(Fault(On(path="request-upload", times=2), full)) as (sandbox, livepeer):
        asset = await livepeer.upload(content(100))
        assert is_stored(sandbox, asset, content(100))
    impatient = {"retry": replace(QUICK, attempts=1)}
    fault = Fault(On(path="request-upload"), full)
    async with studio(fault, client=impatient) as (_, livepeer):
        with pytest.raises(errors.TooManyRequests, match="pending tasks"):
            await livepeer.upload(content(100))


async def test_a_lost_answer_to_a_request_for_an_upload_is_reconciled(caplog):
    fault = Fault(On(path="request-upload", times=1), LoseAnswer())
    async with studio(fault) as (sandbox, livepeer):
        asset = await livepeer.upload(content(100))
        left, used = sandbox.assets
        assert (left.phase, used.phase, used.id) == ("uploading", "ready", asset.id)
        assert f"it may have made {left.id}" in caplog.text


async def test_lost_answers_without_end_name_what_they_may_have_made():
    async with studio(Fault(On(path="request-upload"), LoseAnswer())) as (sandbox, livepeer):
        with pytest.raises(errors.AmbiguousRequest, match="may have been carried out") as caught:
            await livepeer.upload(content(100))
        assert len(sandbox.assets) == 1 + QUICK.restarts
        assert set(caught.value.asset_ids) == {asset.id for asset in sandbox.assets}


def test_every_error_and_every_struct_is_at_the_top():
    for module in (errors, models):
        public = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if isinstance(value, type)
        ]
        for name in public:
            assert getattr(livepeer_async, name) is getattr(module, name)
    assert set(livepeer_async.__all__) <= set(dir(livepeer_async))


def test_the_client_shows_no_key():
    livepeer = AsyncLivepeer("secret-key-1", base_url="https://user:pass@studio.example/api?x=1")
    assert repr(livepeer) == "<AsyncLivepeer Account(base_url='https://studio.example/api')>"


async def test_a_number_is_the_stall_time_out():
    async with Sandbox() as sandbox:
        for timeout in (None, 5, Timeouts(stall=5)):
            async with AsyncLivepeer(
                sandbox.api_key, base_url=sandbox.base_url, timeout=timeout, retry=QUICK
            ) as livepeer:
                assert [asset async for asset in livepeer.assets.list()] == []


async def test_a_closed_client_says_so():
    async with studio() as (_, livepeer):
        await livepeer.aclose()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await livepeer.assets.get("a")


async def test_a_source_of_many_that_cant_be_read_stops_no_other():
    released = memoryview(b"bytes")
    released.release()
    sources = [released, content(100)]
    async with studio() as (_, livepeer), livepeer.upload_many(sources) as results:
        found = {type(result.error) async for result in results}
    assert found == {errors.SourceNotReadable, type(None)}


async def test_a_setback_is_told_and_logged_without_secrets(caplog):
    told = []
    fault = Fault(On(method="PATCH", nth=2), Answer(503, b"token=eyJabc.def busy"))
    async with studio(fault) as (_, livepeer):
        await livepeer.upload(content(6 * PART), "x", on_progress=told.append)
    (retry_event,) = {progress.retry for progress in told if progress.retry}
    assert retry_event.attempt == 1
    assert "503 from PATCH" in str(retry_event)
    assert told[-1].retry is None
    assert "503 from PATCH" in caplog.text
    assert "eyJ" not in caplog.text + str(retry_event)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
