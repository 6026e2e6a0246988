"""API keys with restricted access: uploads need two requests, and everything else is optional."""

import logging

import anyio
import pytest

from livepeer_async import AmbiguousRequest, AssetFailed, Forbidden, NewAsset, UploadRefused
from livepeer_async.sandbox import Answer, FailProcessing, Fault, LoseAnswer, On
from livepeer_async.uploads.options import UploadJob, UploadOptions
from support.constants import MIB, TIMEOUT
from support.sandbox import client_for, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

NEEDED = ("POST /asset/request-upload", "GET /asset/:id")
VIDEO = make_bytes(200_000)


def restricted(sandbox, *more, journal=None, **options):
    return client_for(sandbox, journal, api_key=sandbox.add_key(*NEEDED, *more), **options)


def refused(sandbox):
    return [(it.method, it.path.partition("?")[0]) for it in sandbox.requests if it.status == 403]


async def test_upload_is_refused_nothing_that_it_needs():
    async with sandbox_and_client() as (sandbox, _), restricted(sandbox) as livepeer:
        await livepeer.ping()
        asset = await livepeer.upload(VIDEO, "a.mp4")
        assert is_stored(sandbox, asset, VIDEO)
        assert not refused(sandbox)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_many_assets_are_looked_at_singly(status):
    body = b'{"errors": ["credential has insufficent privileges"]}'
    refusal = Fault(On(method="GET", path="/api/asset$"), Answer(status, body))
    async with sandbox_and_client(refusal) as (_, livepeer):
        tickets = [await livepeer.upload(VIDEO, f"{n}.mp4", wait=False) for n in range(5)]
        with anyio.fail_after(TIMEOUT):
            results = [it async for it in livepeer.assets.wait_many(it.id for it in tickets)]
        assert [result.error for result in results] == [None] * 5
        assert refusal.fired == 1


async def test_invalid_key_ends_all_waits_after_two_requests():
    async with sandbox_and_client() as (sandbox, livepeer):
        ids = [(await livepeer.assets.request_upload("a")).asset.id for _ in range(5)]
        sandbox.clear_log()
        async with client_for(sandbox, api_key="wrong") as other:
            results = [it async for it in other.assets.wait_many(ids)]
        assert {type(result.error).__name__ for result in results} == {"NotAuthenticated"}
        assert len(sandbox.requests) == 2


@pytest.mark.parametrize("has_journal", [False, True])
async def test_lost_response_is_repeated_without_a_list(tmp_path, caplog, has_journal):
    journal = tmp_path / "journal" if has_journal else None
    lost = Fault(On(path="request-upload", nth=1), LoseAnswer())
    async with sandbox_and_client(lost) as (sandbox, _):
        async with restricted(sandbox, journal=journal) as livepeer:
            with caplog.at_level(logging.WARNING):
                asset = await livepeer.upload(VIDEO, "a.mp4", key="a" if has_journal else None)
        assert is_stored(sandbox, asset, VIDEO)
        assert len(sandbox.assets) == 2
    assert "the API key may not list assets" in caplog.text


async def test_lost_import_is_not_repeated_without_a_list(tmp_path):
    lost = Fault(On(path="upload/url", nth=1), LoseAnswer())
    async with (
        sandbox_and_client(lost) as (sandbox, _),
        restricted(sandbox, "POST /asset/upload/url", journal=tmp_path / "journal") as livepeer,
    ):
        for _ in range(2):
            result = await livepeer.uploads.import_url(
                f"{sandbox.origin}/x.mp4", NewAsset("x"), UploadOptions(), key="x"
            )
            assert isinstance(result.error, AmbiguousRequest)
        assert "may not list assets" in str(result.error)
        assert len(sandbox.assets) == 1


@pytest.mark.parametrize("more", [(), ("POST /asset/:id/retry",)])
async def test_failed_asset_is_reprocessed_if_the_key_may(more):
    failure = Fault(On(times=1), FailProcessing("internal error processing file"))
    async with sandbox_and_client(failure) as (sandbox, _), restricted(sandbox, *more) as livepeer:
        job = UploadJob(VIDEO, "a.mp4")
        result = await livepeer.uploads.run(job, UploadOptions(reprocess=1))
        if more:
            assert (result.error, result.asset.phase) == (None, "ready")
        else:
            assert isinstance(result.error, AssetFailed)
            assert isinstance(result.error.__cause__, Forbidden)


async def test_useless_asset_that_may_not_be_deleted_is_logged(caplog):
    refusal = Fault(On(method="POST", path="/upload/tus"), Answer(400))
    async with sandbox_and_client(refusal) as (sandbox, _), restricted(sandbox) as livepeer:
        with pytest.raises(UploadRefused):
            await livepeer.upload(VIDEO, "a.mp4")
    assert "couldn't be deleted: 403 from DELETE" in caplog.text


async def test_key_that_may_not_request_uploads_fails_before_any_byte():
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, api_key=sandbox.add_key("GET /asset/:id")) as livepeer:
            with pytest.raises(Forbidden, match="request-upload"):
                await livepeer.upload(VIDEO, "a.mp4")
            with pytest.raises(Forbidden):
                await livepeer.check_permission("/asset/request-upload")
        assert not sandbox.assets


async def test_key_that_may_not_look_at_assets_fails_before_any_byte():
    video = bytes(9 * MIB)
    async with sandbox_and_client() as (sandbox, livepeer):
        key = sandbox.add_key("POST /asset/request-upload")
        async with client_for(sandbox, api_key=key) as other:
            with pytest.raises(Forbidden, match="GET"):
                await other.upload(video, "a.mp4")
        assert not sandbox.assets
        sandbox.clear_log()
        for _ in range(2):
            await livepeer.upload(video, "a.mp4", wait=False)
        assert sum(it.status == 404 for it in sandbox.requests) == 1


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_failing_check_of_the_key_ends_no_upload(status):
    failure = Fault(On(method="GET", path="/api/asset/", nth=1), Answer(status))
    async with sandbox_and_client(failure) as (_, livepeer):
        await livepeer.upload(bytes(9 * MIB), "a.mp4", wait=False)
        assert failure.fired == 1


async def test_permission_is_checked_without_creating_anything():
    async with sandbox_and_client() as (sandbox, livepeer):
        await livepeer.check_permission("/asset/request-upload")
        await livepeer.check_permission("/asset/upload/url")
        assert not sandbox.assets
