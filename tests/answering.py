"""A server that says what a test wants, byte by byte, and a transport that asks it."""

import asyncio
from contextlib import asynccontextmanager

from listening import listening
from livepeer_async.http.messages import Request
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport

# For answers that come, however busy the machine is, and for those that never come or never end.
PATIENT = Timeouts(connect=30, stall=30, answer=30)
QUICK = Timeouts(connect=2, stall=0.4, answer=0.8, chunk_response=0.4)
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


async def hang(reader, writer):
    await asyncio.sleep(1000)


async def cut(reader, writer):
    writer.transport.abort()


async def drip(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        writer.write(f"X-{number}: x\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)
