"""Reuse and closing of pooled connections."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import AsyncLivepeer, UploadJob, errors
from livepeer_async.http import transport as transport_module
from livepeer_async.http.client_pool import ClientPool
from livepeer_async.http.messages import Request
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from support.clock import until
from support.constants import LONG_TIMEOUTS
from support.libraries import LIBRARIES
from support.sandbox import PART, make_bytes, sandbox_and_client
from support.servers import listen

pytestmark = pytest.mark.anyio
SERVER_KEEPALIVE = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A server that keeps connections alive; clearing `hold` delays its responses."""

    def __init__(self):
        self.accepted = 0
        self.waiting = 0
        self.open = set()
        self.hold = asyncio.Event()
        self.hold.set()

    async def serve(self, reader, writer):
        self.accepted += 1
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
async def running_server():
    server = Server()
    async with listen(server.serve) as port:
        yield server, f"http://127.0.0.1:{port}"


@asynccontextmanager
async def server_and_transport():
    async with running_server() as (server, url), Transport(timeouts=LONG_TIMEOUTS) as transport:
        yield server, url, transport


async def send(transport, url):
    response = await transport.send(Request(method="GET", url=f"{url}/x"))
    assert response.body == b"ok"


async def send_concurrently(transport, url, server, count):
    server.hold.clear()
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(send, transport, url)
        await until(lambda: server.waiting == count)
        server.hold.set()


async def test_sequential_requests_share_a_connection():
    async with server_and_transport() as (server, url, transport):
        for _ in range(5):
            await send(transport, url)
        assert server.accepted == 1


async def test_concurrent_requests_have_reusable_connections():
    async with server_and_transport() as (server, url, transport):
        await send_concurrently(transport, url, server, 20)
        await send_concurrently(transport, url, server, 20)
        assert server.accepted == 20


async def test_each_origin_has_its_own_connections():
    async with (
        server_and_transport() as (server, url, transport),
        running_server() as (other, other_url),
    ):
        for _ in range(3):
            await send(transport, url)
            await send(transport, other_url)
        assert (server.accepted, other.accepted) == (1, 1)


async def test_expired_connections_are_closed_by_the_next_request(monkeypatch):
    monkeypatch.setattr(transport_module, "KEEPALIVE_SECONDS", 0.0)
    async with server_and_transport() as (server, url, transport):
        await send_concurrently(transport, url, server, 5)
        await anyio.sleep(0.01)
        await send(transport, url)
        await until(lambda: len(server.open) == 1)


async def test_connection_is_not_reused_shortly_before_server_closes(monkeypatch):
    """Livepeer's server closes connections that idle for 5 s."""
    async with server_and_transport() as (server, url, transport):
        await send(transport, url)
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + SERVER_KEEPALIVE - 0.5)
        await send(transport, url)
        assert server.accepted == 2


async def test_cancelled_request_closes_its_connection():
    async with server_and_transport() as (server, url, transport):
        server.hold.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, transport, url)
            await until(lambda: server.waiting)
            tasks.cancel_scope.cancel()
        await until(lambda: not server.open)
        server.hold.set()
        await send(transport, url)
        assert server.accepted == 2


async def test_streamed_response_occupies_its_connection():
    async with server_and_transport() as (server, url, transport):
        async with transport.stream(Request(method="GET", url=url)) as streamed:
            await send(transport, url)
            assert [block async for block in streamed.body] == [b"ok"]
        assert server.accepted == 2
        await send(transport, url)
        assert server.accepted == 2


async def test_closing_ends_used_and_idle_connections():
    async with server_and_transport() as (server, url, transport):
        await send_concurrently(transport, url, server, 3)
        server.hold.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_failure, transport, url)
            await until(lambda: server.waiting)
            await transport.aclose()
        await until(lambda: not server.open)


async def expect_failure(transport, url):
    with pytest.raises((errors.NetworkError, errors.ConfigurationError)):
        await send(transport, url)


class FakeClient:
    """A client that can only be closed."""

    def __init__(self):
        self.is_closed = False

    async def aclose(self):
        self.is_closed = True


async def test_interrupted_close_leaves_no_open_connection(monkeypatch):
    """Asyncio's own cancellation passes any shield."""
    monkeypatch.setattr(transport_module, "KEEPALIVE_SECONDS", 0.0)
    async with server_and_transport() as (server, url, transport):
        await send_concurrently(transport, url, server, 10)
        await anyio.sleep(0.01)
        for cycles in range(1, 30):
            sending = asyncio.create_task(send(transport, url))
            for _ in range(cycles):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
        for cycles in range(1, 30):
            closing = asyncio.create_task(transport.aclose())
            for _ in range(cycles):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait({closing})
        await until(lambda: not server.open)


STEPS = st.tuples(
    st.sampled_from(["acquire", "release", "fail"]), st.sampled_from("ab"), st.integers(0)
)


@given(steps=st.lists(STEPS, max_size=40))
async def test_client_serves_one_request_and_one_origin(steps):
    created, acquired, origins = [], [], {}
    pool = ClientPool(lambda _: created.append(FakeClient()) or created[-1], keepalive=60)
    for step, origin, number in steps:
        if step == "acquire":
            context = pool.acquire(origin)
            client = await context.__aenter__()
            assert not client.is_closed
            assert client not in [other for _, other in acquired]
            assert origins.setdefault(client, origin) == origin
            acquired.append((context, client))
        elif acquired:
            context, client = acquired.pop(number % len(acquired))
            error = ValueError() if step == "fail" else None
            assert not await context.__aexit__(error and ValueError, error, None) or error
            assert client.is_closed is (step == "fail")
    await pool.aclose()
    assert all(client.is_closed for client in created)
    for context, _ in acquired:
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_uploads_stay_below_the_connection_limit(library):
    slots = {}
    for connections in (1, 2, 5, 100, None):
        limits = library.Limits(max_connections=connections)
        async with library.AsyncClient(limits=limits) as http_client:
            livepeer = AsyncLivepeer("key", http_client=http_client)
            livepeer.throttle.concurrency = 1000
            slots[connections] = livepeer.throttle.slots
            await livepeer.aclose()
    assert slots == {1: 1, 2: 1, 5: 3, 100: 98, None: 1000}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_uploads_through_a_small_pool_need_no_retry(library):
    retries = []
    limits = library.Limits(max_connections=3)
    async with library.AsyncClient(limits=limits) as http_client:
        options = {"http_client": http_client, "timeout": Timeouts(connect=60)}
        async with sandbox_and_client(client=options) as (_, livepeer):
            videos = [make_bytes(2 * PART, seed=number) for number in range(12)]
            jobs = [UploadJob(video, f"{number}") for number, video in enumerate(videos)]
            many = livepeer.upload_many(jobs, on_progress=lambda _, it: retries.append(it.retry))
            async with many as results:
                assert [result.error async for result in results] == [None] * 12
    assert set(retries) == {None}
