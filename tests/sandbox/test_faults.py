"""Each kind of fault, observed on a real socket."""

import asyncio
import contextlib
import random
import time

import httpx
import pytest

from livepeer_async.sandbox import (
    Answer,
    ChangeBody,
    ChangeHeaders,
    CutAnswer,
    CutConnection,
    FailProcessing,
    Fault,
    Garbage,
    HangUp,
    LoseAnswer,
    On,
    Redirect,
    ShiftOffset,
    Slow,
    Stall,
)
from livepeer_async.sandbox.faults import FaultSelector
from sandbox.client import PART, SMALL_PARTS, TUS, RawConnection, open_sandbox
from support.clock import VirtualClock, until
from support.constants import MIB

pytestmark = pytest.mark.anyio

PATCH = On(method="PATCH")
BODY = random.Random(6).randbytes(300_000)
ENDS = pytest.mark.parametrize("how", ["fin", "rst"])


@ENDS
@pytest.mark.parametrize("after_bytes", [0, 1, 100_000, 299_999])
async def test_connection_is_cut_inside_body(after_bytes, how):
    fault = Fault(PATCH, CutConnection(after_bytes=after_bytes, how=how))
    async with open_sandbox(faults=[fault]) as client:
        _, location = await client.begin(len(BODY))
        connection = await RawConnection.to(location)
        with contextlib.suppress(ConnectionResetError):  # the server may be quicker
            await connection.send_patch(location, 0, len(BODY), BODY[: after_bytes + 1])
        assert await connection.read_end() == (b"", how)
        await connection.close()
        client.sandbox.faults.clear()
        assert await client.offset(location) == after_bytes
        assert (await client.patch(location, after_bytes, BODY[after_bytes:])).status_code == 204
        assert client.sandbox.violations == []
        (cut,) = [seen for seen in client.sandbox.requests if seen.fault]
        assert (cut.method, cut.status, cut.fault) == ("PATCH", None, "CutConnection")
        assert (fault.seen, fault.fired) == (1, 1)


async def test_cut_beyond_body_drops_response():
    fault = Fault(PATCH, CutConnection(after_bytes=500_000))
    async with open_sandbox(faults=[fault]) as client:
        ticket, location = await client.begin(len(BODY))
        with pytest.raises(httpx.TransportError):
            await client.patch(location, 0, BODY)
        assert await client.offset(location) == len(BODY)
        await client.wait(ticket, "ready")


async def test_cut_at_zero_prevents_processing():
    fault = Fault(On(path="request-upload"), CutConnection())
    async with open_sandbox(faults=[fault]) as client:
        with pytest.raises(httpx.TransportError):
            await client.request_upload()
        assert client.sandbox.assets == []


@ENDS
async def test_lose_answer_processes_request(how):
    fault = Fault(PATCH, LoseAnswer(how))
    async with open_sandbox(faults=[fault]) as client:
        ticket, location = await client.begin(len(BODY))
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, len(BODY), BODY)
        assert await connection.read_end() == (b"", how)
        await connection.close()
        assert await client.offset(location) == len(BODY)
        await client.wait(ticket, "ready")


async def test_lost_response_delays_last_part_on_s3():
    fault = Fault(PATCH, LoseAnswer())
    clock = VirtualClock()
    async with open_sandbox(faults=[fault], clock=clock, **SMALL_PARTS) as client:
        _, location = await client.begin(2 * PART)
        with pytest.raises(httpx.TransportError):
            await client.patch(location, 0, BODY[:PART])
        assert await client.offset(location) == 0
        clock.advance(60)
        assert await client.offset(location) == PART


