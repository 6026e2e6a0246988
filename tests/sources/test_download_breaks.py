"""Downloads over bad links: bytes equal, or an error that says what has changed or what lasts."""

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
async def test_file_survives_three_cuts_at_random(seed, is_chunked):
    cuts = [random.Random(seed).randrange(len(FILE) // 4) for _ in range(3)]
    origin = Origin(cuts=cuts, is_chunked=is_chunked)
    async with open_download(origin) as download:
        assert download.length == (None if is_chunked else len(FILE))
        assert b"".join([piece async for piece in download.blocks]) == FILE
    assert origin.ranges == [None, *(sum(cuts[: n + 1]) for n in range(3))]


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
    assert origin.ranges == [None, *([400_000, position] if is_strong else [None, None])]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_end_that_is_lost_is_asked_for_once(is_chunked):
    origin = Origin(cuts=[len(FILE)], is_chunked=is_chunked)
    assert await fetch(origin) == FILE
    assert origin.ranges == ([None, len(FILE)] if is_chunked else [None])


async def test_end_that_is_lost_is_not_missed_where_the_length_is_known():
    origin = Origin(cuts=[400_000, len(FILE)], change={"is_chunked": True})
    assert await fetch(origin) == FILE
    assert origin.ranges == [None, 400_000]


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
            return http_response(part, *lines, status="206 Partial Content")
        return origin(asked)

    origin = Origin(cuts=[400_000])
    assert await fetch(choose) == FILE
    assert origin.ranges == [None, 600_000]


async def test_stall_is_a_setback():
    origin = Origin(cuts=[300_000, 300_000], stalls=True)
    assert await fetch(origin, timeouts=QUICK) == FILE
    # On a busy machine it may look as if more had stalled.
    assert origin.ranges[0] is None
    assert len(origin.ranges) >= 3


async def test_server_that_is_busy_is_waited_for():
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    busy = http_response(b"busy", "Retry-After: 7", status="503 Service Unavailable")
    assert (
        await fetch(Origin(first=[busy, busy, http_response(status="408 No")]), sleep=sleep) == FILE
    )
    assert waits == [7, 7, 0.04]


async def test_setbacks_are_counted_since_the_last_new_byte():
    retry = RetryPolicy(attempts=1, first_delay=0.001)
    assert await fetch(Origin(cuts=[100_000] * 10), retry=retry) == FILE
    origin = Origin(cuts=[100_000, 50_000, 100_000, 100_000], has_ranges=False)
    with pytest.raises(errors.SourceNotReadable, match="from byte 100000 on"):
        await fetch(origin, retry=retry)
    assert origin.ranges == [None, 100_000, 100_000][: len(origin.ranges)]


async def test_failure_that_lasts_names_its_last_reason():
    origin = Origin(first=[http_response(status="500 Oh")] * 3, cuts=[0])
    with pytest.raises(errors.SourceNotReadable, match="can't read http") as caught:
        await fetch(origin)
    assert isinstance(caught.value.__cause__, errors.ConnectionBroken)
    with pytest.raises(errors.SourceNotReadable, match="500 from GET") as caught:
        await fetch(lambda _: http_response(status="500 Oh"))
    assert caught.value.__cause__ is None


async def test_wait_that_is_too_long_is_an_end():
    slow = http_response(b"", "Retry-After: 9999", status="429 Too Many Requests")
    with pytest.raises(errors.SourceNotReadable, match="429 from GET"):
        await fetch(Origin(first=[slow]))


async def test_refusal_in_the_middle_is_final():
    async with open_download(Origin(cuts=[400_000])) as download:
        assert await anext(download.blocks)
    origin = Origin(cuts=[400_000])

    def choose(asked):
        return origin(asked) if b"range" not in asked.head.lower() else http_response(status=GONE)

    with pytest.raises(errors.SourceNotReadable, match="404 from"):
        await fetch(choose)
