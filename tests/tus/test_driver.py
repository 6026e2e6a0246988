"""The driver against servers in memory: what it waits for, when it gives up, what it leaves."""

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from livepeer_async.errors import (
    ConnectFailed,
    ConnectionBroken,
    DecodeError,
    ProtocolError,
    RetriesExhausted,
    SourceChanged,
    SourceEmpty,
    SourceNotReadable,
    SourceNotReplayable,
    SourceTooLarge,
    UploadGone,
    UploadRefused,
)
from livepeer_async.messages import Response
from livepeer_async.tus import Driver, ServerLimits, State, TusUpload
from livepeer_async.uploads.retry import RetryPolicy
from livepeer_async.uploads.source import BytesSource, StreamSource
from tus.servers import (
    ENDPOINT,
    HOST,
    Answer,
    Cut,
    Garble,
    LoseAnswer,
    PlainStore,
    S3Store,
    Short,
    Unreached,
    serve,
)

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(40))
LIMITS = ServerLimits(first_chunk=8, max_chunk=8)
LIVEPEER = ServerLimits(
    align=8,
    tail_alone=True,
    first_chunk=8,
    max_chunk=8,
    settle=1.0,
    with_creation=8,
    creates_once=True,
)
RETRY = RetryPolicy(attempts=3, first_delay=1.0, max_delay=8.0)


class Network:
    """Sends to a store, through faults in the order of the requests; sleeping only moves a clock.

    At the await number `cancel_at` it cancels `scope`, as a caller may at any time.
    """

    def __init__(self, store=None, faults=(), *, cancel_at=None):
        self.store = store or PlainStore()
        self.faults = list(faults)
        self.cancel_at = cancel_at
        self.scope = anyio.CancelScope()
        self.now = 0.0
        self.awaits = 0
        self.sleeps = []
        self.requests = []

    async def sleep(self, seconds):
        await self.checkpoint()
        self.sleeps.append(seconds)
        self.now += seconds

    async def send(self, request, *, blocks=None, largest=0):
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, Unreached):
            raise ConnectFailed("no connection")
        body = bytearray()
        if blocks is not None:
            async for block in blocks:
                await self.checkpoint()
                body += block
        await self.checkpoint()
        answer = serve(self.store, request, bytes(body), now=self.now, fault=fault)
        await self.checkpoint()
        if answer is None:
            raise ConnectionBroken("cut")
        return answer

    async def checkpoint(self):
        self.awaits += 1
        if self.awaits == self.cancel_at:
            self.scope.cancel()
        await anyio.lowlevel.checkpoint()

    def driver(self, upload, source, **more):
        return Driver(
            upload,
            source,
            self.send,
            **{"retry": RETRY, "sleep": self.sleep, "jitter": lambda: 1.0} | more,
        )

    def stored(self, upload):
        return self.store.stored(upload.upload_url.removeprefix(HOST))

    def methods(self):
        return [request.method for request in self.requests]


def upload_of(content=CONTENT, limits=LIMITS, **more):
    where = {} if "upload_url" in more else {"endpoint": ENDPOINT}
    return TusUpload(**{"length": len(content), "limits": limits} | where | more)


def source_of(content=CONTENT):
    return BytesSource(memoryview(content), "talk.mp4")


async def run(network, upload=None, source=None, **more):
    """Drive an upload to its end and give it."""
    upload = upload or upload_of()
    await network.driver(upload, source or source_of(), **more).run()
    return upload


async def test_upload_is_stored_in_chunks():
    network = Network()
    upload = await run(network)
    assert upload.state is State.COMPLETE
    assert network.stored(upload) == CONTENT
    assert network.methods() == ["POST", *["PATCH"] * 5]
    assert set(network.sleeps) == {0.0}


async def test_interrupted_patch_asks_for_the_offset():
    network = Network(faults=[None, Cut(3)])
    upload = await run(network)
    assert network.stored(upload) == CONTENT
    assert network.methods()[:4] == ["POST", "PATCH", "HEAD", "PATCH"]
    assert network.requests[3].headers["Upload-Offset"] == "3"


async def test_waits_double_until_the_offset_moves():
    # Each PATCH is cut after one byte, but for those that bring none.
    network = Network(faults=[None, Cut(0), None, Cut(0), None, Cut(1), None, Cut(0)])
    await run(network)
    assert [seconds for seconds in network.sleeps if seconds] == [1.0, 2.0, 4.0, 1.0]


async def test_budget_counts_since_the_offset_last_moved():
    faults = [None]
    for _ in range(10):
        faults += [Cut(0), None, Cut(0), None, Cut(1), None]
    network = Network(faults=faults)
    upload = await run(network, retry=RetryPolicy(attempts=3))
    assert network.stored(upload) == CONTENT