@pytest.mark.parametrize("after_bytes", [0, 5, 60])
async def test_response_is_truncated(after_bytes):
    fault = Fault(On(path="request-upload"), CutAnswer(after_bytes))
    async with open_sandbox(faults=[fault]) as client:
        connection = await RawConnection.to(client.sandbox.origin)
        url = f"{client.sandbox.base_url}/asset/request-upload"
        headers = [
            *client.key.items(),
            ("Content-Type", "application/json"),
            ("Content-Length", "12"),
        ]
        await connection.send_head("POST", url, headers)
        await connection.send(b'{"name":"x"}')
        found, end = await connection.read_end()
        assert (len(found), end) == (after_bytes, "fin")
        assert b"HTTP/1.1 200 OK\r\n".startswith(found[:17])
        assert [asset.name for asset in client.sandbox.assets] == ["x"]
        await connection.close()


@ENDS
async def test_response_is_truncated_after_pause(how):
    fault = Fault(PATCH, CutAnswer(12, how, seconds=0.15))
    async with open_sandbox(faults=[fault]) as client:
        _, location = await client.begin(len(BODY))
        connection = await RawConnection.to(location)
        began = time.monotonic()
        await connection.send_patch(location, 0, len(BODY), BODY)
        assert await connection.read_end() == (b"HTTP/1.1 204", how)
        assert time.monotonic() - began >= 0.15
        await connection.close()


async def test_cut_after_unnoticed_client_reset():
    """The body is unread, so the server does not notice the RST before it cuts."""
    async with open_sandbox(faults=[Fault(PATCH, CutAnswer(0, "fin", seconds=0.15))]) as client:
        _, location = await client.begin(len(BODY))
        connection = await RawConnection.to(location)
        with contextlib.suppress(ConnectionResetError):  # the server may be quicker
            await connection.send_patch(location, 7, len(BODY), BODY)
        await connection.reset()
        await until(lambda: client.sandbox.requests[-1].is_over)


@ENDS
async def test_hang_up_closes_keep_alive_connection(how):
    async with open_sandbox(faults=[Fault(PATCH, HangUp(how=how))]) as client:
        _, location = await client.begin(5)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, 5, b"hello")
        found, end = await connection.read_end()
        assert b"connection: keep-alive" in found
        assert end == how
        await connection.close()
        assert client.sandbox.requests[-1].status == 204


async def test_hang_up_during_next_request_loses_it():
    async with open_sandbox(faults=[Fault(On(method="HEAD"), HangUp(0.1))]) as client:
        _, location = await client.begin(len(BODY))
        connection = await RawConnection.to(location)
        await connection.send_head("HEAD", location, TUS.items())
        await connection.read_head()
        with contextlib.suppress(ConnectionError):  # it may be closed already
            await connection.send_patch(location, 0, len(BODY), BODY[:1000])
        assert (await connection.read_end())[0] == b""
        await connection.close()


async def test_garbage_replaces_http():
    async with open_sandbox(faults=[Fault(PATCH, Garbage(b"\x00\x01nonsense"))]) as client:
        _, location = await client.begin(5)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.patch(location, 0, b"hello")
        client.sandbox.faults.clear()
        assert await client.offset(location) == 0


@pytest.mark.parametrize(
    ("when", "offset", "received"), [("before", 0, 0), ("read", 0, 5), ("after", 5, 5)]
)
async def test_answer_replaces_response_before_or_after_processing(when, offset, received):
    response = Answer(503, body=b"busy", headers={"Retry-After": "7"}, when=when)
    async with open_sandbox(faults=[Fault(PATCH, response)]) as client:
        _, location = await client.begin(10)
        found = await client.patch(location, 0, b"hello")
        assert (found.status_code, found.text) == (503, "busy")
        assert found.headers["retry-after"] == "7"
        assert "x-powered-by" not in found.headers
        seen = client.sandbox.requests[-1]
        assert (seen.status, seen.received) == (503, received)
        client.sandbox.faults.clear()
        assert await client.offset(location) == offset


async def test_answer_before_body_keeps_connection_usable():
    fault = Fault(On(method="PATCH", nth=1), Answer(502))
    async with open_sandbox(faults=[fault]) as client:
        _, location = await client.begin(len(BODY))
        assert (await client.patch(location, 0, BODY)).status_code == 502
        assert (await client.patch(location, 0, BODY)).status_code == 204
        assert len({seen.connection for seen in client.sandbox.requests}) == 1


