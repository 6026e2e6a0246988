"""An origin that serves a file over a bad link, and downloads from it."""

import random
import re
from contextlib import asynccontextmanager
from functools import partial

import anyio

from hostile.server import answer, hostile
from livepeer_async import RetryPolicy, Timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.sources.download import Downloader

FILE = random.Random(7).randbytes(1_500_000)
DATE = "Date: Fri, 18 Nov 1994 08:12:31 GMT"
TAG = 'ETag: "v1"'
# Of one who must not be waited for, and of one who is waited for however busy the machine is.
FOR_EVER = 1000.0
LIMIT = 30.0
PATIENT = Timeouts(connect=30, stall=30, answer=30)
EAGER = RetryPolicy(attempts=3, first_delay=0.01)
BLOCK = 50_000
GONE = "404 Not Found"


class Origin:
    """Serves a file to all who ask.

    Attributes:
        content: the file.
        validators: header lines that tell its version.
        has_ranges: whether a part can be asked for.
        is_chunked: whether it goes out in chunks, without a length.
        cuts: for answers to come, bytes of the file after which each breaks off; None for none.
        stalls: whether an answer stalls where it would break off, until nobody waits for it.
        change: what is different after a break, by the names of these attributes.
        first: answers that are given ahead of the file.
        asked: the values of `Range`, None where it wasn't sent.
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
        self.asked = []

    def __call__(self, asked):
        head = asked.head.decode()
        wanted = re.search(r"(?im)^range: bytes=(\d+)-\r$", head)
        self.asked.append(int(wanted[1]) if wanted else None)
        if self.first:
            return self.first.pop(0)
        condition = re.search(r"(?im)^if-range: (.*)\r$", head)
        is_same = condition and any(line.endswith(condition[1]) for line in self.validators)
        start = self.asked[-1] if self.has_ranges and is_same else 0
        if start and start >= len(self.content):
            return answer(b"", f"Content-Range: bytes */{len(self.content)}", status="416 No")
        return partial(self.send, start, self.cuts.pop(0) if self.cuts else None)

    async def send(self, start, cut, writer):
        writer.transport.set_write_buffer_limits(0)  # so that a cut is where it shall be
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
            await until_left(writer)
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


async def until_left(writer):
    """Say nothing more, until the other side closes the connection."""
    with anyio.move_on_after(FOR_EVER):
        while not writer.transport.is_closing():  # noqa: ASYNC110 - it has no event
            await anyio.sleep(0.02)


@asynccontextmanager
async def downloader(*, http_client=None, timeouts=PATIENT, retry=EAGER, **options):
    async with Transport(http_client=http_client, timeouts=timeouts) as transport:
        options = {"jitter": lambda: 1.0, **options}
        yield Downloader(transport, retry=retry, **options)


@asynccontextmanager
async def opened(origin, path="/talk.mp4", **options):
    async with (
        hostile(origin) as server,
        downloader(**options) as ours,
        ours.open(server.origin + path) as download,
    ):
        yield download


async def fetch(origin, path="/talk.mp4", **options):
    """Read all, and make sure that no piece is large."""
    async with opened(origin, path, **options) as download:
        pieces = [piece async for piece in download.blocks]
    assert all(0 < len(piece) <= 256 * 1024 for piece in pieces)
    return b"".join(pieces)