async def test_upload_without_progress_is_given_up():
    network = Network(faults=[None, *[Answer(503)] * 9])
    upload = upload_of()
    with pytest.raises(RetriesExhausted) as caught:
        await run(network, upload)
    error = caught.value
    assert (error.attempts, error.upload_url) == (4, upload.upload_url)
    assert str(error).startswith("no progress beyond byte 0 after 4 setbacks; the last: 503 from")
    # What was given up can be taken up.
    network.faults.clear()
    await run(network, upload_of(upload_url=error.upload_url))
    assert network.stored(upload) == CONTENT


async def test_offset_that_never_settles_is_given_up():
    network = Network(S3Store(), faults=[None, Cut(3)])
    network.faults += [Garble(str(8 * (count % 2))) for count in range(20)]
    with pytest.raises(RetriesExhausted, match="moved from 0 to 8 by itself"):
        await run(network, upload_of(limits=LIVEPEER))


async def test_retry_after_is_obeyed():
    network = Network(faults=[Answer(429, {"retry-after": "33"}), None, Answer(503), None])
    await run(network)
    assert [seconds for seconds in network.sleeps if seconds] == [33.0, 1.0]


async def test_server_that_wants_to_be_left_alone_for_too_long_is_given_up():
    network = Network(faults=[Answer(429, {"retry-after": "601"})])
    with pytest.raises(RetriesExhausted) as caught:
        await run(network)
    assert (caught.value.attempts, caught.value.upload_url) == (1, None)


async def test_settling_is_waited_for():
    network = Network(S3Store(), faults=[None, Cut(3)])
    upload = await run(network, upload_of(limits=LIVEPEER), retry=RetryPolicy(first_delay=0.0))
    assert network.stored(upload) == CONTENT
    assert network.methods() == ["POST", "PATCH", "HEAD", "HEAD", "PATCH", "HEAD", *["PATCH"] * 4]
    assert network.sleeps == [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, *[0.0] * 4]


@pytest.mark.parametrize("status", [400, 401, 403, 415, 301])
async def test_final_answer_ends_the_upload(status):
    network = Network(faults=[None, Answer(status)])
    upload = upload_of()
    with pytest.raises(UploadRefused) as caught:
        await run(network, upload)
    assert (caught.value.status, caught.value.upload_url) == (status, upload.upload_url)
    assert upload.upload_url is not None


@pytest.mark.parametrize("status", [404, 410])
async def test_unknown_upload_is_gone(status):
    with pytest.raises(UploadGone, match=f"the upload is lost: {status} from PATCH") as caught:
        await run(Network(faults=[None, Answer(status)]))
    assert caught.value.upload_url is None


async def test_creation_that_must_not_be_repeated_is_gone_with_its_answer():
    network = Network(S3Store(), faults=[LoseAnswer()])
    with pytest.raises(UploadGone, match="the creation may have happened: cut"):
        await run(network, upload_of(limits=LIVEPEER))
    assert network.methods() == ["POST"]


async def test_creation_that_reached_nobody_is_repeated():
    network = Network(S3Store(), faults=[Unreached(), Answer(503, {"retry-after": "5"})])
    upload = await run(network, upload_of(limits=LIVEPEER))
    assert network.stored(upload) == CONTENT
    assert network.sleeps[:3] == [0.0, 1.0, 5.0]


async def test_location_where_the_bytes_must_not_go_ends_the_upload():
    elsewhere = Answer(201, {"location": "https://evil.example/1"})
    with pytest.raises(ProtocolError, match="on another host") as caught:
        await run(Network(faults=[elsewhere]))
    assert caught.value.upload_url is None


async def test_answer_that_is_too_long_to_be_one_is_an_interruption():
    too_long = DecodeError("the answer is larger than 65536 bytes", path="$")
    network = Network(faults=[None, too_long, too_long])
    assert network.stored(await run(network)) == CONTENT


async def test_chunk_that_is_too_large_shrinks():
    network = Network(faults=[None, Answer(413), None, Answer(413)])
    upload = await run(network)
    assert network.stored(upload) == CONTENT
    sizes = [r.content.size for r in network.requests if r.method == "PATCH"]
    assert sizes[:2] == [8, 4]
    assert max(sizes[2:]) == 2


async def test_creation_with_too_many_bytes_is_repeated_without():
    network = Network(faults=[Answer(413)])
    upload = await run(
        network, upload_of(CONTENT[:7], ServerLimits(with_creation=8)), source_of(CONTENT[:7])
    )
    assert network.stored(upload) == CONTENT[:7]
    assert network.methods() == ["POST", "POST", "PATCH"]


