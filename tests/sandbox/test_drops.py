"""Connections that break inside a PATCH, and PATCHes that overlap: sections 5.2 to 5.4 and 6."""

import random

import pytest

from sandbox.wire import PART, SMALL_PARTS, TUS, RawConnection, open_sandbox
from support.clock import VirtualClock, until

pytestmark = pytest.mark.anyio

LENGTH = 20 * PART // 8
SOURCE = random.Random(5).randbytes(LENGTH)
S3 = {**SMALL_PARTS, "race": 0.0, "visibility_seconds": 0.03}

# Sent before the drop, in eighths of a part, and the offset of S3 afterwards in parts.
DROPS = [(0.5, 0), (6, 0), (8, 0), (12, 1), (16.5, 2)]


async def drop(caller, location, sent, how):
    connection = await RawConnection.to(location)
    await connection.send_patch(location, 0, LENGTH, SOURCE[:sent])
    await until(lambda: caller.sandbox.requests[-1].received == sent)
    await (connection.reset() if how == "rst" else connection.close())
    await until(lambda: caller.sandbox.requests[-1].is_over)
    assert caller.sandbox.requests[-1].status is None


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize(("eighths", "parts"), DROPS)
async def test_s3_keeps_whole_closed_parts_and_resumes(eighths, parts, how):
    async with open_sandbox(**S3) as caller:
        ticket, location = await caller.begin(LENGTH)
        await drop(caller, location, int(eighths * PART / 8), how)
        offset = parts * PART
        await until(lambda: is_at(caller, location, offset))
        answer = await caller.patch(location, offset, SOURCE[offset:])
        assert answer.status_code == 204
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == SOURCE
        assert (await caller.wait(ticket))["size"] == LENGTH
        assert caller.sandbox.violations == []


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_file_keeps_every_byte_and_resumes(how):
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(LENGTH)
        await drop(caller, location, 100_001, how)
        assert await caller.offset(location) == 100_001
        await caller.patch(location, 100_001, SOURCE[100_001:])
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == SOURCE
        await caller.wait(ticket, "ready")


async def test_the_last_closed_part_shows_late():
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **S3) as caller:
        _, location = await caller.begin(LENGTH)
        await drop(caller, location, 2 * PART + 1, "rst")
        assert await caller.offset(location) == PART
        clock.advance(1)
        assert await caller.offset(location) == 2 * PART


async def is_at(caller, location, offset):
    return await caller.offset(location) == offset


async def test_a_part_resent_too_soon_is_stored_twice():
    """Section 16: HEAD tells the length, and the asset stays `uploading`."""
    clock = VirtualClock()
    async with open_sandbox(clock=clock, **S3) as caller:
        ticket, location = await caller.begin(2 * PART)
        await drop(caller, location, PART + 1, "rst")
        assert (await caller.patch(location, 0, SOURCE[:PART])).status_code == 204
        clock.advance(1)
        assert await caller.offset(location) == 2 * PART
        assert await caller.phase(ticket) == "uploading"
        assert caller.sandbox.stored(ticket.playback_id) is None


async def test_an_open_patch_is_seen_by_head_and_by_the_judge():
    async with open_sandbox() as caller:
        _, location = await caller.begin(LENGTH)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, LENGTH, SOURCE[:1000])
        await until(lambda: caller.sandbox.requests[-1].received == 1000)
        assert await caller.offset(location) == 1000
        assert [found.rule for found in caller.sandbox.violations] == ["HEAD while a PATCH runs"]
        await connection.close()


@pytest.mark.parametrize(("options", "status"), [({}, 409), (S3, 204)])
async def test_there_is_no_lock(options, status):
    """Only the offset check protects: S3 lets two PATCHes in while nothing is visible."""
    async with open_sandbox(**options) as caller:
        _, location = await caller.begin(LENGTH)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, LENGTH, SOURCE[:1000])
        await until(lambda: caller.sandbox.requests[-1].received == 1000)
        assert (await caller.patch(location, 0, SOURCE)).status_code == status
        accused = [found.rule for found in caller.sandbox.violations]
        assert accused == (["two PATCHes of one upload at a time"] if status == 204 else [])
        await connection.close()


async def test_what_a_client_may_not_do_is_seen():
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(5)
        await caller.http.head(location)
        await caller.http.head(location, headers={**TUS, **caller.key})
        await caller.http.put(ticket.direct_url, content=b"hello", headers=caller.key)
        upload = f"/api/asset/upload/tus/{ticket.playback_id}"
        found = [(f.rule, f.request.split("?")[0]) for f in caller.sandbox.violations]
        assert found == [
            ("Tus-Resumable is missing", f"HEAD {upload}"),
            ("an Authorization header on an upload URL", f"HEAD {upload}"),
            ("an Authorization header on an upload URL", "PUT /api/asset/upload/direct"),
        ]
        caller.sandbox.clear_log()
        assert (caller.sandbox.violations, caller.sandbox.requests) == ([], [])


async def test_a_slow_request_is_ended_with_408():
    """Section 17, with the limit at half a second."""
    async with open_sandbox(request_seconds=0.5) as caller:
        _, location = await caller.begin(LENGTH)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, LENGTH, SOURCE[:5000])
        found, end = await connection.read_end()
        assert found == b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
        assert end == "fin"
        await connection.close()
        assert await caller.offset(location) == 5000
