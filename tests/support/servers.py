"""TCP and HTTP servers on real sockets that send exactly what a test specifies."""

import asyncio
import inspect
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from livepeer_async.http.messages import Request
from livepeer_async.http.transport import Transport
from support.clock import until
from support.constants import LONG_TIMEOUTS, VERY_LONG

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: a\r\n\r\nok"
# Iterations of the loop between accepting a connection and the start of its handler.
ACCEPTING_STEPS = 5
MAX_CONNECTION_SECONDS = 100.0


class FullyReadError(Exception):
    """A client has read to its end a response that is too long to be read."""


@asynccontextmanager
async def listen(handler, *, sock=None, **options):
    """Call `handler(reader, writer)` for each connection; yield the port.

    No connection outlives the block. A handler may end by any error of its connection.
    """
    handlers = set()

    async def handle(reader, writer):
        handlers.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            handlers.discard(asyncio.current_task())

    address = {"host": "127.0.0.1", "port": 0} if sock is None else {"sock": sock}
    server = await asyncio.start_server(handle, **address, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await _stop_accepting(server)
        server.close()
        for task in handlers:
            task.cancel()
        await until(lambda: not handlers)


async def _stop_accepting(server):
    """Accept no more connections, and let the handlers of accepted ones begin.

    A server that is closed in between refuses its own connection, which then stays open
    (CPython 3.11, `Server._attach`); so does that of a task cancelled before it has begun.
    """
    for sock in server.sockets:
        asyncio.get_running_loop().remove_reader(sock.fileno())
    for _ in range(ACCEPTING_STEPS):
        await asyncio.sleep(0)


# Raw servers: one request for each connection.


@asynccontextmanager
async def serve_raw(respond):
    """Call `respond(reader, writer)` after each request head; yield the URL and the heads."""
    heads = []

    async def handle(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await respond(reader, writer)
        await writer.drain()

    async with listen(handle) as port:
        yield f"http://127.0.0.1:{port}", heads


def respond_with(raw):
    async def respond(reader, writer):
        writer.write(raw)

    return respond


async def hang(reader, writer):
    await asyncio.sleep(VERY_LONG)


async def disconnect(reader, writer):
    writer.transport.abort()


async def drip_headers(reader, writer):
    """Send header lines at a low rate, without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        writer.write(f"X-{number}: x\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)


async def exchange(respond, request=None, body=None, *, timeouts=LONG_TIMEOUTS, **options):
    """Send a request to a raw server; return the response, and the heads that arrived."""
    async with serve_raw(respond) as (url, heads), Transport(timeouts=timeouts, **options) as it:
        request = request or Request(method="GET", url=url)
        sent = Request(
            method=request.method,
            url=url + "/x?token=eyJsecret.abc",
            headers=request.headers,
            content=request.content,
        )
        return await it.send(sent, blocks=body), heads


# HTTP servers: a response for each request.


class ReceivedRequest(Struct, frozen=True):
    """A request as it arrived."""

    method: str
    target: str
    head: bytes
    body: bytes


class HttpServer:
    """Answers each request with the response that `choose(request)` returns.

    A response is bytes, or a coroutine function that takes the writer.

    Attributes:
        requests: Those that arrived, oldest first.
        connections: The number of connections accepted.
        fully_read: The number of endless responses that a client has read to their end.
    """

    def __init__(self, choose):
        self._choose = choose
        self.requests = []
        self.connections = 0
        self.fully_read = 0
        self.origin = ""

    async def handle(self, reader, writer):
        self.connections += 1
        try:
            async with asyncio.timeout(MAX_CONNECTION_SECONDS):
                while request := await read_request(reader):
                    self.requests.append(request)
                    response = self._choose(request)
                    if callable(response):
                        await response(writer)
                    else:
                        writer.write(response)
                    await writer.drain()
        except FullyReadError:
            self.fully_read += 1
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return ReceivedRequest(method, target, head, await reader.readexactly(length))


@asynccontextmanager
async def serve_http(responses):
    """Run an `HttpServer`.

    Args:
        responses: One response for all requests, a dict from method to response with `"*"` for the
            other methods, or a function from request to response.
    """
    if isinstance(responses, dict):
        server = HttpServer(lambda request: responses.get(request.method, responses.get("*")))
    elif isinstance(responses, bytes) or inspect.iscoroutinefunction(responses):
        server = HttpServer(lambda _: responses)
    else:
        server = HttpServer(responses)
    async with listen(server.handle, limit=2**20) as port:
        server.origin = f"http://127.0.0.1:{port}"
        yield server


@asynccontextmanager
async def serve_unreached():
    """Run a server that no connection may reach."""
    async with serve_http(http_response(b"{}")) as server:
        yield server
        await anyio.sleep(0.02)
    assert server.connections == 0


def http_response(body=b"", *lines, status="200 OK"):
    """Build a response with these header lines."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body