async def test_network_that_blocks_patch_gets_post():
    network = Network()
    upload = await run(network, upload_of(limits=replace(LIMITS, override_patch=True)))
    assert network.stored(upload) == CONTENT
    assert set(network.methods()) == {"POST"}


async def test_nudge_and_termination_tell_little():
    network = Network()
    upload = upload_of()
    driver = network.driver(upload, source_of())
    await driver.run()
    await driver.nudge()
    assert network.requests[-1].headers["Upload-Offset"] == "40"
    network.faults = [Answer(500)]
    assert not await driver.terminate()
    assert await driver.terminate()
    assert upload.state is State.TERMINATED


FAULTS = st.sampled_from(
    [None, None, None, Cut(0), Cut(1), Cut(7), LoseAnswer(), Unreached(), Short(3), Answer(500)]
)


@given(st.lists(FAULTS, max_size=30), st.integers(1, 60), st.integers(1, 12))
def test_told_bytes_never_exceed_the_length_and_end_with_it(faults, length, chunk):
    content = bytes(range(length))
    told = []

    async def check():
        limits = ServerLimits(first_chunk=chunk, max_chunk=chunk)
        network = Network(faults=faults)
        retry = RetryPolicy(attempts=100)
        upload = upload_of(content, limits)
        await run(network, upload, source_of(content), on_sent=told.append, retry=retry)
        assert network.stored(upload) == content

    anyio.run(check)
    assert max(told) == told[-1] == length
    assert min(told) >= 0


async def test_told_bytes_only_rise_within_a_chunk():
    told, content = [], bytes(300_000)
    limits = ServerLimits(first_chunk=len(content))
    await run(Network(), upload_of(content, limits), source_of(content), on_sent=told.append)
    assert told == sorted(told)
    assert told[0] == 0
    assert len(told) > 3


async def test_upload_that_is_complete_already_is_told_as_sent():
    network, told = Network(), []
    upload = await run(network)
    await run(network, upload_of(upload_url=upload.upload_url), on_sent=told.append)
    assert told == [len(CONTENT)]


async def pieces_of(content, size=3):
    for start in range(0, len(content), size):
        await anyio.lowlevel.checkpoint()
        yield content[start : start + size]


def deferred(limits=LIMITS):
    return upload_of(limits=limits, length=None)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("size", [1, 8, 100])
