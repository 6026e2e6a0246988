"""An HTTP server for one file, with ranges and broken responses, and downloads from it."""

import random
import re
from contextlib import asynccontextmanager
from functools import partial

import anyio

from livepeer_async import RetryPolicy
from livepeer_async.concurrency import Clock
from livepeer_async.http.transport import Transport
from livepeer_async.sources.download import Downloader
from support.constants import LONG_TIMEOUTS, VERY_LONG
from support.servers import http_response, serve_http

FILE = random.Random(7).randbytes(1_500_000)
DATE = "Date: Fri, 18 Nov 1994 08:12:31 GMT"
TAG = 'ETag: "v1"'
THREE_ATTEMPTS = RetryPolicy(attempts=3, first_delay=0.01)
BLOCK = 50_000
GONE = "404 Not Found"


class Origin:
    """Answers each request with the file, or with the part that the request asks for.

    Args:
        content: The file.
        validators: Header lines that identify its version.
        cuts: For responses in order, the byte after which each breaks off; None for none.
        first: Responses to send before the file.
        has_ranges: Whether a part can be asked for.
        is_chunked: Whether responses are chunked, without a length.
        stalls: Whether a response stalls instead of breaking off.
        change: Attributes to set after a break, by name.

    Attributes:
        ranges: The start of each request's range; None for none.
    """

    def __init__(self, content=FILE, *, validators=(TAG,), cuts=(), first=(), **options):
        self.content = content
        self.validators = validators
        self.cuts = list(cuts)
        self.first = list(first)
        self.has_ranges = options.pop("has_ranges", True)
        self.is_chunked = options.pop("is_chunked", False)
        self.stalls = options.pop("stalls", False)
        self.change = options.pop("change", {})
        assert not options
        self.ranges = []

    def __call__(self, request):
        head = request.head.decode()
        wanted = re.search(r"(?im)^range: bytes=(\d+)-\r$", head)
        self.ranges.append(int(wanted[1]) if wanted else None)
        if self.first:
            return self.first.pop(0)
        condition = re.search(r"(?im)^if-range: (.*)\r$", head)
        is_same = condition and any(line.endswith(condition[1]) for line in self.validators)
        start = self.ranges[-1] if self.has_ranges and is_same else 0
        if start and start >= len(self.content):
            return http_response(
                b"", f"Content-Range: bytes */{len(self.content)}", status="416 No"
            )
        return partial(self.send, start, self.cuts.pop(0) if self.cuts else None)

    async def send(self, start, cut, writer):
        writer.transport.set_write_buffer_limits(0)  # for exact cuts
        writer.write(self.head(start))
        sent = self.content[start:] if cut is None else self.content[start:][:cut]
        is_chunked = self.is_chunked
        for at in range(0, len(sent), BLOCK):
            block = sent[at : at + BLOCK]
            writer.write(b"%x\r\n%b\r\n" % (len(block), block) if is_chunked else block)
            await writer.drain()
        if cut is None:
            writer.write(b"0\r\n\r\n" if is_chunked else b"")
            return
        for name, value in self.change.items():
            setattr(self, name, value)
        if self.stalls:
            await wait_closed(writer)
        raise ConnectionAbortedError

    def head(self, start):
        end = len(self.content)
        lines = ["HTTP/1.1 200 OK", *self.validators, DATE]
        if start:
            lines[0] = "HTTP/1.1 206 Partial Content"
            lines.append(f"Content-Range: bytes {start}-{end - 1}/{end}")
        framing = (
            "Transfer-Encoding: chunked" if self.is_chunked else f"Content-Length: {end - start}"
        )
        return "\r\n".join([*lines, framing, "", ""]).encode()


async def wait_closed(writer):
    """Wait until the client closes the connection."""
    with anyio.move_on_after(VERY_LONG):
        while not writer.transport.is_closing():  # noqa: ASYNC110 - it has no event
            await anyio.sleep(0.02)


@asynccontextmanager
async def open_downloads(
    *, http_client=None, timeouts=LONG_TIMEOUTS, retry=THREE_ATTEMPTS, sleep=anyio.sleep
):
    async with Transport(http_client=http_client, timeouts=timeouts) as transport:
        yield Downloader(transport, retry=retry, clock=Clock(sleep=sleep, random=lambda: 1.0))


@asynccontextmanager
async def open_download(origin, path="/talk.mp4", **options):
    async with (
        serve_http(origin) as server,
        open_downloads(**options) as downloader,
        downloader.open(server.origin + path) as download,
    ):
        yield download


async def fetch(origin, path="/talk.mp4", **options):
    """Download the file, in blocks of at most 256 KiB."""
    async with open_download(origin, path, **options) as download:
        blocks = [block async for block in download.blocks]
    assert all(0 < len(block) <= 256 * 1024 for block in blocks)
    return b"".join(blocks)