async def test_redirect_replaces_response():
    fault = Fault(PATCH, Redirect("http://127.0.0.1:9/elsewhere", status=308))
    async with open_sandbox(faults=[fault]) as client:
        _, location = await client.begin(5)
        response = await client.patch(location, 0, b"hello")
        assert response.status_code == 308
        assert response.headers["location"] == "http://127.0.0.1:9/elsewhere"


@pytest.mark.parametrize("after_bytes", [0, 1000, 10_000_000])
async def test_stall_delays_request(after_bytes):
    async with open_sandbox(faults=[Fault(PATCH, Stall(0.15, after_bytes))]) as client:
        ticket, location = await client.begin(len(BODY))
        began = time.monotonic()
        assert (await client.patch(location, 0, BODY)).status_code == 204
        assert time.monotonic() - began >= 0.15
        await client.wait(ticket, "ready")


async def test_stall_stops_reading_body():
    """Unread bytes fill the buffers until the client can no longer send."""
    async with open_sandbox(faults=[Fault(PATCH, Stall(30, 1000))]) as client:
        length = 64 * MIB
        _, location = await client.begin(length)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, length, b"")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await connection.send(bytes(length))
        assert client.sandbox.requests[-1].received < length
        connection.writer.transport.abort()


async def test_stalled_get_times_out():
    fault = Fault(On(path=r"/asset$"), Stall(30))
    async with open_sandbox(faults=[fault]) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.api("GET", "/asset", timeout=httpx.Timeout(30, read=0.1))


async def test_request_body_is_throttled():
    async with open_sandbox(faults=[Fault(PATCH, Slow(1_000_000))]) as client:
        ticket, location = await client.begin(len(BODY))
        began = time.monotonic()
        assert (await client.patch(location, 0, BODY)).status_code == 204
        assert time.monotonic() - began >= 0.25
        assert client.sandbox.stored(ticket.playback_id).read_bytes() == BODY


async def test_response_body_is_throttled():
    async with open_sandbox() as client:
        asset = await client.wait(await client.upload(BODY), "ready")
        client.sandbox.add_fault(Fault(On(path="download"), Slow(1_000_000)))
        began = time.monotonic()
        assert (await client.http.get(asset["downloadUrl"])).content == BODY
        assert time.monotonic() - began >= 0.15


async def test_headers_are_changed_and_removed():
    change = ChangeHeaders(put={"Location": "/relative"}, remove=("Tus-Resumable",))
    async with open_sandbox(faults=[Fault(On(path="/tus$"), change)]) as client:
        ticket = await client.request_upload()
        response = await client.post_creation(ticket, **{"Upload-Length": "5"})
        assert (response.status_code, response.headers["location"]) == (201, "/relative")
        assert "tus-resumable" not in response.headers
        assert response.headers["livepeer-playback-id"] == ticket.playback_id


@pytest.mark.parametrize("value", ["12x", "99999999999999999999", ""])
async def test_offset_is_replaced_by_invalid_value(value):
    change = ChangeHeaders(put={"Upload-Offset": value})
    async with open_sandbox(faults=[Fault(PATCH, change)]) as client:
        _, location = await client.begin(5)
        response = await client.patch(location, 0, b"hello")
        assert (response.status_code, response.headers["upload-offset"]) == (204, value)


@pytest.mark.parametrize(("by", "found"), [(3, "8"), (-2, "3"), (-9, "0")])
async def test_offset_is_shifted(by, found):
    async with open_sandbox(faults=[Fault(On(), ShiftOffset(by))]) as client:
        _, location = await client.begin(10)
        assert (await client.patch(location, 0, b"hello")).headers["upload-offset"] == found
        assert (await client.head(location)).headers["upload-offset"] == found
        client.sandbox.faults.clear()
        assert (await client.head(location)).headers["upload-offset"] == "5"


