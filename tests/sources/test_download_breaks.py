"""Downloads over bad connections: all bytes, or an error that names the change or the failure."""

import random

import pytest

from livepeer_async import RetryPolicy, Timeouts, errors
from sources.origin import FILE, GONE, TAG, Origin, fetch, open_download
from support.servers import http_response

pytestmark = pytest.mark.anyio

OLD = "Tue, 15 Nov 1994 08:12:31 GMT"
QUICK = Timeouts(connect=30, stall=0.3, answer=30)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_download_survives_three_random_breaks(seed, is_chunked):
    cuts = [random.Random(seed).randrange(len(FILE) // 4) for _ in range(3)]
    origin = Origin(cuts=cuts, is_chunked=is_chunked)
    async with open_download(origin) as download:
        assert download.length == (None if is_chunked else len(FILE))
        assert b"".join([block async for block in download.blocks]) == FILE
    assert origin.ranges == [None, *(sum(cuts[: n + 1]) for n in range(3))]


@pytest.mark.parametrize("validators", [(TAG,), (f"Last-Modified: {OLD}",), ('ETag: W/"v1"',), ()])
@pytest.mark.parametrize("has_ranges", [False, True])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_download_survives_breaks(validators, has_ranges, is_chunked):
    origin = Origin(
        cuts=[400_000, 700_000], validators=validators, has_ranges=has_ranges, is_chunked=is_chunked
    )
    assert await fetch(origin) == FILE
    is_strong = bool(validators) and "W/" not in validators[0]
    position = 1_100_000 if has_ranges else 700_000
    assert origin.ranges == [None, *([400_000, position] if is_strong else [None, None])]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_lost_end_is_requested_once(is_chunked):
    origin = Origin(cuts=[len(FILE)], is_chunked=is_chunked)
    assert await fetch(origin) == FILE
    assert origin.ranges == ([None, len(FILE)] if is_chunked else [None])


async def test_lost_end_is_not_requested_if_the_length_is_known():
    origin = Origin(cuts=[400_000, len(FILE)], change={"is_chunked": True})
    assert await fetch(origin) == FILE
    assert origin.ranges == [None, 400_000]


@pytest.mark.parametrize("has_ranges", [False, True])
async def test_replaced_file_is_a_change(has_ranges):
    other = random.Random(8).randbytes(len(FILE))
    change = {"content": other, "validators": ('ETag: "v2"',)}
    origin = Origin(cuts=[400_000], change=change, has_ranges=has_ranges)
    with pytest.raises(errors.SourceChanged, match="ETag has changed"):
        await fetch(origin)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"x" + FILE[1:], "begins with other bytes"),
        (FILE[:399_999] + b"x" + FILE[400_000:], "begins with other bytes"),
        (FILE[:300_000], "it has 300000 bytes|shorter"),
    ],
)
async def test_different_beginning_without_validator_is_a_change(content, reason, is_chunked):
    origin = Origin(
        cuts=[400_000], change={"content": content}, validators=(), is_chunked=is_chunked
    )
    with pytest.raises(errors.SourceChanged, match=reason):
        await fetch(origin)


async def test_change_without_validator_is_not_detected():
    changed = FILE[:400_000] + random.Random(9).randbytes(len(FILE) - 400_000)
    origin = Origin(cuts=[400_000], change={"content": changed}, validators=())
    assert await fetch(origin) == changed


async def test_file_may_be_replaced_before_its_first_byte():
    other = random.Random(8).randbytes(len(FILE))
    change = {"content": other, "validators": ('ETag: "v2"',)}
    assert await fetch(Origin(cuts=[0], change=change)) == other


async def test_more_bytes_than_announced_are_a_change():
    longer = FILE + b"more"
    origin = Origin(
        cuts=[400_000], change={"is_chunked": True, "content": longer}, has_ranges=False
    )
    with pytest.raises(errors.SourceChanged, match="more than the 1500000 bytes"):
        await fetch(origin)


async def test_part_that_ends_early_is_continued():
    part = FILE[400_000:600_000]
    lines = (TAG, f"Content-Range: bytes 400000-599999/{len(FILE)}")

    def respond(request):
        if b"range: bytes=400000-" in request.head.lower():
            return http_response(part, *lines, status="206 Partial Content")
        return origin(request)

    origin = Origin(cuts=[400_000])
    assert await fetch(respond) == FILE
    assert origin.ranges == [None, 600_000]


async def test_stall_is_retried():
    origin = Origin(cuts=[300_000, 300_000], stalls=True)
    assert await fetch(origin, timeouts=QUICK) == FILE
    # On a busy machine, more requests may stall.
    assert origin.ranges[0] is None
    assert len(origin.ranges) >= 3


async def test_overloaded_server_is_waited_for():
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    busy = http_response(b"busy", "Retry-After: 7", status="503 Service Unavailable")
    assert (
        await fetch(Origin(first=[busy, busy, http_response(status="408 No")]), sleep=sleep) == FILE
    )
    assert waits == [7, 7, 0.04]


async def test_failures_are_counted_since_the_last_new_byte():
    retry = RetryPolicy(attempts=1, first_delay=0.001)
    assert await fetch(Origin(cuts=[100_000] * 10), retry=retry) == FILE
    origin = Origin(cuts=[100_000, 50_000, 100_000, 100_000], has_ranges=False)
    with pytest.raises(errors.SourceNotReadable, match="from byte 100000 on"):
        await fetch(origin, retry=retry)
    assert origin.ranges == [None, 100_000, 100_000][: len(origin.ranges)]


async def test_lasting_failure_names_the_last_reason():
    origin = Origin(first=[http_response(status="500 Oh")] * 3, cuts=[0])
    with pytest.raises(errors.SourceNotReadable, match="can't read http") as caught:
        await fetch(origin)
    assert isinstance(caught.value.__cause__, errors.ConnectionBroken)
    with pytest.raises(errors.SourceNotReadable, match="500 from GET") as caught:
        await fetch(lambda _: http_response(status="500 Oh"))
    assert caught.value.__cause__ is None


async def test_retry_after_beyond_the_policy_is_final():
    slow = http_response(b"", "Retry-After: 9999", status="429 Too Many Requests")
    with pytest.raises(errors.SourceNotReadable, match="429 from GET"):
        await fetch(Origin(first=[slow]))


async def test_404_in_the_middle_is_final():
    async with open_download(Origin(cuts=[400_000])) as download:
        assert await anext(download.blocks)
    origin = Origin(cuts=[400_000])

    def respond(request):
        return (
            origin(request) if b"range" not in request.head.lower() else http_response(status=GONE)
        )

    with pytest.raises(errors.SourceNotReadable, match="404 from"):
        await fetch(respond)
