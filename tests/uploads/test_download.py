"""Downloads over bad links: bytes equal, whatever the origin and the way to it do."""

import asyncio
import gc
import gzip
import logging
import random
import re
import tempfile
from contextlib import asynccontextmanager
from functools import partial

import anyio
import httpx
import pytest

from cancellation.census import assert_nothing_is_left, no_complaints, take_census
from hostile.server import TLS, answer, elsewhere, hostile
from libraries import LIBRARIES
from livepeer_async import AsyncLivepeer, RetryPolicy, Timeouts, errors
from livepeer_async.sandbox import Sandbox
from livepeer_async.transport import Transport
from livepeer_async.uploads.download import MOST_REDIRECTS, Downloads
from studio import until

pytestmark = pytest.mark.anyio

FILE = random.Random(7).randbytes(1_500_000)
OLD = "Tue, 15 Nov 1994 08:12:31 GMT"
DATE = "Date: Fri, 18 Nov 1994 08:12:31 GMT"
TAG = 'ETag: "v1"'
# Of one who must not be waited for, and of one who is waited for however busy the machine is.
FOR_EVER = 1000.0
LIMIT = 30.0
PATIENT = Timeouts(connect=30, stall=30, answer=30)
QUICK = Timeouts(connect=30, stall=0.3, answer=30)
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
async def downloads(*, http_client=None, timeouts=PATIENT, retry=EAGER, **options):
    async with Transport(http_client=http_client, timeouts=timeouts) as transport:
        options = {"jitter": lambda: 1.0, **options}
        yield Downloads(transport, retry=retry, **options)


@asynccontextmanager
async def opened(origin, path="/talk.mp4", **options):
    async with (
        hostile(origin) as server,
        downloads(**options) as ours,
        ours.open(server.origin + path) as download,
    ):
        yield download


