"""Every kind of fault, seen from the other end of a real socket."""

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
from livepeer_async.sandbox.faults import FaultBook
from sandbox.wire import PART, SMALL_PARTS, TUS, RawConnection, open_sandbox
from support.clock import VirtualClock, until

pytestmark = pytest.mark.anyio

PATCH = On(method="PATCH")
BODY = random.Random(6).randbytes(300_000)
ENDS = pytest.mark.parametrize("how", ["fin", "rst"])


@ENDS
@pytest.mark.parametrize("after_bytes", [0, 1, 100_000, 299_999])
async def test_a_connection_is_cut_inside_a_body(after_bytes, how):
    fault = Fault(PATCH, CutConnection(after_bytes=after_bytes, how=how))
    async with open_sandbox(faults=[fault]) as caller:
        _, location = await caller.begin(len(BODY))
        connection = await RawConnection.to(location)
        with contextlib.suppress(ConnectionResetError):  # the server may be quicker
            await connection.send_patch(location, 0, len(BODY), BODY[: after_bytes + 1])
        assert await connection.read_end() == (b"", how)
        await connection.close()
        caller.sandbox.faults.clear()
        assert await caller.offset(location) == after_bytes
        assert (await caller.patch(location, after_bytes, BODY[after_bytes:])).status_code == 204
        assert caller.sandbox.violations == []
        (cut,) = [seen for seen in caller.sandbox.requests if seen.fault]
        assert (cut.method, cut.status, cut.fault) == ("PATCH", None, "CutConnection")
        assert (fault.seen, fault.fired) == (1, 1)


async def test_a_connection_is_cut_before_the_answer_if_the_body_is_shorter():
    fault = Fault(PATCH, CutConnection(after_bytes=500_000))
    async with open_sandbox(faults=[fault]) as caller:
        ticket, location = await caller.begin(len(BODY))
        with pytest.raises(httpx.TransportError):
            await caller.patch(location, 0, BODY)
        assert await caller.offset(location) == len(BODY)
        await caller.wait(ticket, "ready")


async def test_cutting_at_zero_leaves_no_trace_of_a_creation():
    fault = Fault(On(path="request-upload"), CutConnection())
    async with open_sandbox(faults=[fault]) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.request_upload()
        assert caller.sandbox.assets == []


@ENDS
async def test_an_answer_is_lost_after_the_server_acted(how):
    fault = Fault(PATCH, LoseAnswer(how))
    async with open_sandbox(faults=[fault]) as caller:
        ticket, location = await caller.begin(len(BODY))
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, len(BODY), BODY)
        assert await connection.read_end() == (b"", how)
        await connection.close()
        assert await caller.offset(location) == len(BODY)
        await caller.wait(ticket, "ready")


async def test_a_lost_answer_makes_the_last_part_late_on_s3():
    fault = Fault(PATCH, LoseAnswer())
    clock = VirtualClock()
    async with open_sandbox(faults=[fault], clock=clock, **SMALL_PARTS) as caller:
        _, location = await caller.begin(2 * PART)
        with pytest.raises(httpx.TransportError):
            await caller.patch(location, 0, BODY[:PART])
        assert await caller.offset(location) == 0
        clock.advance(60)
        assert await caller.offset(location) == PART


@pytest.mark.parametrize("after_bytes", [0, 5, 60])
async def test_an_answer_breaks_off(after_bytes):
    fault = Fault(On(path="request-upload"), CutAnswer(after_bytes))
    async with open_sandbox(faults=[fault]) as caller:
        connection = await RawConnection.to(caller.sandbox.origin)
        url = f"{caller.sandbox.base_url}/asset/request-upload"
        headers = [
            *caller.key.items(),
            ("Content-Type", "application/json"),
            ("Content-Length", "12"),
        ]
        await connection.send_head("POST", url, headers)
        await connection.send(b'{"name":"x"}')
        found, end = await connection.read_end()
        assert (len(found), end) == (after_bytes, "fin")
        assert b"HTTP/1.1 200 OK\r\n".startswith(found[:17])
        assert [asset.name for asset in caller.sandbox.assets] == ["x"]
        await connection.close()


@ENDS
async def test_an_answer_breaks_off_after_it_was_awaited_in_vain(how):
    fault = Fault(PATCH, CutAnswer(12, how, seconds=0.15))
    async with open_sandbox(faults=[fault]) as caller:
        _, location = await caller.begin(len(BODY))
        connection = await RawConnection.to(location)
        began = time.monotonic()
        await connection.send_patch(location, 0, len(BODY), BODY)
        assert await connection.read_end() == (b"HTTP/1.1 204", how)
        assert time.monotonic() - began >= 0.15
        await connection.close()


async def test_a_connection_that_its_client_has_reset_unseen_can_still_be_cut():
    """The body lies unread, so that the server is not told of the RST before it cuts."""
    async with open_sandbox(faults=[Fault(PATCH, CutAnswer(0, "fin", seconds=0.15))]) as caller:
        _, location = await caller.begin(len(BODY))
        connection = await RawConnection.to(location)
        with contextlib.suppress(ConnectionResetError):  # the server may be quicker
            await connection.send_patch(location, 7, len(BODY), BODY)
        await connection.reset()
        await until(lambda: caller.sandbox.requests[-1].is_over)


