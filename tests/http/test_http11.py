"""The client's own connections: TLS, bodies sent by threads, cancellation and addresses."""

import asyncio
import hashlib
import socket
import ssl
import threading
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, nullcontext

import anyio
import httpx
import pytest
import trustme

from livepeer_async import Timeouts, errors
from livepeer_async.concurrency import plain_task_group
from livepeer_async.http.connecting import connect
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.http11 import Http11Client
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.streams import Outgoing
from livepeer_async.http.transport import Transport
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.scheduling.throttled_transport import ThrottledTransport
from livepeer_async.sources.blocks import Digest, read_ahead
from livepeer_async.sources.files import open_path
from livepeer_async.sources.source import BytesSource, Source, ThreadReader
from support.clock import until
from support.constants import LONG_TIMEOUTS, MIB, TIMEOUT, VERY_LONG
from support.sandbox import make_bytes
from support.servers import OK, listen, respond_with, serve_http, serve_raw

pytestmark = pytest.mark.anyio
BODY = make_bytes(6 * MIB + 123)
# More than all buffers between client and server have room for.
LONG = 64 * MIB
RATE = 4 * MIB


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(params=["plain", "TLS"])
def tls(request, authority, clean_env, tmp_path):
    """The TLS context of a server that the client trusts; `None` for a plain one."""
    if request.param == "plain":
        return None
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    clean_env.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@asynccontextmanager
async def serve(tls, answer):
    """Call `answer(reader, writer)` after the head of each request; yield the URL."""

    async def handle(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            await answer(reader, writer)
            await writer.drain()

    async with listen(handle, ssl=tls) as port:
        yield f"http{'s' if tls else ''}://localhost:{port}/"


class BlockingSource(Source):
    """A source whose reads wait until `is_readable` is set."""

    def __init__(self, length):
        super().__init__("slow", length)
        self.is_readable = threading.Event()
        self.is_waiting = threading.Event()

    def thread_reader(self):
        return ThreadReader(self.read, lambda: None)

    def read(self, position, size):
        self.is_waiting.set()
        assert self.is_readable.wait(TIMEOUT)
        return memoryview(bytes(size))


class OneBlock:
    """A body of one block for a worker thread, no part of which is sent once `has_ended` is set."""

    def __init__(self):
        self.has_ended = threading.Event()
        self._block = memoryview(bytes(LONG))

    def in_thread(self):
        return self

    def __aiter__(self):
        return self

    async def __anext__(self):
        raise AssertionError("a worker thread reads it")

    def read(self, size):
        block, self._block = self._block, memoryview(b"")
        return block

    def check(self):
        if self.has_ended.is_set():
            raise errors.ConnectionBroken("stopped")

    def record_sent(self, count):
        pass

    def record_end(self):
        pass


def patch(url, size):
    return Request(method="PATCH", url=url, content=Span(0, size))


async def send_source(transport, url, source, **options):
    """Send a source, whose bytes a worker thread reads."""
    request = patch(url, source.length)
    async with read_ahead(source, request.span, **options) as reader:
        return await transport.send(request, blocks=reader)


@pytest.mark.parametrize("in_thread", [True, False])
async def test_bytes_arrive_and_the_connection_is_reused(tls, in_thread, tmp_path):
    received, connections = [], set()

    async def answer(reader, writer):
        connections.add(writer)
        body = await reader.readexactly(len(BODY))
        received.append(hashlib.sha256(body).digest())
        writer.write(OK)

    async def blocks():
        for start in range(0, len(BODY), MIB):
            yield memoryview(BODY)[start : start + MIB]

    path = tmp_path / "clip.mp4"
    path.write_bytes(BODY)
    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        for _ in range(2):
            if in_thread:
                async with AsyncExitStack() as stack:
                    source = await open_path(str(path), stack, Descriptors())
                    await send_source(transport, url, source)
            else:
                await transport.send(patch(url, len(BODY)), blocks=blocks())
    assert received == [hashlib.sha256(BODY).digest()] * 2
    assert len(connections) == 1


async def test_digest_is_computed_from_the_bytes_sent(tls):
    async def answer(reader, writer):
        await reader.readexactly(len(BODY))
        writer.write(OK)

    digest, source = Digest(), BytesSource(memoryview(BODY), "clip")
    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        await send_source(transport, url, source, digest=digest)
    assert await digest.finish(source) == hashlib.sha256(BODY).hexdigest()


async def test_progress_is_reported_while_a_thread_sends(tls):
    middle, sent = len(BODY) // 2, []
    is_reported = asyncio.Event()

    def on_sent(count):
        sent.append(count)
        is_reported.set()

    async def answer(reader, writer):
        await reader.readexactly(middle)
        await is_reported.wait()
        await reader.readexactly(len(BODY) - middle)
        writer.write(OK)

    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        source = BytesSource(memoryview(BODY), "clip")
        await send_source(transport, url, source, on_sent=on_sent)
    assert sent == sorted(set(sent))
    assert sent[-1] == len(BODY)


async def stall(reader, writer):
    await asyncio.sleep(VERY_LONG)


async def test_rest_of_a_block_is_not_sent_once_its_check_fails(tls):
    received = []

    async def answer(reader, writer):
        await reader.readexactly(MIB)
        body.has_ended.set()
        try:
            while block := await reader.read(MIB):
                received.append(len(block))
        except OSError:
            pass

    body = OneBlock()
    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        with pytest.raises(errors.ConnectionBroken, match="stopped"):
            await transport.send(patch(url, LONG), blocks=body)
    assert MIB + sum(received) < LONG


async def test_error_of_a_progress_report_ends_the_request(tls):
    def on_sent(count):
        raise errors.SourceTooLarge("too slow", source="clip", length=1, limit=1)

    source = BytesSource(memoryview(bytes(LONG)), "clip")
    async with serve(tls, stall) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        with pytest.raises(errors.SourceTooLarge):
            await send_source(transport, url, source, on_sent=on_sent)


@pytest.mark.parametrize("in_thread", [True, False])
async def test_silent_server_times_out(tls, in_thread):
    async def blocks():
        while True:
            yield memoryview(BODY)

    source = BytesSource(memoryview(bytes(LONG)), "clip")
    async with serve(tls, stall) as url, Transport(timeouts=Timeouts(stall=0.3)) as transport:
        # Without the exception of a socket that is full.
        with pytest.raises(errors.TimedOut, match=r"no progress for 0.3 s \(PATCH [^ ]*\) \["):
            if in_thread:
                await send_source(transport, url, source)
            else:
                await transport.send(patch(url, LONG), blocks=blocks())


@pytest.mark.parametrize("ends_by", ["cancellation", "closing"])
@pytest.mark.parametrize("waits_for", ["socket", "source"])
async def test_unfinished_body_resets_the_connection(tls, ends_by, waits_for):
    """After a FIN, the server would take the buffered rest for bytes of the upload."""
    ends = []

    async def answer(reader, writer):
        is_sending.set()
        await is_over.wait()
        try:
            while await reader.read(MIB):
                pass
        except OSError as error:
            ends.append(error)

    is_sending, is_over = anyio.Event(), anyio.Event()
    source = BlockingSource(LONG)
    if waits_for == "socket":
        source.is_readable.set()
    try:
        async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
            with pytest.raises(errors.ClientClosed) if ends_by == "closing" else nullcontext():
                async with plain_task_group() as tasks:
                    tasks.start_soon(send_source, transport, url, source)
                    await is_sending.wait()
                    await until(source.is_waiting.is_set)
                    if ends_by == "closing":
                        await transport.aclose()
                    else:
                        tasks.cancel_scope.cancel()
            is_over.set()
            await until(lambda: ends)
    finally:
        source.is_readable.set()


async def test_rate_limit_applies_to_a_thread(tls):
    """The limit is set while the thread sends."""

    async def answer(reader, writer):
        await reader.readexactly(MIB)
        throttle.max_rate = RATE
        await reader.readexactly(2 * MIB)
        writer.write(OK)

    throttle = Throttle()
    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        source = BlockingSource(3 * MIB)
        source.is_readable.set()
        throttle.max_rate = 16 * MIB
        began = time.monotonic()
        response = await send_source(ThrottledTransport(transport, throttle), url, source)
    assert response.status == 200
    assert time.monotonic() - began > 0.5 * MIB / RATE


@pytest.fixture
def busy_address():
    """An address whose queue of new connections is full, so that connecting to it hangs."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(server.getsockname())
        yield server.getsockname()


async def test_next_address_is_tried_beside_one_that_hangs(busy_address, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        addresses = [busy_address, server.getsockname()]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", it) for it in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        sock = await connect("example.test", 80)
        with sock:
            assert sock.getpeername() == server.getsockname()


async def test_first_error_of_all_addresses_is_raised(monkeypatch):
    addresses = [("127.0.0.1", 9), ("127.0.0.2", 9)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", it) for it in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ConnectionRefusedError):
        await connect("example.test", 80)


async def test_userinfo_becomes_credentials():
    async def answer(reader, writer):
        writer.write(OK)

    async with serve_http(OK) as server, Transport(timeouts=LONG_TIMEOUTS) as transport:
        url = server.origin.replace("://", "://user:p%40ss@")
        await transport.send(Request(method="GET", url=url))
    assert b"Authorization: Basic dXNlcjpwQHNz\r\n" in server.requests[0].head


async def test_connection_that_the_server_closed_is_not_used_again():
    async with (
        serve_raw(respond_with(OK)) as (url, heads),
        Transport(timeouts=LONG_TIMEOUTS) as transport,
    ):
        for _ in range(3):
            assert (await transport.send(Request(method="GET", url=url))).status == 200
    assert len(heads) == 3


@pytest.mark.parametrize("head", [b"200 OK\r\nContent-Length: 2", b"204 No Content"])
async def test_bytes_after_a_response_are_not_the_next_one(tls, head):
    body = b"ok" if head.startswith(b"200") else b""
    raw = b"HTTP/1.1 " + head + b"\r\n\r\n" + body

    async def answer(reader, writer):
        writer.write(raw + b"HTTP/1.1 500 Other\r\nContent-Length: 5\r\n\r\nother")

    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        for _ in range(3):
            response = await transport.send(Request(method="GET", url=url))
            assert (response.status, bytes(response.body)) == (int(head[:3]), body)


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 4"])
async def test_end_of_the_connection_ends_the_request(tls, sent, in_thread):
    async def answer(reader, writer):
        writer.write(sent)
        # Over TLS, it sends a message and waits for that of the client before it closes the socket.
        writer.close()
        await anyio.sleep(VERY_LONG)

    async def blocks():
        while True:
            yield memoryview(BODY)

    source = BytesSource(memoryview(bytes(LONG)), "clip")
    async with serve(tls, answer) as url, Transport(timeouts=LONG_TIMEOUTS) as transport:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.ConnectionBroken):
            if in_thread:
                await send_source(transport, url, source)
            else:
                await transport.send(patch(url, LONG), blocks=blocks())


async def test_client_closed_while_it_connects_sends_nothing():
    limits = dict.fromkeys(("connect", "read", "write"), TIMEOUT)
    async with serve_raw(respond_with(OK)) as (url, heads):
        outgoing = Outgoing(Request(method="GET", url=url), "1", limits)
        client = Http11Client(
            httpx, ssl.create_default_context, keepalive=1.0, on_connect=lambda _: client.close()
        )
        async with client.prepare(outgoing) as send:
            with pytest.raises(RuntimeError, match="closed"):
                await send()
    assert heads == []


async def test_slow_handshake_times_out_as_a_whole():
    async def drip(reader, writer):
        writer.write(b"\x16\x03\x03\x40\x00")
        while True:
            writer.write(b"\x00")
            await writer.drain()
            await asyncio.sleep(0.05)

    timeouts = Timeouts(connect=0.3, stall=TIMEOUT)
    async with listen(drip) as port, Transport(timeouts=timeouts) as transport:
        with anyio.fail_after(TIMEOUT / 2), pytest.raises(errors.ConnectFailed, match="in time"):
            await transport.send(Request(method="GET", url=f"https://localhost:{port}/"))
