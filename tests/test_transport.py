"""The door to the network, against servers that behave and servers that don't."""

import asyncio
import gzip
import logging
import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from libraries import LIBRARIES
from listening import listening
from livepeer_async import errors
from livepeer_async.bodies import is_delimited
from livepeer_async.messages import Request, Span
from livepeer_async.transport import Timeouts, Transport
from studio import until

pytestmark = pytest.mark.anyio
# For answers that come, however busy the machine is, and for those that never come or never end.
PATIENT = Timeouts(connect=30, stall=30, answer=30)
QUICK = Timeouts(connect=2, stall=0.4, answer=0.8)
LIMIT = 25.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: a\r\n\r\nok"


@asynccontextmanager
async def serving(answer):
    """Serve raw bytes: `answer(reader, writer)` talks on each connection."""
    heads = []

    async def talk(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await answer(reader, writer)
        await writer.drain()

    async with listening(talk) as port:
        yield f"http://127.0.0.1:{port}", heads


def saying(raw):
    async def answer(reader, writer):
        writer.write(raw)

    return answer


async def blocks(*pieces):
    for piece in pieces:
        yield piece


async def exchange(answer, request=None, body=None, *, timeouts=PATIENT, **options):
    options |= {"timeouts": timeouts}
    async with serving(answer) as (url, heads), Transport(**options) as transport:
        request = request or Request(method="GET", url=url)
        asked = Request(
            method=request.method,
            url=url + "/x?token=eyJsecret.abc",
            headers=request.headers,
            content=request.content,
        )
        return await transport.send(asked, blocks=body), heads


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_answer_comes_whole_with_lower_case_headers(library):
    async with library.AsyncClient() as client:
        response, heads = await exchange(saying(OK), http_client=client)
        assert not client.is_closed
    assert (response.status, response.body, response.headers["x-thing"]) == (200, b"ok", "a")
    assert response.place.endswith("/x")
    assert f"x-request-id: {response.request_id}".encode() in heads[0].lower()
    assert b"user-agent: livepeer-async/" in heads[0].lower()


async def test_a_span_is_sent_as_blocks_with_its_length():
    async def echo(reader, writer):
        body = await reader.readexactly(6)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + body)

    request = Request(method="PATCH", url="", content=Span(10, 16))
    response, heads = await exchange(echo, request, blocks(b"abc", memoryview(b"def")))
    assert response.body == b"abcdef"
    assert b"content-length: 6" in heads[0].lower()


async def test_an_empty_span_is_sent_as_an_empty_body():
    request = Request(method="PATCH", url="", content=Span(10, 10))
    _, heads = await exchange(saying(OK), request)
    assert b"content-length: 0" in heads[0].lower()


async def test_a_key_of_the_client_that_was_handed_in_goes_nowhere():
    async with httpx.AsyncClient(headers={"Authorization": "Bearer other"}) as client:
        _, heads = await exchange(saying(OK), http_client=client)
    assert b"authorization" not in heads[0].lower()


async def test_no_redirect_is_followed():
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with httpx.AsyncClient(follow_redirects=True) as client:
        response, _ = await exchange(saying(answer), http_client=client)
    assert response.status == 302


async def hang(reader, writer):
    await asyncio.sleep(1000)


async def cut(reader, writer):
    writer.transport.abort()


async def trickle(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("answer", "limit"), [(hang, "stall"), (trickle, "answer")])
async def test_an_answer_that_never_comes_or_never_ends_is_given_up(answer, limit):
    timeouts = Timeouts(**{"connect": 30, "stall": 30, "answer": 30, limit: 0.5})
    with anyio.fail_after(LIMIT), pytest.raises(errors.TimedOut) as caught:
        await exchange(answer, timeouts=timeouts)
    assert "eyJ" not in str(caught.value)
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (cut, errors.ConnectionBroken),
        (saying(b""), errors.ConnectionBroken),
        (saying(b"HTTP/1.1 20"), errors.ConnectionBroken),
        (saying(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), errors.ConnectionBroken),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), errors.ConnectionBroken),
        (
            saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
            errors.ConnectionBroken,
        ),
    ],
)
async def test_each_way_to_fail_has_its_error_without_secrets(answer, kind):
    with pytest.raises(kind) as caught:
        await exchange(answer)
    assert "eyJ" not in str(caught.value)
    assert caught.value.request_id


async def test_an_answer_without_end_is_cut_off():
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    with pytest.raises(errors.DecodeError, match="larger than"):
        await exchange(saying(head.encode() + bomb))


GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"