@ENDS
async def test_a_connection_that_was_promised_to_stay_is_closed(how):
    async with open_sandbox(faults=[Fault(PATCH, HangUp(how=how))]) as caller:
        _, location = await caller.begin(5)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, 5, b"hello")
        found, end = await connection.read_end()
        assert b"connection: keep-alive" in found
        assert end == how
        await connection.close()
        assert caller.sandbox.requests[-1].status == 204


async def test_a_request_on_a_connection_that_is_closed_under_it_is_lost():
    async with open_sandbox(faults=[Fault(On(method="HEAD"), HangUp(0.1))]) as caller:
        _, location = await caller.begin(len(BODY))
        connection = await RawConnection.to(location)
        await connection.send_head("HEAD", location, TUS.items())
        await connection.read_head()
        with contextlib.suppress(ConnectionError):  # it may be closed already
            await connection.send_patch(location, 0, len(BODY), BODY[:1000])
        assert (await connection.read_end())[0] == b""
        await connection.close()


async def test_garbage_instead_of_http():
    async with open_sandbox(faults=[Fault(PATCH, Garbage(b"\x00\x01nonsense"))]) as caller:
        _, location = await caller.begin(5)
        with pytest.raises(httpx.RemoteProtocolError):
            await caller.patch(location, 0, b"hello")
        caller.sandbox.faults.clear()
        assert await caller.offset(location) == 0


@pytest.mark.parametrize(
    ("when", "offset", "received"), [("before", 0, 0), ("read", 0, 5), ("after", 5, 5)]
)
async def test_another_answer_before_or_after_the_server_acted(when, offset, received):
    answer = Answer(503, body=b"busy", headers={"Retry-After": "7"}, when=when)
    async with open_sandbox(faults=[Fault(PATCH, answer)]) as caller:
        _, location = await caller.begin(10)
        found = await caller.patch(location, 0, b"hello")
        assert (found.status_code, found.text) == (503, "busy")
        assert found.headers["retry-after"] == "7"
        assert "x-powered-by" not in found.headers
        seen = caller.sandbox.requests[-1]
        assert (seen.status, seen.received) == (503, received)
        caller.sandbox.faults.clear()
        assert await caller.offset(location) == offset


async def test_an_answer_before_leaves_the_connection_usable():
    fault = Fault(On(method="PATCH", nth=1), Answer(502))
    async with open_sandbox(faults=[fault]) as caller:
        _, location = await caller.begin(len(BODY))
        assert (await caller.patch(location, 0, BODY)).status_code == 502
        assert (await caller.patch(location, 0, BODY)).status_code == 204
        assert len({seen.connection for seen in caller.sandbox.requests}) == 1


async def test_a_redirect():
    fault = Fault(PATCH, Redirect("http://127.0.0.1:9/elsewhere", status=308))
    async with open_sandbox(faults=[fault]) as caller:
        _, location = await caller.begin(5)
        answer = await caller.patch(location, 0, b"hello")
        assert answer.status_code == 308
        assert answer.headers["location"] == "http://127.0.0.1:9/elsewhere"


@pytest.mark.parametrize("after_bytes", [0, 1000, 10_000_000])
async def test_a_stall_holds_the_request_up_and_lets_it_go_on(after_bytes):
    async with open_sandbox(faults=[Fault(PATCH, Stall(0.15, after_bytes))]) as caller:
        ticket, location = await caller.begin(len(BODY))
        began = time.monotonic()
        assert (await caller.patch(location, 0, BODY)).status_code == 204
        assert time.monotonic() - began >= 0.15
        await caller.wait(ticket, "ready")


async def test_a_stall_stops_reading():
    """What the server doesn't read fills the buffers, until the client can't send any more."""
    async with open_sandbox(faults=[Fault(PATCH, Stall(30, 1000))]) as caller:
        length = 64 * 1024 * 1024
        _, location = await caller.begin(length)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 0, length, b"")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await connection.send(bytes(length))
        assert caller.sandbox.requests[-1].received < length
        connection.writer.transport.abort()


async def test_a_stalled_get():
    fault = Fault(On(path=r"/asset$"), Stall(30))
    async with open_sandbox(faults=[fault]) as caller:
        with pytest.raises(httpx.ReadTimeout):
            await caller.api("GET", "/asset", timeout=httpx.Timeout(30, read=0.1))


async def test_a_trickle_in():
    async with open_sandbox(faults=[Fault(PATCH, Slow(1_000_000))]) as caller:
        ticket, location = await caller.begin(len(BODY))
        began = time.monotonic()
        assert (await caller.patch(location, 0, BODY)).status_code == 204
        assert time.monotonic() - began >= 0.25
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == BODY


async def test_a_trickle_out():
    async with open_sandbox() as caller:
        asset = await caller.wait(await caller.upload(BODY), "ready")
        caller.sandbox.add_fault(Fault(On(path="download"), Slow(1_000_000)))
        began = time.monotonic()
        assert (await caller.http.get(asset["downloadUrl"])).content == BODY
        assert time.monotonic() - began >= 0.15


