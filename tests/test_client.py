"""The public methods of `AsyncLivepeer` against the sandbox."""

import re

import httpx
import pytest
from msgspec.structs import replace

import livepeer_async
from livepeer_async import AssetPatch, AsyncLivepeer, NewAsset, Timeouts, UploadJob, errors, models
from livepeer_async.sandbox import Answer, FailProcessing, Fault, LoseAnswer, On, Sandbox
from support.clock import until
from support.constants import FAST_RETRY
from support.libraries import LIBRARIES
from support.sandbox import PART, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio


async def test_docstring_example_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", livepeer_async.__doc__, re.DOTALL)
    (tmp_path / "talk.mp4").write_bytes(make_bytes(1000))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block.removesuffix("asyncio.run(main())\n"), "docstring", "exec"), names)
    async with Sandbox() as sandbox:
        monkeypatch.setenv("LIVEPEER_API_KEY", sandbox.api_key)
        monkeypatch.setenv("LIVEPEER_BASE_URL", sandbox.base_url)
        await names["main"]()
        asset = sandbox.assets[0]
        assert capsys.readouterr().out == f"{asset.playback_id} ready\n"
        assert asset.name == "talk.mp4"
        assert is_stored(sandbox, asset, make_bytes(1000))


@pytest.mark.parametrize("library", LIBRARIES)
async def test_given_http_client_is_used_and_stays_open(library):
    async with library.AsyncClient() as http_client:
        async with sandbox_and_client(client={"http_client": http_client}) as (sandbox, livepeer):
            asset = await livepeer.upload(make_bytes(5 * PART))
            assert is_stored(sandbox, asset, make_bytes(5 * PART))
        assert not http_client.is_closed


async def test_ticket_has_a_tus_endpoint():
    async with sandbox_and_client() as (_, livepeer):
        ticket = await livepeer.assets.request_upload(NewAsset("talk", creator_id="me"))
        assert "token=" in ticket.tus_endpoint
        assert "token=" not in repr(ticket)
        assert ticket.asset.status.phase == "uploading"
        assert ticket.asset.creator_id.value == "me"
        assert (await livepeer.tasks.get(ticket.task.id)).output_asset_id == ticket.asset.id


async def test_asset_is_read_renamed_and_deleted():
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(make_bytes(1000), "first")
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


async def test_lists_read_all_pages_without_duplicates():
    async with sandbox_and_client() as (_, livepeer):
        created = [(await livepeer.assets.request_upload(f"a{n}")).asset.id for n in range(7)]
        seen = []
        async for asset in livepeer.assets.list(page_size=2, order="createdAt-true"):
            seen.append(asset.id)
            if len(seen) == 2:
                await livepeer.assets.request_upload("late")
        assert set(created) <= set(seen)
        assert len(seen) == len(set(seen))
        tasks = [task.id async for task in livepeer.tasks.list(page_size=3)]
        assert len(tasks) == 8
        ready = [asset async for asset in livepeer.assets.list(phase="ready")]
        assert ready == []
        named = [a.name async for a in livepeer.assets.list(filters={"name": "A3"})]
        assert named == ["a3"]


async def test_upload_from_url_is_fetched_by_the_server():
    async with sandbox_and_client() as (sandbox, livepeer):
        first = await livepeer.upload(make_bytes(1000), "first")
        ticket = await livepeer.assets.upload_from_url(
            first.download_url, NewAsset("copy", static_mp4=True)
        )
        copy = await livepeer.assets.wait(ticket.asset.id, timeout=30)
        assert is_stored(sandbox, copy, make_bytes(1000))
        wanted = models.NewAssetFromUrl("again", url=first.download_url)
        ticket = await livepeer.assets.upload_from_url(first.download_url, wanted)
        assert (await livepeer.assets.wait(ticket.asset.id, timeout=30)).name == "again"


async def test_failed_asset_is_retried_without_an_upload():
    message = "internal error processing file"
    fault = Fault(On(asset="x", nth=1), FailProcessing(message))
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        with pytest.raises(errors.AssetFailed) as caught:
            await livepeer.upload(make_bytes(100), "x")
        assert caught.value.is_retryable
        await livepeer.assets.retry(caught.value.asset_id)
        await until(lambda: sandbox.assets[0].phase == "ready", seconds=30)
        with pytest.raises(errors.BadRequest, match="not failed"):
            await livepeer.assets.retry(caught.value.asset_id)


