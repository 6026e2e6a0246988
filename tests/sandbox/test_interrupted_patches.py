"""Connections that break inside a PATCH, and PATCH requests that overlap."""

import random

import pytest

from sandbox.client import PART, SMALL_PARTS, TUS, RawConnection, open_sandbox
from support.clock import VirtualClock, until

pytestmark = pytest.mark.anyio

LENGTH = 20 * PART // 8
SOURCE = random.Random(5).randbytes(LENGTH)
S3 = {**SMALL_PARTS, "race": 0.0, "visibility_seconds": 0.03}

# Eighths of a part sent before the interruption, and the offset of S3 afterwards in parts.
INTERRUPTIONS = [(0.5, 0), (6, 0), (8, 0), (12, 1), (16.5, 2)]


async def interrupt_patch(client, location, sent, how):
    connection = await RawConnection.to(location)
    await connection.send_patch(location, 0, LENGTH, SOURCE[:sent])
    await until(lambda: client.sandbox.requests[-1].received == sent)
    await (connection.reset() if how == "rst" else connection.close())
    await until(lambda: client.sandbox.requests[-1].is_over)
    assert client.sandbox.requests[-1].status is None


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize(("eighths", "parts"), INTERRUPTIONS)
async def test_s3_keeps_closed_parts_and_resumes(eighths, parts, how):
    async with open_sandbox(**S3) as client:
        ticket, location = await client.begin(LENGTH)
        await interrupt_patch(client, location, int(eighths * PART / 8), how)
        offset = parts * PART
        await until(lambda: is_at(client, location, offset))
        response = await client.patch(location, offset, SOURCE[offset:])
        assert response.status_code == 204
        assert client.sandbox.stored(ticket.playback_id).read_bytes() == SOURCE
        assert (await client.wait(ticket))["size"] == LENGTH
        assert client.sandbox.violations == []


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_file_keeps_each_byte_and_resumes(how):
    async with open_sandbox() as client:
        ticket, location = await client.begin(LENGTH)
        await interrupt_patch(client, location, 100_001, how)
        assert await client.offset(location) == 100_001
        await client.patch(location, 100_001, SOURCE[100_001:])
        assert client.sandbox.stored(ticket.playback_id).read_bytes() == SOURCE
        await client.wait(ticket, "ready")


async def test_last_closed_part_shows_late():
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **S3) as client:
        _, location = await client.begin(LENGTH)
        await interrupt_patch(client, location, 2 * PART + 1, "rst")
        assert await client.offset(location) == PART
        clock.advance(1)
        assert await client.offset(location) == 2 * PART


async def is_at(client, location, offset):
    return await client.offset(location) == offset


async def test_part_resent_too_soon_is_stored_twice():
    """HEAD reports the length, and the asset stays `uploading`."""
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **S3) as client:
        ticket, location = await client.begin(2 * PART)
        await interrupt_patch(client, location, PART + 1, "rst")
        assert (await client.patch(location, 0, SOURCE[:PART])).status_code == 204
        clock.advance(1)
        assert await client.offset(location) == 2 * PART
        assert await client.phase(ticket) == "uploading"
        assert client.sandbox.stored(ticket.playback_id) is None


async def test_head_during_patch_is_violation():
    async with open_sandbox() as client:
        _, location = await client.begin(LENGTH)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, LENGTH, SOURCE[:1000])
        await until(lambda: client.sandbox.requests[-1].received == 1000)
        assert await client.offset(location) == 1000
        assert [found.rule for found in client.sandbox.violations] == [
            "HEAD while a PATCH is running"
        ]
        await connection.close()


@pytest.mark.parametrize(("options", "status"), [({}, 409), (S3, 204)])
async def test_concurrent_patches_are_not_locked(options, status):
    """S3 accepts two PATCHes while no part is visible; only the offset check prevents it."""
    async with open_sandbox(**options) as client:
        _, location = await client.begin(LENGTH)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, LENGTH, SOURCE[:1000])
        await until(lambda: client.sandbox.requests[-1].received == 1000)
        assert (await client.patch(location, 0, SOURCE)).status_code == status
        rules = [found.rule for found in client.sandbox.violations]
        expected = ["concurrent PATCH requests on one upload"] if status == 204 else []
        assert rules == expected
        await connection.close()


async def test_patch_while_body_is_stored_is_violation():
    async with open_sandbox(**S3, storage_rate=PART / 10) as client:
        _, location = await client.begin(LENGTH)
        for patches, rules in (
            (1, []),
            (2, ["PATCH while an abandoned body is still being stored"]),
        ):
            connection = await RawConnection.to(location)
            await connection.send_patch(location, 0, PART, SOURCE[:PART])

            def has_received(patches=patches):
                return [seen.received for seen in client.sandbox.requests].count(PART) == patches

            await until(has_received)
            assert [found.rule for found in client.sandbox.violations] == rules
            await connection.close()


async def test_violations_name_rule_and_request():
    async with open_sandbox() as client:
        ticket, location = await client.begin(5)
        await client.http.head(location)
        await client.http.head(location, headers={**TUS, **client.key})
        await client.http.put(ticket.direct_url, content=b"hello", headers=client.key)
        upload = f"/api/asset/upload/tus/{ticket.playback_id}"
        found = [(f.rule, f.request.split("?")[0]) for f in client.sandbox.violations]
        assert found == [
            ("Tus-Resumable is missing", f"HEAD {upload}"),
            ("Authorization header on an upload URL", f"HEAD {upload}"),
            ("Authorization header on an upload URL", "PUT /api/asset/upload/direct"),
        ]
        client.sandbox.clear_log()
        assert (client.sandbox.violations, client.sandbox.requests) == ([], [])


async def test_slow_request_is_ended_with_408():
    async with open_sandbox(request_seconds=0.5) as client:
        _, location = await client.begin(LENGTH)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, LENGTH, SOURCE[:5000])
        found, end = await connection.read_end()
        assert found == b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
        assert end == "fin"
        await connection.close()
        assert await client.offset(location) == 5000
