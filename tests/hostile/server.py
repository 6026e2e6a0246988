"""A server that means ill: raw bytes on a socket, and a second one where nobody may be led to."""

import asyncio
import inspect
import ssl
from contextlib import asynccontextmanager

import anyio
import httpx
from msgspec import Struct

from hostile.endless import HeardOutError
from listening import listening
from livepeer_async import AsyncLivepeer, Timeouts
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import ServerLimits, TusClient

# Made once: it takes longer than most of these tests.
TLS = ssl.create_default_context()
KEY = "key-that-stays-here"
# For answers that never come, or never end.
QUICK = Timeouts(connect=0.3, stall=0.2, answer=0.2, chunk_response=0.2)
# For answers that come, however busy the machine is.
PATIENT = Timeouts(connect=30, stall=30, answer=30)
# A call that takes longer doesn't end; those that are right take a second.
LONGEST = 25.0
ONCE = RetryPolicy(attempts=0)
LONGEST_TALK = 100.0


class Asked(Struct, frozen=True):
    """A request as it came."""

    method: str
    target: str
    head: bytes
    body: bytes


class Hostile:
    """Answers each request with what `choose` gives for it.

    An answer is bytes, or a coroutine function that is handed the writer.

    Attributes:
        asked: the requests, oldest first.
        connections: how many were made.
        heard_out: of the answers that shall not be heard to their ends, how many were.
    """

    def __init__(self, choose):
        self._choose = choose
        self.asked = []
        self.connections = 0
        self.heard_out = 0
        self.origin = ""

    async def talk(self, reader, writer):
        self.connections += 1
        try:
            async with asyncio.timeout(LONGEST_TALK):
                while asked := await read_request(reader):
                    self.asked.append(asked)
                    chosen = self._choose(asked)
                    if callable(chosen):
                        await chosen(writer)
                    else:
                        writer.write(chosen)
                    await writer.drain()
        except HeardOutError:
            self.heard_out += 1
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
    return Asked(method, target, head, await reader.readexactly(length))


@asynccontextmanager
async def hostile(answers):
    """Serve: one answer for all, a dict of answers by method ("*" for any), or a function."""
    if isinstance(answers, dict):
        serving = Hostile(lambda asked: answers.get(asked.method, answers.get("*")))
    elif isinstance(answers, bytes) or inspect.iscoroutinefunction(answers):
        serving = Hostile(lambda _: answers)
    else:
        serving = Hostile(answers)
    async with listening(serving.talk, limit=2**20) as port:
        serving.origin = f"http://127.0.0.1:{port}"
        yield serving


@asynccontextmanager
async def elsewhere():
    """Listen where no request may arrive, and make sure that none did."""
    async with hostile(answer(b"{}")) as server:
        yield server
        await anyio.sleep(0.02)
    assert server.connections == 0


@asynccontextmanager
async def api_client(server, **options):
    """Make a client of the API that asks once."""
    options = {"timeout": PATIENT, "retry": ONCE, **options}
    async with (
        httpx.AsyncClient(verify=TLS) as http_client,
        AsyncLivepeer(
            KEY, base_url=f"{server.origin}/api", http_client=http_client, **options
        ) as livepeer,
    ):
        yield livepeer


@asynccontextmanager
async def tus_client(**options):
    """Make a client of tus that asks once."""
    options = {"timeouts": PATIENT, "retry": ONCE, "limits": ServerLimits(), **options}
    async with (
        httpx.AsyncClient(verify=TLS) as http_client,
        TusClient(http_client=http_client, **options) as tus,
    ):
        yield tus


def answer(body=b"", *lines, status="200 OK"):
    """Make a well-formed answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body