async def test_wait_many_yields_results_in_completion_order():
    bad = Fault(On(asset="bad"), FailProcessing("no"))
    async with sandbox_and_client(bad, waiting_seconds=0.3) as (_, livepeer):
        ids = [
            (await livepeer.upload(make_bytes(100), name, wait=False)).id for name in ("a", "bad")
        ]
        seen = {}
        waiting = livepeer.assets.wait_many(
            ids, timeout=60, on_change=lambda asset: seen.update({asset.id: asset.phase})
        )
        results = {result.asset_id: result async for result in waiting}
        assert seen == dict(zip(ids, ["ready", "failed"], strict=True))
        assert results[ids[0]].asset.phase == "ready"
        assert isinstance(results[ids[1]].error, errors.AssetFailed)


async def test_failed_uploads_do_not_stop_the_others(tmp_path):
    async with sandbox_and_client(Fault(On(asset="bad"), FailProcessing("no"))) as (
        sandbox,
        livepeer,
    ):
        jobs = [
            make_bytes(2 * PART),
            UploadJob(make_bytes(10), "bad"),
            tmp_path / "missing.mp4",
            UploadJob(make_bytes(20, seed=3), NewAsset("named")),
        ]
        updates = []
        async with livepeer.upload_many(
            jobs, concurrency=2, on_progress=lambda source, progress: updates.append(progress)
        ) as results:
            found = [result async for result in results]
        kinds = sorted(type(result.error).__name__ for result in found)
        assert kinds == ["AssetFailed", "NoneType", "NoneType", "SourceNotReadable"]
        for result in found:
            if result.error is None:
                assert is_stored(sandbox, result.asset, result.source)
                assert result.attempts == 1
        assert {progress.length for progress in updates} == {2 * PART, 10, 20}


async def test_request_sends_to_any_endpoint():
    async with sandbox_and_client() as (_, livepeer):
        response = await livepeer.request("GET", "/asset", params={"limit": 1})
        assert (response.status, response.body) == (200, b"[]")
        response = await livepeer.request(
            "POST", "/asset/request-upload", json={"name": "x"}, headers={"X-Mine": "1"}
        )
        assert response.status == 200
        assert (await livepeer.request("GET", "/nothing/here")).status == 404


async def test_request_accepts_a_url_of_the_api():
    async with sandbox_and_client() as (sandbox, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        response = await livepeer.request("GET", f"{sandbox.base_url}/asset/{ticket.asset.id}")
        assert response.json()["id"] == ticket.asset.id
        assert ticket.asset.id in response.text
        assert (await livepeer.request("PUT", ticket.url)).status < 500
        with pytest.raises(errors.ConfigurationError, match="would send the API key"):
            await livepeer.request("PUT", "https://other.example/upload?token=s3cret")


async def test_name_with_half_of_a_character_does_not_hide_the_list():
    assets = (
        b'[{"id": "a", "name": "talk \\ud83d", "status": {"phase": "ready"}, "playbackId": "p"},'
        b'{"id": "b", "name": "intro", "status": {"phase": "ready"}, "playbackId": "q"}]'
    )
    fault = Fault(On(method="GET", path="/api/asset", times=1), Answer(200, assets))
    async with sandbox_and_client(fault) as (_, livepeer):
        names = [asset.name async for asset in livepeer.assets.list()]
    assert names == ["talk \ufffd", "intro"]


async def test_cookies_of_the_upload_host_are_not_sent_to_the_api():
    heads = []

    async def record(request):
        heads.append((request.url.path, request.headers.get("cookie")))

    busy = Answer(503, b"", headers={"Set-Cookie": "lb=s3cret-server; Path=/"})
    fault = Fault(On(method="PATCH", nth=1), busy)
    hooks = {"request": [record]}
    async with (
        httpx.AsyncClient(event_hooks=hooks) as http_client,
        sandbox_and_client(fault, client={"http_client": http_client}) as (_, livepeer),
    ):
        await livepeer.upload(make_bytes(4 * PART), "first")
        first, heads[:] = list(heads), []
        await livepeer.upload(make_bytes(4 * PART), "second")
    with_cookie = [path for path, cookie in first if cookie]
    assert with_cookie
    assert all("/upload/tus/" in path for path in with_cookie)
    assert {cookie for _, cookie in heads} == {None}


async def test_full_task_queue_is_retried():
    full = Answer(429, b'{"errors":["user x has reached the maximum number of pending tasks"]}')
    async with sandbox_and_client(Fault(On(path="request-upload", times=2), full)) as (
        sandbox,
        livepeer,
    ):
        asset = await livepeer.upload(make_bytes(100))
        assert is_stored(sandbox, asset, make_bytes(100))
    few_attempts = {"retry": replace(FAST_RETRY, attempts=1)}
    fault = Fault(On(path="request-upload"), full)
    async with sandbox_and_client(fault, client=few_attempts) as (_, livepeer):
        with pytest.raises(errors.TooManyRequests, match="pending tasks"):
            await livepeer.upload(make_bytes(100))


async def test_lost_response_to_request_upload_is_reconciled(caplog):
    fault = Fault(On(path="request-upload", times=1), LoseAnswer())
    async with sandbox_and_client(fault) as (sandbox, livepeer):
        asset = await livepeer.upload(make_bytes(100))
        first, second = sandbox.assets
        assert (first.phase, second.phase, second.id) == ("uploading", "ready", asset.id)
        assert f"it may have created {first.id}" in caplog.text


async def test_ambiguous_request_lists_the_created_assets():
    async with sandbox_and_client(Fault(On(path="request-upload"), LoseAnswer())) as (
        sandbox,
        livepeer,
    ):
        with pytest.raises(errors.AmbiguousRequest, match="may have taken effect") as caught:
            await livepeer.upload(make_bytes(100))
        assert len(sandbox.assets) == 1 + FAST_RETRY.restarts
        assert set(caught.value.asset_ids) == {asset.id for asset in sandbox.assets}


def test_errors_and_models_are_exported_by_the_package():
    for module in (errors, models):
        public = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if isinstance(value, type)
        ]
        for name in public:
            assert getattr(livepeer_async, name) is getattr(module, name)
    assert set(livepeer_async.__all__) <= set(dir(livepeer_async))


