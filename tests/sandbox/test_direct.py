"""The direct upload: section 8."""

import asyncio

import httpx
import pytest

from sandbox.wire import RawConnection, open_sandbox
from support.clock import until

pytestmark = pytest.mark.anyio

VIDEO = {"Content-Type": "video/mp4"}


async def test_a_put_stores_the_source_and_answers_as_the_bucket_does():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert {"server", "last-modified", "x-amzn-requestid"} <= set(answer.headers)
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == b"hello"
        asset = await caller.wait(ticket, "ready")
        assert asset["size"] == 5


@pytest.mark.parametrize(
    ("query", "reason"),
    [("", "jwt must be provided"), ("?token=abc", "jwt malformed")],
)
async def test_a_put_needs_its_token(query, reason):
    async with open_sandbox() as caller:
        url = f"{caller.sandbox.base_url}/asset/upload/direct{query}"
        answer = await caller.http.put(url, content=b"hello")
        sentence = f"Invalid signed upload URL: JsonWebTokenError: {reason}"
        assert (answer.status_code, answer.json()) == (403, {"errors": [sentence]})


async def test_a_second_put_is_refused():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        await caller.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        await caller.wait(ticket, "ready")
        answer = await caller.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert (answer.status_code, answer.json()) == (
            422,
            {"errors": ["asset has already been uploaded"]},
        )


async def test_json_as_content_type_hangs():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        with pytest.raises(httpx.ReadTimeout):
            await caller.http.put(
                ticket.direct_url,
                content=b"{}",
                headers={"Content-Type": "application/json"},
                timeout=0.1,
            )
        assert await caller.phase(ticket) == "uploading"


async def test_a_broken_put_stores_nothing_and_can_be_repeated():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        connection = await RawConnection.to(ticket.direct_url)
        headers = [*VIDEO.items(), ("Content-Length", "9000")]
        await connection.send_head("PUT", ticket.direct_url, headers)
        await connection.send(bytes(4000))
        await until(lambda: caller.sandbox.requests[-1].received == 4000)
        await connection.reset()
        await until(lambda: caller.sandbox.requests[-1].is_over)
        assert caller.sandbox.stored(ticket.playback_id) is None
        assert await caller.phase(ticket) == "uploading"
        answer = await caller.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert answer.status_code == 200
        assert (await caller.wait(ticket))["size"] == 5


async def test_a_chunked_put_is_accepted():
    async def blocks():
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"abc"

    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.put(ticket.direct_url, content=blocks(), headers=VIDEO)
        assert answer.status_code == 200
        assert (await caller.wait(ticket))["size"] == 9


async def test_an_empty_put_cannot_be_processed():
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.put(ticket.direct_url, content=b"", headers=VIDEO)
        assert answer.status_code == 200
        await caller.wait(ticket, "failed")