async def fetch(origin, path="/talk.mp4", **options):
    """Read all, and make sure that no piece is large."""
    async with opened(origin, path, **options) as download:
        pieces = [piece async for piece in download.pieces]
    assert all(0 < len(piece) <= 256 * 1024 for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_whole_file_arrives_through_either_library(library):
    origin = Origin()
    async with (
        library.AsyncClient(
            headers={"Authorization": "Bearer ours"}, params={"mine": "1"}, cookies={"c": "1"}
        ) as client,
        hostile(origin) as server,
        downloads(http_client=client) as ours,
        ours.open(f"{server.origin}/a%20b/talk%2B1.mp4?sign=abc") as download,
    ):
        assert (download.name, download.length) == ("talk+1.mp4", len(FILE))
        assert b"".join([piece async for piece in download.pieces]) == FILE
        assert [piece async for piece in download.pieces] == []
    (asked,) = server.asked
    assert asked.target == "/a%20b/talk%2B1.mp4?sign=abc"
    head = asked.head.lower()
    assert b"accept-encoding: identity\r\n" in head
    assert b"authorization" not in head
    assert b"cookie" not in head
    assert b"range" not in head


@pytest.mark.parametrize("path", ["/", "", "/?sign=abc"])
async def test_host_is_the_name_of_a_file_without_one(path):
    async with opened(Origin(), path) as download:
        assert download.name == "127.0.0.1"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_file_survives_three_cuts_at_random(seed, is_chunked):
    cuts = [random.Random(seed).randrange(len(FILE) // 4) for _ in range(3)]
    origin = Origin(cuts=cuts, is_chunked=is_chunked)
    async with opened(origin) as download:
        assert download.length == (None if is_chunked else len(FILE))
        assert b"".join([piece async for piece in download.pieces]) == FILE
    assert origin.asked == [None, *(sum(cuts[: n + 1]) for n in range(3))]


@pytest.mark.parametrize("validators", [(TAG,), (f"Last-Modified: {OLD}",), ('ETag: W/"v1"',), ()])
@pytest.mark.parametrize("has_ranges", [False, True])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_file_survives_cuts_with_any_validator_and_without(
    validators, has_ranges, is_chunked
):
    origin = Origin(
        cuts=[400_000, 700_000], validators=validators, has_ranges=has_ranges, is_chunked=is_chunked
    )
    assert await fetch(origin) == FILE
    is_strong = bool(validators) and "W/" not in validators[0]
    position = 1_100_000 if has_ranges else 700_000
    assert origin.asked == [None, *([400_000, position] if is_strong else [None, None])]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_end_that_is_lost_is_asked_for_once(is_chunked):
    origin = Origin(cuts=[len(FILE)], is_chunked=is_chunked)
    assert await fetch(origin) == FILE
    assert origin.asked == ([None, len(FILE)] if is_chunked else [None])


async def test_end_that_is_lost_is_not_missed_where_the_length_is_known():
    origin = Origin(cuts=[400_000, len(FILE)], change={"is_chunked": True})
    assert await fetch(origin) == FILE
    assert origin.asked == [None, 400_000]


@pytest.mark.parametrize("has_ranges", [False, True])
async def test_file_that_is_replaced_meanwhile_is_a_change(has_ranges):
    other = random.Random(8).randbytes(len(FILE))
    change = {"content": other, "validators": ('ETag: "v2"',)}
    origin = Origin(cuts=[400_000], change=change, has_ranges=has_ranges)
    with pytest.raises(errors.SourceChanged, match="ETag isn't what it was"):
        await fetch(origin)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    ("content", "how"),
    [
        (b"x" + FILE[1:], "begins with other bytes"),
        (FILE[:399_999] + b"x" + FILE[400_000:], "begins with other bytes"),
        (FILE[:300_000], "it has 300000 bytes|shorter"),
    ],
)
async def test_file_without_validator_that_begins_otherwise_is_a_change(content, how, is_chunked):
    origin = Origin(
        cuts=[400_000], change={"content": content}, validators=(), is_chunked=is_chunked
    )
    with pytest.raises(errors.SourceChanged, match=how):
        await fetch(origin)


async def test_file_without_validator_is_that_of_the_last_answer():
    changed = FILE[:400_000] + random.Random(9).randbytes(len(FILE) - 400_000)
    origin = Origin(cuts=[400_000], change={"content": changed}, validators=())
    assert await fetch(origin) == changed


async def test_file_that_is_replaced_before_its_first_byte_is_taken():
    other = random.Random(8).randbytes(len(FILE))
    change = {"content": other, "validators": ('ETag: "v2"',)}
    assert await fetch(Origin(cuts=[0], change=change)) == other


async def test_more_bytes_than_were_announced_are_a_change():
    longer = FILE + b"more"
    origin = Origin(
        cuts=[400_000], change={"is_chunked": True, "content": longer}, has_ranges=False
    )
    with pytest.raises(errors.SourceChanged, match="more than the 1500000 bytes"):
        await fetch(origin)


async def test_part_that_ends_early_is_asked_on():
    part = FILE[400_000:600_000]
    lines = (TAG, f"Content-Range: bytes 400000-599999/{len(FILE)}")

    def choose(asked):
        if b"range: bytes=400000-" in asked.head.lower():
            return answer(part, *lines, status="206 Partial Content")
        return origin(asked)

    origin = Origin(cuts=[400_000])
    assert await fetch(choose) == FILE
    assert origin.asked == [None, 600_000]


async def test_stall_is_a_setback():
    origin = Origin(cuts=[300_000, 300_000], stalls=True)
    assert await fetch(origin, timeouts=QUICK) == FILE
    # On a busy machine it may look as if more had stalled.
    assert origin.asked[0] is None
    assert len(origin.asked) >= 3


async def test_server_that_is_busy_is_waited_for():
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    busy = answer(b"busy", "Retry-After: 7", status="503 Service Unavailable")
    assert await fetch(Origin(first=[busy, busy, answer(status="408 No")]), sleep=sleep) == FILE
    assert waits == [7, 7, 0.04]


async def test_setbacks_are_counted_since_the_last_new_byte():
    retry = RetryPolicy(attempts=1, first_delay=0.001)
    assert await fetch(Origin(cuts=[100_000] * 10), retry=retry) == FILE
    origin = Origin(cuts=[100_000, 50_000, 100_000, 100_000], has_ranges=False)
    with pytest.raises(errors.SourceNotReadable, match="from byte 100000 on"):
        await fetch(origin, retry=retry)
    assert origin.asked == [None, 100_000, 100_000][: len(origin.asked)]


async def test_failure_that_lasts_names_its_last_reason():
    origin = Origin(first=[answer(status="500 Oh")] * 3, cuts=[0])
    with pytest.raises(errors.SourceNotReadable, match="can't read http") as caught:
        await fetch(origin)
    assert isinstance(caught.value.__cause__, errors.ConnectionBroken)
    with pytest.raises(errors.SourceNotReadable, match="500 from GET") as caught:
        await fetch(lambda _: answer(status="500 Oh"))
    assert caught.value.__cause__ is None


async def test_wait_that_is_too_long_is_an_end():
    slow = answer(b"", "Retry-After: 9999", status="429 Too Many Requests")
    with pytest.raises(errors.SourceNotReadable, match="429 from GET"):
        await fetch(Origin(first=[slow]))


async def test_where_nobody_listens_nothing_is_read():
    async with downloads() as ours:
        with pytest.raises(errors.SourceNotReadable, match="no connection") as caught:
            async with ours.open("http://127.0.0.1:9/x?token=s3cret"):
                pass
    assert isinstance(caught.value.__cause__, errors.ConnectFailed)
    assert caught.value.source == "http://127.0.0.1:9/x"


@pytest.mark.parametrize("status", [GONE, "403 Forbidden", "401 Unauthorized", "204 No Content"])
async def test_refusal_is_final(status):
    origin = Origin(first=[answer(b"s3cret", status=status)])
    with pytest.raises(errors.SourceNotReadable, match=status[:3]) as caught:
        await fetch(origin, "/x?sign=s3cret")
    assert "s3cret" not in str(caught.value)
    assert len(origin.asked) == 1


async def test_refusal_in_the_middle_is_final():
    async with opened(Origin(cuts=[400_000])) as download:
        assert await anext(download.pieces)
    origin = Origin(cuts=[400_000])

    def choose(asked):
        return origin(asked) if b"range" not in asked.head.lower() else answer(status=GONE)

    with pytest.raises(errors.SourceNotReadable, match="404 from"):
        await fetch(choose)


async def test_gzip_is_refused():
    body = gzip.compress(FILE)
    with pytest.raises(errors.SourceNotReadable, match="Content-Encoding is 'gzip'"):
        await fetch(answer(body, "Content-Encoding: gzip"))


async def test_body_that_ends_with_its_connection_is_refused():
    with pytest.raises(errors.SourceNotReadable, match="can't be told"):
        await fetch(b"HTTP/1.1 200 OK\r\n\r\nabc")


async def test_empty_file_has_no_pieces():
    assert await fetch(Origin(b"")) == b""


def moved(location, status="302 Found"):
    return answer(b"elsewhere", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
async def test_redirects_are_followed_at_each_attempt(status):
    origin = Origin(cuts=[400_000, 400_000])

    def choose(asked):
        step = int(asked.target.partition("?")[0].rpartition("/")[2])
        if step < MOST_REDIRECTS:
            return moved(f"../to/{step + 1}?sign={step}#x", status)
        return origin(asked)

    assert await fetch(choose, "/to/0") == FILE
    assert origin.asked == [None, 400_000, 800_000]


async def test_redirects_end():
    origin = Origin(first=[moved("/x")] * 99)
    with pytest.raises(errors.SourceNotReadable, match="more than 5 redirects"):
        await fetch(origin)
    assert len(origin.asked) == 1 + MOST_REDIRECTS


async def test_redirect_leads_to_another_host_without_the_password():
    async with hostile(Origin()) as other:
        target = other.origin.replace("127.0.0.1", "localhost")
        async with hostile(moved(target + "/there.mp4")) as server, downloads() as ours:
            url = server.origin.replace("http://", "http://me:s3cret-pass@") + "/here.mp4"
            async with ours.open(url) as download:
                assert download.name == "here.mp4"
                assert b"".join([piece async for piece in download.pieces]) == FILE
    assert b"authorization: basic" in server.asked[0].head.lower()
    assert b"authorization" not in other.asked[0].head.lower()


@pytest.mark.parametrize(
    "location", ["", "ftp://{host}/", "http://[::1/", "http://127.0.0.1:99999/"]
)
async def test_redirect_to_nowhere_is_an_error_of_the_source(location):
    async with elsewhere() as evil:
        target = location.format(host=evil.origin.partition("//")[2])
        # Of some the library says the same, whether it shall follow them or not.
        with pytest.raises(errors.SourceNotReadable, match=r"redirect|URL in location"):
            await fetch(moved(target))


@pytest.mark.parametrize("url", ["ftp://a.example/x", "talk.mp4", "http://[::1/x"])
async def test_url_that_can_not_be_asked_is_the_callers_fault(url):
    async with downloads() as ours:
        with pytest.raises(errors.ConfigurationError):
            async with ours.open(url):
                pass


async def test_what_was_left_can_not_be_read():
    async with opened(Origin()) as download:
        assert await anext(download.pieces)
    with pytest.raises(errors.ConfigurationError, match="was closed"):
        await anext(download.pieces)


SECRETS = ("s3cret-sign", "s3cret-pass", "s3cret-away", "s3cret-tag")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "last", [answer(status=GONE), answer(status="500 Oh"), answer(b"", "Content-Encoding: gzip")]
)
async def test_no_secret_is_shown(last, library, caplog):
    caplog.set_level(logging.DEBUG)
    away = "/away/x.mp4?sign=s3cret-away"
    origin = Origin(first=[moved(away)], cuts=[300_000])

    def choose(asked):
        if b"s3cret-away" in asked.target.encode() or not origin.asked:
            return origin(asked) if b"range" not in asked.head.lower() else last
        return moved(away)

    async with (
        library.AsyncClient(verify=TLS) as client,
        hostile(choose) as server,
        downloads(http_client=client) as ours,
    ):
        url = server.origin.replace("//", "//me:s3cret-pass@") + "/here.mp4?sign=s3cret-sign"
        with pytest.raises(errors.SourceNotReadable) as caught:
            async with ours.open(url) as download:
                shown = repr(download)
                async for _ in download.pieces:
                    pass
    shown += repr(caught.value) + str(caught.value.__cause__) + caught.value.source + caplog.text
    assert "HTTP Request" in shown
    assert "next attempt in" in shown
    assert not [secret for secret in SECRETS if secret in shown]


async def hang(writer):
    await until_left(writer)


async def hang_in_head(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    await until_left(writer)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Have no temporary files of others counted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("moment", ["before", "head", "body", "wait", "paused"])
async def test_cancelled_download_leaves_nothing_open(moment, library, scratch):
    served = {
        "before": hang,
        "head": hang_in_head,
        "body": Origin(cuts=[300_000], stalls=True),
        "wait": answer(b"", "Retry-After: 60", status="503 Busy"),
        "paused": Origin(),
    }[moment]
    scope, read, waits = anyio.CancelScope(), 0, []

    async def cancel():
        has_come = {
            "body": lambda: read == 300_000,
            "wait": lambda: waits,
            "paused": lambda: read,
        }
        await until(has_come.get(moment, lambda: server.asked), seconds=LIMIT)
        # Later than that, nothing moves.
        await anyio.sleep(0.05)
        scope.cancel()

    async def wait(seconds):
        waits.append(seconds)
        await anyio.sleep_forever()

    async with library.AsyncClient(verify=TLS) as client, hostile(served) as server:
        before = take_census()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            with no_complaints(), scope:
                async with (
                    downloads(http_client=client, sleep=wait) as ours,
                    ours.open(server.origin) as download,
                ):
                    async for piece in download.pieces:
                        read += len(piece)
                        if moment == "paused":
                            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (read > 0) == (moment in {"body", "paused"})
        await assert_nothing_is_left(before)


async def test_left_download_leaves_nothing_open(scratch):
    async with httpx.AsyncClient(verify=TLS) as client, hostile(Origin()) as server:
        before = take_census()
        with no_complaints():
            async with downloads(http_client=client) as ours, ours.open(server.origin) as download:
                assert await anext(download.pieces)
            del download
            gc.collect()
        await assert_nothing_is_left(before)


async def test_read_that_was_cancelled_goes_on_where_it_was():
    origin = Origin(cuts=[300_000], stalls=True)
    got = b""
    async with opened(origin) as download:
        with anyio.CancelScope() as scope:
            async for piece in download.pieces:
                got += piece
                if len(got) == 300_000:
                    # While the next piece is waited for, which doesn't come.
                    asyncio.get_running_loop().call_later(0.05, scope.cancel)
        assert got == FILE[:300_000]
        async for piece in download.pieces:
            got += piece
    assert got == FILE
    assert origin.asked == [None, 300_000]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_transport_without_a_network_may_answer(library):
    mock = library.MockTransport(lambda _: library.Response(200, content=b"okay"))
    async with (
        library.AsyncClient(transport=mock) as client,
        downloads(http_client=client) as ours,
        ours.open("http://x.example/a.mp4") as download,
    ):
        assert download.length == 4
        assert [piece async for piece in download.pieces] == [b"okay"]


@pytest.mark.parametrize("validators", [(TAG,), ()])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_download_is_uploaded(validators, is_chunked):
    origin = Origin(cuts=[300_000, 400_000, 500_000], validators=validators, is_chunked=is_chunked)
    async with (
        hostile(origin) as server,
        Sandbox() as sandbox,
        AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer,
        downloads() as ours,
        ours.open(f"{server.origin}/talk.mp4?sign=s3cret") as download,
    ):
        asset = await livepeer.upload(download.pieces, download.name, length=download.length)
        assert asset.name == "talk.mp4"
        assert sandbox.stored(asset.playback_id).read_bytes() == FILE
    assert len(origin.asked) == 4


async def test_download_that_changes_ends_its_upload():
    origin = Origin(cuts=[300_000], change={"validators": ('ETag: "v2"',)})
    async with (
        Sandbox() as sandbox,
        AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer,
        opened(origin) as download,
    ):
        with pytest.raises(errors.SourceError, match="changed while it was read") as caught:
            await livepeer.upload(download.pieces, length=download.length)
    assert isinstance(caught.value.__cause__ or caught.value, errors.SourceError)
