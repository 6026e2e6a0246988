"""Uploads that are complete, terminated or too long, or whose asset is deleted."""

import asyncio

import pytest

from livepeer_async.sandbox import state
from sandbox.client import (
    BOTH_STORAGES,
    NOT_FOUND,
    STORAGES,
    TUS,
    assert_text_response,
    open_sandbox,
)
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

NO_SUCH_UPLOAD = (
    "Something went wrong with that request\n"
    "The specified upload does not exist. The upload ID may be invalid, "
    "or the upload may have been aborted or completed.\n"
)
NO_SUCH_KEY = "Something went wrong with that request\nThe specified key does not exist.\n"


async def test_completed_upload_on_s3_refuses_changes():
    async with open_sandbox(**STORAGES["s3"]) as client:
        ticket, location = await client.begin(10)
        await client.patch(location, 0, b"helloworld")
        await client.wait(ticket, "ready")
        assert await client.offset(location) == 10
        for body in (b"", b"hello"):
            assert_text_response(await client.patch(location, 10, body), 500, NO_SUCH_UPLOAD)
        assert_text_response(
            await client.patch(location, 0, b"helloworld"), 409, "Upload-Offset conflict\n"
        )
        deleted = await client.http.delete(location, headers=TUS)
        assert_text_response(deleted, 500, NO_SUCH_UPLOAD)
        assert await client.offset(location) == 10
        assert client.sandbox.stored(ticket.playback_id).read_bytes() == b"helloworld"


async def test_completed_upload_on_file_accepts_changes():
    async with open_sandbox() as client:
        ticket, location = await client.begin(10)
        await client.patch(location, 0, b"helloworld")
        asset = await client.wait(ticket, "ready")
        assert (await client.patch(location, 10, b"")).status_code == 204
        more = await client.patch(location, 10, b"again")
        assert (more.status_code, more.headers["upload-offset"]) == (204, "15")
        assert await client.offset(location) == 15
        assert (await client.http.delete(location, headers=TUS)).status_code == 204
        assert (await client.head(location)).status_code == 404
        assert client.sandbox.stored(ticket.playback_id) is None
        assert (await client.http.get(asset["downloadUrl"])).status_code == 404


@BOTH_STORAGES
async def test_ready_asset_accepts_no_second_upload(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.upload(b"helloworld")
        await client.wait(ticket, "ready")
        expected = {"errors": ["asset has already been uploaded"]}
        post = await client.post_creation(ticket, **{"Upload-Length": "1"})
        assert (post.status_code, post.json()) == (422, expected)
        put = await client.http.put(ticket.direct_url, content=b"x")
        assert (put.status_code, put.json()) == (422, expected)


@pytest.mark.parametrize(("storage", "offset"), [("file", 10), ("s3", 5)])
async def test_bytes_beyond_length_do_not_finish_upload(storage, offset):
    """The PATCH returns 204, but only an empty PATCH on S3 finishes the upload."""
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket, location = await client.begin(5)
        response = await client.patch(location, 0, b"helloworld")
        assert (response.status_code, response.headers["upload-offset"]) == (204, "10")
        assert await client.offset(location) == offset
        await asyncio.sleep(0.03)
        assert await client.phase(ticket) == "uploading"
        empty = await client.patch(location, 5, b"")
        if storage == "file":
            assert empty.status_code == 409
        else:
            assert (empty.status_code, empty.headers["upload-offset"]) == (204, "5")
            assert (await client.wait(ticket))["size"] == 5


@pytest.mark.parametrize(
    ("storage", "status", "text"), [("file", 404, NOT_FOUND), ("s3", 500, NO_SUCH_KEY)]
)
async def test_terminated_upload_is_gone_until_recreated(storage, status, text):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket, location = await client.begin(10)
        assert_text_response(await client.http.delete(location), 412, "Tus-Resumable Required\n")
        assert (await client.http.delete(location, headers=TUS)).status_code == 204
        assert (await client.head(location)).status_code == 404
        assert_text_response(await client.patch(location, 0, b"hello"), 404, NOT_FOUND)
        assert_text_response(await client.http.delete(location, headers=TUS), status, text)
        assert await client.phase(ticket) == "uploading"
        assert await client.create(ticket, 10) == location
        assert (await client.patch(location, 0, b"helloworld")).status_code == 204
        assert (await client.wait(ticket))["size"] == 10


async def test_upload_of_deleted_asset_is_never_processed():
    async with open_sandbox() as client:
        ticket, location = await client.begin(5)
        assert (await client.api("DELETE", f"/asset/{ticket.asset_id}")).status_code == 204
        assert await client.offset(location) == 0
        assert (await client.patch(location, 0, b"hello")).status_code == 204
        post = await client.post_creation(ticket, **{"Upload-Length": "5"})
        assert (post.status_code, post.json()) == (404, {"errors": ["asset not found"]})
        task = await client.api("GET", f"/task/{ticket.task_id}")
        assert task.json()["status"]["phase"] == "pending"


async def test_phase_changes_shortly_after_last_response():
    assert 0.010 <= state.QUEUE_DELAY_SECONDS <= 0.015
    clock = VirtualClock()
    async with open_sandbox(waiting_seconds=5, clock=clock) as client:
        ticket, location = await client.begin(5)
        await client.patch(location, 0, b"hello")
        assert await client.phase(ticket) == "uploading"
        clock.advance(state.QUEUE_DELAY_SECONDS)
        assert await client.phase(ticket) == "waiting"