def test_budget_is_a_deprecated_name_of_throttle():
    livepeer = AsyncLivepeer("key")
    with pytest.warns(DeprecationWarning, match=r"livepeer\.throttle"):
        assert livepeer.budget is livepeer.throttle


@pytest.mark.parametrize("options", [{"verify": "md5"}, {"on_mismatch": "x"}, {"ready_timeout": 0}])
@pytest.mark.parametrize("method", ["begin_upload", "upload_many"])
def test_invalid_option_raises_before_the_upload(method, options):
    with pytest.raises(errors.ConfigurationError):
        getattr(AsyncLivepeer("key"), method)([], **options)


def test_repr_of_the_client_has_no_secrets():
    livepeer = AsyncLivepeer("secret-key-1", base_url="https://user:pass@studio.example/api?x=1")
    assert repr(livepeer) == "<AsyncLivepeer Account(base_url='https://studio.example/api')>"


async def test_timeout_may_be_a_number():
    async with Sandbox() as sandbox:
        for timeout in (None, 5, Timeouts(stall=5)):
            async with AsyncLivepeer(
                sandbox.api_key, base_url=sandbox.base_url, timeout=timeout, retry=FAST_RETRY
            ) as livepeer:
                assert [asset async for asset in livepeer.assets.list()] == []


async def test_closed_client_raises():
    async with sandbox_and_client() as (_, livepeer):
        await livepeer.aclose()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await livepeer.assets.get("a")


async def test_unreadable_source_does_not_stop_the_others():
    released = memoryview(b"bytes")
    released.release()
    sources = [released, make_bytes(100)]
    async with sandbox_and_client() as (_, livepeer), livepeer.upload_many(sources) as results:
        found = {type(result.error) async for result in results}
    assert found == {errors.SourceNotReadable, type(None)}


async def test_retry_is_reported_and_logged_without_secrets(caplog):
    updates = []
    fault = Fault(On(method="PATCH", nth=2), Answer(503, b"token=eyJabc.def busy"))
    async with sandbox_and_client(fault) as (_, livepeer):
        await livepeer.upload(make_bytes(6 * PART), "x", on_progress=updates.append)
    (retry_event,) = {progress.retry for progress in updates if progress.retry}
    assert retry_event.attempt == 1
    assert "503 from PATCH" in str(retry_event)
    assert updates[-1].retry is None
    assert "503 from PATCH" in caplog.text
    assert "eyJ" not in caplog.text + str(retry_event)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