async def test_headers_are_changed_and_removed():
    change = ChangeHeaders(put={"Location": "/relative"}, remove=("Tus-Resumable",))
    async with open_sandbox(faults=[Fault(On(path="/tus$"), change)]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "5"})
        assert (answer.status_code, answer.headers["location"]) == (201, "/relative")
        assert "tus-resumable" not in answer.headers
        assert answer.headers["livepeer-playback-id"] == ticket.playback_id


@pytest.mark.parametrize("value", ["12x", "99999999999999999999", ""])
async def test_an_offset_is_made_senseless(value):
    change = ChangeHeaders(put={"Upload-Offset": value})
    async with open_sandbox(faults=[Fault(PATCH, change)]) as caller:
        _, location = await caller.begin(5)
        answer = await caller.patch(location, 0, b"hello")
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, value)


@pytest.mark.parametrize(("by", "found"), [(3, "8"), (-2, "3"), (-9, "0")])
async def test_an_offset_is_shifted(by, found):
    async with open_sandbox(faults=[Fault(On(), ShiftOffset(by))]) as caller:
        _, location = await caller.begin(10)
        assert (await caller.patch(location, 0, b"hello")).headers["upload-offset"] == found
        assert (await caller.head(location)).headers["upload-offset"] == found
        caller.sandbox.faults.clear()
        assert (await caller.head(location)).headers["upload-offset"] == "5"


async def test_a_body_is_replaced():
    change = ChangeBody(b"<html>busy</html>", content_type="text/html")
    fault = Fault(On(method="GET", path="/api/asset/"), change)
    async with open_sandbox(faults=[fault]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.api("GET", f"/asset/{ticket.asset_id}")
        assert (answer.status_code, answer.text) == (200, "<html>busy</html>")
        assert answer.headers["content-type"] == "text/html"
        assert "etag" not in answer.headers
        caller.sandbox.faults[:] = [Fault(On(method="GET"), ChangeBody(b'{"id":'))]
        answer = await caller.api("GET", f"/asset/{ticket.asset_id}")
        assert answer.content == b'{"id":'
        assert answer.headers["content-type"].startswith("application/json")


async def test_a_fault_is_aimed_at_an_asset_by_name():
    fault = Fault(On(method="PATCH", asset="^bad"), Answer(500))
    async with open_sandbox(faults=[fault]) as caller:
        _, good = await caller.begin(5, "good.mp4")
        _, bad = await caller.begin(5, "bad.mp4")
        assert (await caller.patch(good, 0, b"hello")).status_code == 204
        assert (await caller.patch(bad, 0, b"hello")).status_code == 500
        caller.sandbox.faults[:] = [Fault(On(method="POST", asset="^bad"), Answer(500))]
        ticket = await caller.request_upload("bad 2.mp4")
        answer = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "5"})
        assert answer.status_code == 500
        other = await caller.http.post(
            f"{caller.sandbox.base_url}/asset/upload/tus?token=x", headers=TUS
        )
        assert other.status_code == 403


async def test_a_method_override_counts_as_the_method():
    async with open_sandbox(faults=[Fault(PATCH, Answer(418))]) as caller:
        _, location = await caller.begin(5)
        answer = await caller.http.post(
            location, headers={**TUS, "X-HTTP-Method-Override": "PATCH"}
        )
        assert answer.status_code == 418


def draw(on, times, seed=0):
    book = FaultBook([Fault(on, Answer(500))], random.Random(seed))
    drawn = [book.draw_for_request("GET", "/x", lambda: None) for _ in range(times)]
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
def test_when_a_fault_strikes(on, struck):
    found, fault = draw(on, 6)
    assert (found, fault.fired) == (struck, len(struck))


def test_chance_is_repeatable():
    one, _ = draw(On(probability=0.5), 50, seed=1)
    two, _ = draw(On(probability=0.5), 50, seed=1)
    three, _ = draw(On(probability=0.5), 50, seed=2)
    assert one == two != three


def test_the_first_fault_that_is_due_strikes():
    first, second = Fault(On(nth=2), Answer(500)), Fault(On(), Answer(501))
    book = FaultBook([first, second], random.Random(0))
    drawn = [book.draw_for_request("GET", "/x", lambda: None) for _ in range(3)]
    assert [action.status for action in drawn] == [501, 500, 501]
    assert (first.seen, first.fired, second.seen, second.fired) == (3, 1, 2, 2)


def test_faults_of_sources_and_of_requests_are_drawn_apart():
    book = FaultBook([Fault(On(), FailProcessing()), Fault(On(), Answer(500))], random.Random(0))
    assert book.draw_for_request("GET", "/x", lambda: None) == Answer(500)
    assert book.draw_for_source("a") == FailProcessing()
    assert FaultBook([], random.Random(0)).draw_for_source("a") is None


def test_a_fault_shows_how_often_it_struck():
    fault = Fault(On(nth=1), Answer(500))
    assert repr(fault).endswith("seen=0, fired=0)")