@pytest.mark.parametrize("coding", ["gzip", "GZip", "x-gzip"])
@pytest.mark.parametrize("library", LIBRARIES)
async def test_gzip_is_unpacked(library, coding):
    body = gzip.compress(b"ok" * 100_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with library.AsyncClient() as client:
        response, heads = await exchange(saying(head.encode() + body), http_client=client)
    assert response.body == b"ok" * 100_000
    assert b"accept-encoding: gzip\r\n" in heads[0].lower()


async def test_gzip_that_is_cut_is_no_answer():
    body = gzip.compress(bytes(range(256)))[:-12]
    head = GZIPPED + b"Content-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(errors.ConnectionBroken, match="gzip is broken"):
        await exchange(saying(head + body))


async def test_what_follows_the_end_of_gzip_is_left_out():
    body = gzip.compress(b"ok")
    response, _ = await exchange(saying(GZIPPED + b"\r\n" + body + b"more" * 10_000))
    assert response.body == b"ok"


async def test_an_answer_to_head_is_not_unpacked():
    answer = GZIPPED + b"Content-Length: 20\r\n\r\n"
    response, _ = await exchange(saying(answer), Request(method="HEAD", url=""))
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "identity"])
async def test_a_coding_that_nobody_asked_for_is_left_as_it_is(coding):
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 4\r\n\r\n"
    response, _ = await exchange(saying(head.encode() + b"\x1f\x8bno"))
    assert response.body == b"\x1f\x8bno"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_hook_may_read_the_answer_first(library):
    async def read(response):
        await response.aread()

    body = gzip.compress(b"ok")
    answer = GZIPPED + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with library.AsyncClient(event_hooks={"response": [read]}) as client:
        response, _ = await exchange(saying(answer), http_client=client)
    assert response.body == b"ok"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_transport_without_a_network_may_answer(library):
    mock = library.MockTransport(lambda _: library.Response(200, content=b"okay"))
    async with (
        library.AsyncClient(transport=mock) as client,
        Transport(http_client=client, timeouts=PATIENT) as transport,
    ):
        response = await transport.send(Request(method="GET", url="http://x.example/"))
        assert response.body == b"okay"
        with pytest.raises(errors.DecodeError, match="larger than 3 bytes"):
            await transport.send(Request(method="GET", url="http://x.example/"), largest=3)


async def test_where_nobody_listens_nothing_was_sent():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x?token=secret"
        async with Transport(timeouts=PATIENT) as transport:
            with pytest.raises(errors.ConnectFailed) as caught:
                await transport.send(Request(method="GET", url=url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "no-scheme", "http://[::1/", "http://127.0.0.1:65536/"]
)
async def test_a_url_that_cannot_be_asked_is_the_callers_fault(url):
    async with Transport(timeouts=QUICK) as transport:
        with pytest.raises(errors.ConfigurationError):
            await transport.send(Request(method="GET", url=url))


async def test_an_error_of_the_source_comes_through_as_it_is():
    async def broken():
        yield b"abc"
        raise errors.SourceChanged("it changed", source="x")

    request = Request(method="PATCH", url="", content=Span(0, 6))
    with pytest.raises(errors.SourceChanged):
        await exchange(hang, request, broken())


# Each wait of a sender is below it, all of them together are above it.
STALL = Timeouts(connect=30, stall=2.0, answer=30)


async def sent_slowly(seconds):
    """Give six blocks that take so long in all."""
    for _ in range(6):
        yield b"x" * 100
        await asyncio.sleep(seconds / 6)


async def test_a_stall_is_counted_from_block_to_block_not_for_the_whole():
    async def read_all(reader, writer):
        await reader.readexactly(600)
        writer.write(OK)

    request = Request(method="PATCH", url="", content=Span(0, 600))
    response, _ = await exchange(read_all, request, sent_slowly(2.4), timeouts=STALL)
    assert response.status == 200


async def test_the_answer_may_take_as_long_again_as_the_sending_took():
    async def answer_late(reader, writer):
        await reader.readexactly(600)
        await asyncio.sleep(2.4)
        writer.write(OK)

    request = Request(method="PATCH", url="", content=Span(0, 600))
    response, _ = await exchange(answer_late, request, sent_slowly(1.8), timeouts=STALL)
    assert response.status == 200


async def test_the_logs_of_the_http_library_hold_no_query(caplog):
    caplog.set_level(logging.DEBUG)
    await exchange(saying(OK))
    assert "HTTP Request" in caplog.text
    assert "eyJsecret" not in caplog.text