async def test_body_is_replaced():
    change = ChangeBody(b"<html>busy</html>", content_type="text/html")
    fault = Fault(On(method="GET", path="/api/asset/"), change)
    async with open_sandbox(faults=[fault]) as client:
        ticket = await client.request_upload()
        response = await client.api("GET", f"/asset/{ticket.asset_id}")
        assert (response.status_code, response.text) == (200, "<html>busy</html>")
        assert response.headers["content-type"] == "text/html"
        assert "etag" not in response.headers
        client.sandbox.faults[:] = [Fault(On(method="GET"), ChangeBody(b'{"id":'))]
        response = await client.api("GET", f"/asset/{ticket.asset_id}")
        assert response.content == b'{"id":'
        assert response.headers["content-type"].startswith("application/json")


async def test_fault_is_limited_to_asset_name():
    fault = Fault(On(method="PATCH", asset="^bad"), Answer(500))
    async with open_sandbox(faults=[fault]) as client:
        _, good = await client.begin(5, "good.mp4")
        _, bad = await client.begin(5, "bad.mp4")
        assert (await client.patch(good, 0, b"hello")).status_code == 204
        assert (await client.patch(bad, 0, b"hello")).status_code == 500
        client.sandbox.faults[:] = [Fault(On(method="POST", asset="^bad"), Answer(500))]
        ticket = await client.request_upload("bad 2.mp4")
        response = await client.post_creation(ticket, **{"Upload-Length": "5"})
        assert response.status_code == 500
        other = await client.http.post(
            f"{client.sandbox.base_url}/asset/upload/tus?token=x", headers=TUS
        )
        assert other.status_code == 403


async def test_fault_matches_method_override():
    async with open_sandbox(faults=[Fault(PATCH, Answer(418))]) as client:
        _, location = await client.begin(5)
        response = await client.http.post(
            location, headers={**TUS, "X-HTTP-Method-Override": "PATCH"}
        )
        assert response.status_code == 418


def draw(on, times, seed=0):
    book = FaultSelector([Fault(on, Answer(500))], random.Random(seed))
    drawn = [book.select_for_request("GET", "/x", lambda: None) for _ in range(times)]
    return [number for number, action in enumerate(drawn, 1) if action], book.faults[0]


@pytest.mark.parametrize(
    ("on", "struck"),
    [
        (On(), [1, 2, 3, 4, 5, 6]),
        (On(nth=3), [3]),
        (On(every=2), [2, 4, 6]),
        (On(times=2), [1, 2]),
        (On(every=2, times=2), [2, 4]),
        (On(probability=0.0), []),
        (On(probability=1.0), [1, 2, 3, 4, 5, 6]),
        (On(method="POST"), []),
        (On(method="get"), [1, 2, 3, 4, 5, 6]),
        (On(path="^/y"), []),
        (On(asset="x"), []),
    ],
)
def test_conditions_select_requests(on, struck):
    found, fault = draw(on, 6)
    assert (found, fault.fired) == (struck, len(struck))


def test_probability_is_repeatable_with_seed():
    one, _ = draw(On(probability=0.5), 50, seed=1)
    two, _ = draw(On(probability=0.5), 50, seed=1)
    three, _ = draw(On(probability=0.5), 50, seed=2)
    assert one == two != three


def test_first_due_fault_fires():
    first, second = Fault(On(nth=2), Answer(500)), Fault(On(), Answer(501))
    book = FaultSelector([first, second], random.Random(0))
    drawn = [book.select_for_request("GET", "/x", lambda: None) for _ in range(3)]
    assert [action.status for action in drawn] == [501, 500, 501]
    assert (first.seen, first.fired, second.seen, second.fired) == (3, 1, 2, 2)


def test_source_and_request_faults_are_separate():
    book = FaultSelector(
        [Fault(On(), FailProcessing()), Fault(On(), Answer(500))], random.Random(0)
    )
    assert book.select_for_request("GET", "/x", lambda: None) == Answer(500)
    assert book.select_for_source("a") == FailProcessing()
    assert FaultSelector([], random.Random(0)).select_for_source("a") is None


def test_repr_shows_counters():
    fault = Fault(On(nth=1), Answer(500))
    assert repr(fault).endswith("seen=0, fired=0)")
