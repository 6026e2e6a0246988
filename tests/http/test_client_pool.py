"""Connections of the client's own: when one is taken again, and when it is closed."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import AsyncLivepeer, UploadJob, errors
from livepeer_async.http import transport
from livepeer_async.http.client_pool import ClientPool
from livepeer_async.http.messages import Request
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from support.clock import until
from support.libraries import LIBRARIES
from support.sandbox import PART, make_bytes, sandbox_and_client
from support.servers import listen

pytestmark = pytest.mark.anyio
PATIENT = Timeouts(connect=60, stall=60, answer=60)
SERVER_KEEPALIVE = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers on connections that are kept; `hold` makes it wait before each answer."""

    def __init__(self):
        self.made = 0
        self.waiting = 0
        self.open = set()
        self.hold = asyncio.Event()
        self.hold.set()

    async def talk(self, reader, writer):
        self.made += 1
        self.open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.waiting += 1
                while not self.hold.is_set() and not reader.at_eof():
                    await asyncio.sleep(0.005)
                    if reader.exception():
                        raise reader.exception()
                self.waiting -= 1
                writer.write(OK)
        self.open.discard(writer)
        writer.close()


@asynccontextmanager
async def serving():
    server = Server()
    async with listen(server.talk) as port:
        yield server, f"http://127.0.0.1:{port}"


@asynccontextmanager
async def connected():
    async with serving() as (server, url), Transport(timeouts=PATIENT) as door:
        yield server, url, door


async def ask(door, url):
    answer = await door.send(Request(method="GET", url=f"{url}/x"))
    assert answer.body == b"ok"


async def ask_at_once(door, url, server, times):
    server.hold.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(ask, door, url)
        await until(lambda: server.waiting == times)
        server.hold.set()


async def test_requests_one_after_the_other_share_a_connection():
    async with connected() as (server, url, door):
        for _ in range(5):
            await ask(door, url)
        assert server.made == 1


async def test_requests_at_once_have_one_each_and_leave_them_to_the_next():
    async with connected() as (server, url, door):
        await ask_at_once(door, url, server, 20)
        await ask_at_once(door, url, server, 20)
        assert server.made == 20


async def test_another_place_has_connections_of_its_own():
    async with connected() as (server, url, door), serving() as (other, other_url):
        for _ in range(3):
            await ask(door, url)
            await ask(door, other_url)
        assert (server.made, other.made) == (1, 1)


async def test_what_idled_too_long_is_closed_when_something_is_sent(monkeypatch):
    monkeypatch.setattr(transport, "KEEPALIVE_SECONDS", 0.0)
    async with connected() as (server, url, door):
        await ask_at_once(door, url, server, 5)
        await anyio.sleep(0.01)
        await ask(door, url)
        await until(lambda: len(server.open) == 1)


async def test_connection_is_not_used_again_when_the_server_may_close_it(monkeypatch):
    """Livepeer's server closes connections that idle for 5 s."""
    async with connected() as (server, url, door):
        await ask(door, url)
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + SERVER_KEEPALIVE - 0.5)
        await ask(door, url)
        assert server.made == 2


async def test_a_request_that_is_cancelled_leaves_no_connection_behind():
    async with connected() as (server, url, door):
        server.hold.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, door, url)
            await until(lambda: server.waiting)
            tasks.cancel_scope.cancel()
        await until(lambda: not server.open)
        server.hold.set()
        await ask(door, url)
        assert server.made == 2


async def test_an_answer_that_is_read_in_pieces_keeps_its_connection_to_itself():
    async with connected() as (server, url, door):
        async with door.stream(Request(method="GET", url=url)) as answer:
            await ask(door, url)
            assert [piece async for piece in answer.body] == [b"ok"]
        assert server.made == 2
        await ask(door, url)
        assert server.made == 2


async def test_closing_ends_what_is_out_and_what_is_free():
    async with connected() as (server, url, door):
        await ask_at_once(door, url, server, 3)
        server.hold.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_the_end, door, url)
            await until(lambda: server.waiting)
            await door.aclose()
        await until(lambda: not server.open)


async def expect_the_end(door, url):
    with pytest.raises((errors.NetworkError, errors.ConfigurationError)):
        await ask(door, url)


class Client:
    """Stands for a client of the library, which is only handed about."""

    def __init__(self):
        self.is_closed = False

    async def aclose(self):
        self.is_closed = True


async def test_closing_that_is_interrupted_again_and_again_forgets_no_connection(monkeypatch):
    """By asyncio's own cancellation, which passes any shield."""
    monkeypatch.setattr(transport, "KEEPALIVE_SECONDS", 0.0)
    async with connected() as (server, url, door):
        await ask_at_once(door, url, server, 10)
        await anyio.sleep(0.01)
        for slot_queue in range(1, 30):
            asking = asyncio.create_task(ask(door, url))
            for _ in range(slot_queue):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
        for slot_queue in range(1, 30):
            closing = asyncio.create_task(door.aclose())
            for _ in range(slot_queue):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait({closing})
        await until(lambda: not server.open)


STEPS = st.tuples(st.sampled_from(["lend", "end", "fail"]), st.sampled_from("ab"), st.integers(0))


@given(steps=st.lists(STEPS, max_size=40))
async def test_a_client_is_with_one_request_at_a_time_and_always_for_one_place(steps):
    made, lent, origins = [], [], {}
    lanes = ClientPool(lambda _: made.append(Client()) or made[-1], keepalive=60)
    for step, origin, number in steps:
        if step == "lend":
            lending = lanes.acquire(origin)
            client = await lending.__aenter__()
            assert not client.is_closed
            assert client not in [other for _, other in lent]
            assert origins.setdefault(client, origin) == origin
            lent.append((lending, client))
        elif lent:
            lending, client = lent.pop(number % len(lent))
            error = ValueError() if step == "fail" else None
            assert not await lending.__aexit__(error and ValueError, error, None) or error
            assert client.is_closed is (step == "fail")
    await lanes.aclose()
    assert all(client.is_closed for client in made)
    for lending, _ in lent:
        await lending.__aexit__(None, None, None)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_uploads_stay_below_the_connections_of_a_client_that_was_handed_in(library):
    most = {}
    for connections in (1, 2, 5, 100, None):
        limits = library.Limits(max_connections=connections)
        async with library.AsyncClient(limits=limits) as http_client:
            livepeer = AsyncLivepeer("key", http_client=http_client)
            livepeer.throttle.concurrency = 1000
            most[connections] = livepeer.throttle.slots
            await livepeer.aclose()
    assert most == {1: 1, 2: 1, 5: 3, 100: 98, None: 1000}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_many_uploads_through_a_small_pool_meet_no_setback(library):
    told = []
    limits = library.Limits(max_connections=3)
    async with library.AsyncClient(limits=limits) as http_client:
        options = {"http_client": http_client, "timeout": Timeouts(connect=60)}
        async with sandbox_and_client(client=options) as (_, livepeer):
            videos = [make_bytes(2 * PART, seed=number) for number in range(12)]
            jobs = [UploadJob(video, f"{number}") for number, video in enumerate(videos)]
            many = livepeer.upload_many(jobs, on_progress=lambda _, it: told.append(it.retry))
            async with many as results:
                assert [result.error async for result in results] == [None] * 12
    assert set(told) == {None}