async def test_a_cancelled_request_leaves_room_for_the_next():
    async with (
        serving(hang) as (slow, _),
        serving(saying(OK)) as (quick, _),
        Transport(timeouts=PATIENT) as transport,
    ):
        for _ in range(120):
            with anyio.move_on_after(0.001):
                await transport.send(Request(method="GET", url=slow))
        for _ in range(3):
            response = await transport.send(Request(method="GET", url=quick))
            assert response.status == 200


def test_a_client_of_another_kind_is_refused():
    with pytest.raises(errors.ConfigurationError, match="wanted an httpx"):
        Transport(http_client=object(), timeouts=QUICK)


@pytest.mark.parametrize("limit", ["connect", "stall", "answer"])
def test_a_time_limit_must_be_above_zero(limit):
    with pytest.raises(errors.ConfigurationError):
        Timeouts(**{limit: 0})


async def drip(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        writer.write(f"X-{number}: x\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_head_that_never_ends_is_given_up():
    with anyio.fail_after(LIMIT), pytest.raises(errors.TimedOut, match="doesn't end"):
        async with serving(drip) as (url, _):
            limits = Timeouts(connect=0.5, stall=0.5, answer=0.5)
            async with Transport(timeouts=limits) as transport:
                await transport.send(Request(method="GET", url=url))


@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_default_of_a_client_that_was_handed_in_changes_a_request(library):
    client = library.AsyncClient(
        auth=("user", "pass"), params={"mine": "1"}, cookies={"c": "1"}, base_url="http://x.example"
    )
    request = Request(method="GET", url="", headers={"Authorization": "Bearer ours"})
    async with client:
        _, heads = await exchange(saying(OK), request, http_client=client)
    assert b"Bearer ours" in heads[0]
    assert b"GET /x?token=eyJsecret.abc HTTP/1.1" in heads[0]
    assert b"cookie" not in heads[0].lower()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_hook_that_raises_for_a_status_hides_no_answer(library):
    async def raise_for_status(response):
        response.raise_for_status()

    answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nX-Thing: a\r\n\r\n"
    async with library.AsyncClient(event_hooks={"response": [raise_for_status]}) as client:
        response, _ = await exchange(saying(answer), http_client=client)
    assert (response.status, response.headers["x-thing"]) == (409, "a")


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_logs_of_either_library_hold_no_query(library, caplog):
    caplog.set_level(logging.DEBUG)
    async with library.AsyncClient() as client:
        await exchange(saying(OK), http_client=client)
    assert "HTTP Request" in caplog.text
    assert "eyJsecret" not in caplog.text


@pytest.mark.parametrize(
    "request_", [Request(method="G ET", url=""), Request(method="GET", url="", headers={"X": "é"})]
)
async def test_what_can_not_be_sent_is_the_callers_fault(request_):
    with pytest.raises(errors.ConfigurationError):
        await exchange(saying(OK), request_)


async def test_a_client_that_is_closed_meanwhile_is_named():
    async with serving(hang) as (url, heads):
        transport = Transport(timeouts=PATIENT)
        async with anyio.create_task_group() as tasks:

            async def close():
                await until(lambda: heads)
                await transport.aclose()

            tasks.start_soon(close)
            with pytest.raises(errors.LivepeerError):
                await transport.send(Request(method="GET", url=url))
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await transport.send(Request(method="GET", url=url))


@asynccontextmanager
async def streaming(answer, *, timeouts=PATIENT, **options):
    options |= {"timeouts": timeouts}
    async with serving(answer) as (url, heads), Transport(**options) as transport:
        request = Request(method="GET", url=url + "/x?token=eyJsecret.abc")
        async with transport.stream(request) as streamed:
            yield streamed, heads


async def all_of(streamed):
    return b"".join([piece async for piece in streamed.pieces])


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_stream_gives_the_head_first_and_then_the_raw_body(library):
    body = gzip.compress(b"ok")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    may_go_on = anyio.Event()

    async def slowly(reader, writer):
        writer.write(head)
        await may_go_on.wait()
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    async with library.AsyncClient(headers={"Authorization": "Bearer other"}) as client:
        async with streaming(slowly, http_client=client) as (streamed, heads):
            assert (streamed.head.status, streamed.head.body) == (200, b"")
            assert streamed.head.headers["content-encoding"] == "gzip"
            assert streamed.is_delimited
            assert "secret" not in repr(streamed)
            may_go_on.set()
            assert await all_of(streamed) == body
            assert await all_of(streamed) == b""
        assert not client.is_closed
    assert b"authorization" not in heads[0].lower()
    assert f"x-request-id: {streamed.head.request_id}".encode() in heads[0].lower()


@pytest.mark.parametrize(
    ("lines", "is_delimited"),
    [
        (b"Content-Length: 2\r\n\r\nok", True),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"\r\nok", False),
    ],
)
async def test_a_stream_tells_whether_its_end_will_be_certain(lines, is_delimited):
    async with streaming(saying(b"HTTP/1.1 200 OK\r\n" + lines)) as (streamed, _):
        assert await all_of(streamed) == b"ok"
    assert streamed.is_delimited == is_delimited


def test_from_http_2_on_each_body_has_an_end():
    assert is_delimited("HTTP/2", {})
    assert not is_delimited("HTTP/1.0", {})


async def trickle_long(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
    for _ in range(30):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


# More than an answer that isn't streamed may take is less than between two of its pieces here.
NO_LIMIT_OF_THE_WHOLE = Timeouts(connect=30, stall=30, answer=0.2)


async def test_a_stream_may_take_as_long_as_pieces_come():
    async with streaming(trickle_long, timeouts=NO_LIMIT_OF_THE_WHOLE) as (streamed, _):
        assert await all_of(streamed) == b"x" * 30


async def test_a_stream_may_be_read_as_slowly_as_one_likes():
    async with streaming(saying(OK), timeouts=QUICK) as (streamed, _):
        await anyio.sleep(1)
        assert await all_of(streamed) == b"ok"


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def half_and_stall(reader, writer):
    writer.write(HALF)
    await writer.drain()
    await hang(reader, writer)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(half_and_stall, errors.TimedOut), (saying(HALF), errors.ConnectionBroken)],
)
@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_body_that_breaks_off_is_an_error_of_the_network(answer, kind, library):
    timeouts = Timeouts(connect=30, stall=2) if kind is errors.TimedOut else PATIENT
    async with (
        library.AsyncClient() as client,
        streaming(answer, http_client=client, timeouts=timeouts) as (streamed, _),
    ):
        assert await anext(streamed.pieces) == b"half"
        with anyio.fail_after(LIMIT), pytest.raises(kind) as caught:
            await anext(streamed.pieces)
    assert "eyJ" not in str(caught.value)
    assert caught.value.request_id == streamed.head.request_id


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(hang, errors.TimedOut), (drip, errors.TimedOut), (cut, errors.ConnectionBroken)],
)
async def test_a_stream_without_a_head_is_none(answer, kind):
    timeouts = QUICK if kind is errors.TimedOut else PATIENT
    with anyio.fail_after(LIMIT), pytest.raises(kind) as caught:
        async with streaming(answer, timeouts=timeouts):
            pass
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x.example/", "http://[::1/", "http://127.0.0.1:65536/"])
async def test_a_stream_of_a_url_that_cannot_be_asked_is_the_callers_fault(url):
    async with Transport(timeouts=QUICK) as transport:
        with pytest.raises(errors.ConfigurationError):
            async with transport.stream(Request(method="GET", url=url)):
                pass
    with pytest.raises(errors.ConfigurationError, match="closed"):
        async with transport.stream(Request(method="GET", url="http://x.example/")):
            pass


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_hook_hides_no_stream(library):
    async def raise_for_status(response):
        response.raise_for_status()

    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 3\r\n\r\nbusy"
    async with (
        library.AsyncClient(event_hooks={"response": [raise_for_status]}) as client,
        streaming(saying(answer), http_client=client) as (streamed, _),
    ):
        assert (streamed.head.status, streamed.head.headers["retry-after"]) == (503, "3")

    async def read(response):
        await response.aread()

    async with (
        library.AsyncClient(event_hooks={"response": [read]}) as client,
        streaming(saying(OK), http_client=client) as (streamed, _),
    ):
        assert await all_of(streamed) == b"ok"


async def test_streams_that_are_left_make_room_for_the_next():
    async with serving(saying(OK * 1000)) as (url, _), Transport(timeouts=PATIENT) as transport:
        for _ in range(120):
            async with transport.stream(Request(method="GET", url=url)):
                pass
        async with transport.stream(Request(method="GET", url=url)) as streamed:
            assert await all_of(streamed) == b"ok"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_hook_that_reads_and_raises_hides_no_answer(library):
    async def read(response):
        await response.aread()
        response.raise_for_status()

    answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\n\r\noops"
    async with library.AsyncClient(event_hooks={"response": [read]}) as client:
        response, _ = await exchange(saying(answer), http_client=client)
    assert (response.status, response.body) == (409, b"oops")