async def test_length_of_a_stream_is_declared_at_its_end(length, size):
    network, content = Network(), CONTENT[:length]
    source = StreamSource(pieces_of(content, size), length=None)
    upload = await run(network, deferred(), source)
    assert network.stored(upload) == content
    assert upload.length == source.length == length
    declared = [r for r in network.requests if "Upload-Length" in r.headers]
    assert declared == [network.requests[-1]]
    assert len(network.requests) == 1 + -(-length // 8)


async def test_deferred_length_of_an_aligned_server_keeps_its_rules():
    limits = ServerLimits(align=8, tail_alone=True, first_chunk=16, max_chunk=16)
    network = Network()
    source = StreamSource(pieces_of(CONTENT[:29]), length=None)
    assert network.stored(await run(network, deferred(limits), source)) == CONTENT[:29]
    sizes = [r.content.size for r in network.requests[1:]]
    assert sizes == [16, 8, 5]


async def test_known_length_is_declared_with_the_first_chunk():
    network = Network()
    upload = await run(network, deferred())
    assert network.stored(upload) == CONTENT
    assert network.requests[1].headers["Upload-Length"] == "40"


@pytest.mark.parametrize("pieces", [[], [b"", b""]])
async def test_empty_stream_is_refused(pieces):
    async def nothing():
        for piece in pieces:
            yield piece

    with pytest.raises(SourceEmpty):
        await run(Network(), deferred(), StreamSource(nothing(), length=None))


async def test_stream_beyond_what_the_server_takes_is_refused():
    limits = ServerLimits(first_chunk=8, max_chunk=8, max_length=20)
    source = StreamSource(pieces_of(CONTENT), length=None)
    with pytest.raises(SourceTooLarge):
        await run(Network(), deferred(limits), source)


async def test_stream_keeps_a_chunk_for_its_repetition():
    network = Network(faults=[None, Cut(0), None, None, Cut(5), None, Short(2)])
    source = StreamSource(pieces_of(CONTENT), length=len(CONTENT))
    assert network.stored(await run(network, source=source)) == CONTENT


async def test_stream_does_not_keep_what_was_acknowledged():
    store = PlainStore()
    network = Network(store, faults=[None, None, LoseAnswer()])
    upload = upload_of()

    async def forget(seconds):
        await network.sleep(seconds)
        if len(network.requests) == 3:
            store.forget(upload.upload_url.removeprefix(HOST), 16)

    source = StreamSource(pieces_of(CONTENT), length=len(CONTENT))
    with pytest.raises(SourceNotReplayable):
        await run(network, upload, source, sleep=forget)


async def begun(network, count):
    """Begin an upload of CONTENT elsewhere, and give its URL."""
    upload = upload_of()
    driver = network.driver(upload, source_of(), retry=RetryPolicy(attempts=0))
    network.faults = [None, Cut(count)]
    with pytest.raises(RetriesExhausted):
        await driver.run()
    network.requests.clear()
    return upload.upload_url


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_is_read_up_to_what_the_server_holds(length):
    network = Network()
    url = await begun(network, 5)
    source = StreamSource(pieces_of(CONTENT), length=length)
    upload = await run(network, upload_of(upload_url=url, length=length), source)
    assert network.stored(upload) == CONTENT
    assert network.requests[1].headers["Upload-Offset"] == "5"


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_shorter_than_what_the_server_holds_has_changed(length):
    network = Network()
    url = await begun(network, 5)
    source = StreamSource(pieces_of(CONTENT[:3]), length=length)
    with pytest.raises(SourceChanged, match="ended before byte 5"):
        await run(network, upload_of(upload_url=url, length=length), source)


@pytest.mark.parametrize("content", [CONTENT[:39], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_stream_is_held_to_the_length_that_was_declared_elsewhere(content):
    network = Network()
    url = await begun(network, 5)
    source = StreamSource(pieces_of(content), length=None)
    upload = upload_of(upload_url=url, length=None)
    with pytest.raises(SourceChanged):
        await run(network, upload, source)
    assert upload.state is not State.COMPLETE


async def test_source_of_another_length_than_the_upload_has_changed():
    network = Network()
    url = await begun(network, 5)
    with pytest.raises(SourceChanged, match="has 41 bytes; the upload is one of 40"):
        await run(network, upload_of(upload_url=url, length=None), source_of(CONTENT + b"x"))


async def test_broken_stream_leaves_an_upload_that_can_be_resumed():
    async def broken():
        yield CONTENT[:11]
        raise OSError("the camera is gone")

    network, upload = Network(), upload_of()
    source = StreamSource(broken(), length=len(CONTENT))
    with pytest.raises(SourceNotReadable, match="the camera is gone"):
        await run(network, upload, source)
    assert upload.state is State.OFFSET_UNKNOWN
    await run(network, upload)
    assert network.stored(upload) == CONTENT


async def cancelled_at(count, store, upload, faults):
    """Run until the await number `count`, then cancel; say whether it came so far."""
    network = Network(store, faults, cancel_at=count)
    with network.scope:
        await run(network, upload)
    return network.scope.cancelled_caught, network


@pytest.mark.parametrize("faults", [[], [None, Cut(3)]], ids=["smooth", "interrupted"])
async def test_cancellation_at_any_await_leaves_an_upload_that_can_go_on(faults):
    for count in range(1, 200):
        store, upload = PlainStore(), upload_of()
        was_cancelled, network = await cancelled_at(count, store, upload, faults)
        if not was_cancelled:
            assert count > 20
            return
        assert upload.state in {State.UNCREATED, State.OFFSET_UNKNOWN}
        rest = Network(store)
        rest.now = network.now
        await run(rest, upload)
        assert rest.stored(upload) == CONTENT
    pytest.fail("it never came to its end")


async def test_cancellation_is_only_fatal_to_a_creation_on_its_way():
    states = []
    for count in range(1, 200):
        store, upload = S3Store(), upload_of(limits=LIVEPEER)
        was_cancelled, network = await cancelled_at(count, store, upload, [])
        if not was_cancelled:
            break
        states.append(upload.state)
        if upload.state is State.GONE:
            assert network.methods() == ["POST"]
            continue
        rest = Network(store)
        await run(rest, upload)
        assert rest.stored(upload) == CONTENT
    assert states[0] is State.UNCREATED
    assert states.count(State.GONE) == 2


async def test_what_the_user_raises_in_between_comes_out():
    def stop(_sent):
        raise KeyError("enough")

    network, upload = Network(), upload_of()
    with pytest.raises(KeyError, match="enough"):
        await run(network, upload, on_sent=stop)
    await run(network, upload)
    assert network.stored(upload) == CONTENT


async def test_stranger_may_send_without_reading_the_body():
    async def refuse(request, *, blocks=None, largest=0):
        if request.method == "POST":
            return Response(status=201, headers={"location": f"{ENDPOINT}/1"})
        return Response(status=403)

    driver = Driver(upload_of(), source_of(), refuse, retry=RETRY)
    with pytest.raises(UploadRefused):
        await driver.run()
