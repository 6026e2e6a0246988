"""The direct upload."""

import asyncio

import httpx
import pytest

from sandbox.client import RawConnection, open_sandbox
from support.clock import until

pytestmark = pytest.mark.anyio

VIDEO = {"Content-Type": "video/mp4"}


async def test_put_stores_source_and_responds_like_bucket():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        response = await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["etag"] == '"5d41402abc4b2a76b9719d911017c592"'
        assert {"server", "last-modified", "x-amzn-requestid"} <= set(response.headers)
        assert client.sandbox.stored(ticket.playback_id).read_bytes() == b"hello"
        asset = await client.wait(ticket, "ready")
        assert asset["size"] == 5


@pytest.mark.parametrize(
    ("query", "reason"),
    [("", "jwt must be provided"), ("?token=abc", "jwt malformed")],
)
async def test_put_needs_token(query, reason):
    async with open_sandbox() as client:
        url = f"{client.sandbox.base_url}/asset/upload/direct{query}"
        response = await client.http.put(url, content=b"hello")
        sentence = f"Invalid signed upload URL: JsonWebTokenError: {reason}"
        assert (response.status_code, response.json()) == (403, {"errors": [sentence]})


async def test_second_put_is_refused():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        await client.wait(ticket, "ready")
        response = await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert (response.status_code, response.json()) == (
            422,
            {"errors": ["asset has already been uploaded"]},
        )


async def test_put_with_json_content_type_hangs():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        with pytest.raises(httpx.ReadTimeout):
            await client.http.put(
                ticket.direct_url,
                content=b"{}",
                headers={"Content-Type": "application/json"},
                timeout=0.1,
            )
        assert await client.phase(ticket) == "uploading"


@pytest.mark.parametrize(
    ("content", "status"), [(b"not JSON", 400), (b'"' + bytes(200_000) + b'"', 413)]
)
async def test_json_parser_refuses_video(content, status):
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        headers = {"Content-Type": "application/json"}
        response = await client.http.put(ticket.direct_url, content=content, headers=headers)
        assert response.status_code == status
        response = await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert response.status_code == 200


async def test_put_after_twelve_hours_gets_no_status():
    now = [1_800_000_000.0]
    async with open_sandbox(clock=lambda: now[0]) as client:
        ticket = await client.request_upload()
        now[0] += 12 * 3600 + 1
        with pytest.raises(httpx.TransportError):
            await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert await client.phase(ticket) == "uploading"


async def test_second_writer_of_a_ticket_is_reported():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        connection = await RawConnection.to(ticket.direct_url)
        headers = [*VIDEO.items(), ("Content-Length", "9000")]
        await connection.send_head("PUT", ticket.direct_url, headers)
        await connection.send(bytes(4000))
        await until(lambda: client.sandbox.requests[-1].received == 4000)
        response = await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert response.status_code == 200
        rules = [violation.rule for violation in client.sandbox.violations]
        assert rules == ["concurrent PUT requests on one ticket"]
        await connection.reset()


async def test_interrupted_put_stores_nothing_and_can_be_repeated():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        connection = await RawConnection.to(ticket.direct_url)
        headers = [*VIDEO.items(), ("Content-Length", "9000")]
        await connection.send_head("PUT", ticket.direct_url, headers)
        await connection.send(bytes(4000))
        await until(lambda: client.sandbox.requests[-1].received == 4000)
        await connection.reset()
        await until(lambda: client.sandbox.requests[-1].is_over)
        assert client.sandbox.stored(ticket.playback_id) is None
        assert await client.phase(ticket) == "uploading"
        response = await client.http.put(ticket.direct_url, content=b"hello", headers=VIDEO)
        assert response.status_code == 200
        assert (await client.wait(ticket))["size"] == 5


async def test_chunked_put_is_accepted():
    async def blocks():
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"abc"

    async with open_sandbox() as client:
        ticket = await client.request_upload()
        response = await client.http.put(ticket.direct_url, content=blocks(), headers=VIDEO)
        assert response.status_code == 200
        assert (await client.wait(ticket))["size"] == 9


async def test_empty_put_fails_processing():
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        response = await client.http.put(ticket.direct_url, content=b"", headers=VIDEO)
        assert response.status_code == 200
        await client.wait(ticket, "failed")
