"""Uploads that are complete, terminated, too long, or whose asset is gone: sections 3 to 5."""

import asyncio

import pytest

from livepeer_async.sandbox import state
from sandbox.dialect import BOTH, NOT_FOUND, STORAGES, check_text
from sandbox.wire import TUS, open_sandbox
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

NO_SUCH_UPLOAD = (
    "Something went wrong with that request\n"
    "The specified upload does not exist. The upload ID may be invalid, "
    "or the upload may have been aborted or completed.\n"
)
NO_SUCH_KEY = "Something went wrong with that request\nThe specified key does not exist.\n"


async def test_after_completion_on_s3():
    """Sections 3.53 to 3.62."""
    async with open_sandbox(**STORAGES["s3"]) as caller:
        ticket, location = await caller.begin(10)
        await caller.patch(location, 0, b"helloworld")
        await caller.wait(ticket, "ready")
        assert await caller.offset(location) == 10
        for body in (b"", b"hello"):
            check_text(await caller.patch(location, 10, body), 500, NO_SUCH_UPLOAD)
        check_text(await caller.patch(location, 0, b"helloworld"), 409, "Upload-Offset conflict\n")
        deleted = await caller.http.delete(location, headers=TUS)
        check_text(deleted, 500, NO_SUCH_UPLOAD)
        assert await caller.offset(location) == 10
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == b"helloworld"


async def test_after_completion_on_file():
    """Sections 4.52 to 4.61."""
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(10)
        await caller.patch(location, 0, b"helloworld")
        asset = await caller.wait(ticket, "ready")
        assert (await caller.patch(location, 10, b"")).status_code == 204
        more = await caller.patch(location, 10, b"again")
        assert (more.status_code, more.headers["upload-offset"]) == (204, "15")
        assert await caller.offset(location) == 15
        assert (await caller.http.delete(location, headers=TUS)).status_code == 204
        assert (await caller.head(location)).status_code == 404
        assert caller.sandbox.stored(ticket.playback_id) is None
        assert (await caller.http.get(asset["downloadUrl"])).status_code == 404


@BOTH
async def test_a_finished_asset_takes_no_other_upload(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.upload(b"helloworld")
        await caller.wait(ticket, "ready")
        expected = {"errors": ["asset has already been uploaded"]}
        post = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "1"})
        assert (post.status_code, post.json()) == (422, expected)
        put = await caller.http.put(ticket.direct_url, content=b"x")
        assert (put.status_code, put.json()) == (422, expected)


@pytest.mark.parametrize(("storage", "offset"), [("file", 10), ("s3", 5)])
async def test_more_bytes_than_the_length(storage, offset):
    """Sections 3.63 and 5.11: 204, unfinished; on S3 an empty PATCH wakes it up."""
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(5)
        answer = await caller.patch(location, 0, b"helloworld")
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")
        assert await caller.offset(location) == offset
        await asyncio.sleep(0.03)
        assert await caller.phase(ticket) == "uploading"
        empty = await caller.patch(location, 5, b"")
        if storage == "file":
            assert empty.status_code == 409
        else:
            assert (empty.status_code, empty.headers["upload-offset"]) == (204, "5")
            assert (await caller.wait(ticket))["size"] == 5


@pytest.mark.parametrize(
    ("storage", "status", "text"), [("file", 404, NOT_FOUND), ("s3", 500, NO_SUCH_KEY)]
)
async def test_a_terminated_upload(storage, status, text):
    """Sections 3.65 to 3.71."""
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(10)
        check_text(await caller.http.delete(location), 412, "Tus-Resumable Required\n")
        assert (await caller.http.delete(location, headers=TUS)).status_code == 204
        assert (await caller.head(location)).status_code == 404
        check_text(await caller.patch(location, 0, b"hello"), 404, NOT_FOUND)
        check_text(await caller.http.delete(location, headers=TUS), status, text)
        assert await caller.phase(ticket) == "uploading"
        assert await caller.create(ticket, 10) == location
        assert (await caller.patch(location, 0, b"helloworld")).status_code == 204
        assert (await caller.wait(ticket))["size"] == 10


async def test_an_upload_of_a_deleted_asset_goes_on_and_ends_nowhere():
    """Section 5.10."""
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(5)
        assert (await caller.api("DELETE", f"/asset/{ticket.asset_id}")).status_code == 204
        assert await caller.offset(location) == 0
        assert (await caller.patch(location, 0, b"hello")).status_code == 204
        post = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "5"})
        assert (post.status_code, post.json()) == (404, {"errors": ["asset not found"]})
        task = await caller.api("GET", f"/task/{ticket.task_id}")
        assert task.json()["status"]["phase"] == "pending"


async def test_the_asset_is_uploading_for_a_moment_after_the_last_answer():
    """Section 5.9."""
    assert 0.010 <= state.FINISH_SECONDS <= 0.015
    clock = VirtualClock()
    async with open_sandbox(waiting_seconds=5, clock=clock) as caller:
        ticket, location = await caller.begin(5)
        await caller.patch(location, 0, b"hello")
        assert await caller.phase(ticket) == "uploading"
        clock.advance(state.FINISH_SECONDS)
        assert await caller.phase(ticket) == "waiting"
