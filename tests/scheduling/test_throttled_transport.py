import itertools

import anyio
import anyio.lowlevel
import pytest

from livepeer_async.concurrency import Clock
from livepeer_async.errors import ConnectionBroken, SourceChanged, TimedOut
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import MAX_RESPONSE_SIZE, Transport
from livepeer_async.sandbox import Fault, On, Sandbox, Stall
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.scheduling.throttled_transport import ThrottledTransport

pytestmark = pytest.mark.anyio
BLOCK = 100_000
GET = Request(method="GET", url="https://api.example/asset")
PATCH = Request(method="PATCH", url="https://origin.example/1", content=Span(0, 4 * BLOCK))
OK = Response(status=200, body=b"well")
QUEUE_FULL = Response(status=429)


class Network:
    """A transport with scripted responses; only `sleep` moves its clock.

    Args:
        responses: The responses and errors, in order; after them, each response is a 200.

    Attributes:
        max_blocks: How many blocks are read before the response; None for all.
        sent: For each request the time, the request, and its largest response.
        blocks: For each block the time and the block.
        max_concurrent: The maximum number of concurrent requests.
    """

    def __init__(self, *responses):
        self.responses = list(responses)
        self.now = 0.0
        self.max_blocks = None
        self.sent = []
        self.blocks = []
        self.max_concurrent = 0
        self._concurrent = 0

    async def sleep(self, seconds):
        self.now += seconds
        await anyio.lowlevel.checkpoint()

    async def send(self, request, *, blocks, largest):
        self.sent.append((self.now, request, largest))
        self._concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self._concurrent)
        await anyio.lowlevel.checkpoint()
        if blocks is not None:
            await self._read(blocks)
        self._concurrent -= 1
        response = self.responses.pop(0) if self.responses else OK
        if isinstance(response, Exception):
            raise response
        return response

    async def _read(self, blocks):
        async for block in blocks:
            self.blocks.append((self.now, block))
            if len(self.blocks) == self.max_blocks:
                return


class Body:
    """Blocks and errors; counts how many are requested."""

    def __init__(self, *blocks):
        self.blocks = list(blocks)
        self.requested = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.requested += 1
        if not self.blocks:
            raise StopAsyncIteration
        block = self.blocks.pop(0)
        if isinstance(block, Exception):
            raise block
        return block


class EndingBody(Body):
    """A body of which nothing may be sent from a time on, as after the loss of its claim."""

    def __init__(self, network, ends_at, *blocks):
        super().__init__(*blocks)
        self._network = network
        self._ends_at = ends_at

    def check(self):
        if self._network.now >= self._ends_at:
            raise ConnectionBroken("stopped")


def throttled(network, **options):
    clock = Clock(now=lambda: network.now, sleep=network.sleep, random=lambda: 1.0)
    throttle = Throttle(clock=clock, **options)
    return ThrottledTransport(network, throttle), throttle


def has_congestion(throttle):
    """Return whether the throttle counted congestion, which halves the slots."""
    before = throttle.slots
    throttle.sample([None] * 99)
    return throttle.slots < before


async def test_request_and_response_pass_unchanged():
    network = Network()
    transport, throttle = throttled(network)
    assert await transport.send(GET) is OK
    assert await transport.send(GET, largest=9) is OK
    assert network.sent == [(0.0, GET, MAX_RESPONSE_SIZE), (0.0, GET, 9)]
    assert not throttle.is_paused
    assert not has_congestion(throttle)


@pytest.mark.parametrize("status", [429, 503])
async def test_overload_status_pauses_all_requests(status):
    overload = Response(status=status)
    network = Network(overload)
    transport, throttle = throttled(network)
    assert await transport.send(GET) is overload
    assert throttle.is_paused
    await transport.send(GET)
    assert [sent[0] for sent in network.sent] == [0.0, pytest.approx(1.0)]
    assert has_congestion(throttle)


@pytest.mark.parametrize("status", [204, 404, 423, 500, 502, 504])
async def test_other_statuses_do_not_pause(status):
    transport, throttle = throttled(Network(QUEUE_FULL, Response(status=status)))
    await transport.send(GET)
    await transport.send(GET)
    assert not throttle.is_paused


async def test_retry_after_sets_the_pause():
    network = Network(Response(status=503, headers={"retry-after": "7"}))
    transport, _ = throttled(network)
    await transport.send(GET)
    await transport.send(GET)
    assert network.sent[1][0] == pytest.approx(7.0)


async def test_others_wait_for_the_response_to_the_probe():
    network = Network(QUEUE_FULL, QUEUE_FULL)
    transport, _ = throttled(network)
    await transport.send(GET)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(transport.send, GET)
    first, second, _ = [sent[0] for sent in network.sent[1:]]
    assert first >= 1.0
    # The first probe got a 429 again, so another one follows after a longer pause.
    assert second - first >= 1.75
    assert network.max_concurrent == 1


async def test_stall_counts_as_congestion():
    error = TimedOut("no progress")
    transport, throttle = throttled(Network(error))
    with pytest.raises(TimedOut) as caught:
        await transport.send(GET)
    assert caught.value is error
    assert not throttle.is_paused
    assert has_congestion(throttle)


async def test_broken_connection_is_no_congestion():
    transport, throttle = throttled(Network(QUEUE_FULL, ConnectionBroken("cut")))
    await transport.send(GET)
    assert has_congestion(throttle)
    with pytest.raises(ConnectionBroken):
        await transport.send(GET)
    assert throttle.is_paused
    assert not has_congestion(throttle)


async def test_failed_request_is_no_longer_in_flight():
    network = Network(ConnectionBroken("cut"))
    transport, throttle = throttled(network)
    with pytest.raises(ConnectionBroken):
        await transport.send(GET)
    network.now += 1000.0
    assert throttle.idle_seconds == 0.0


async def test_blocks_are_sent_unchanged_at_the_maximum_rate():
    blocks = [bytes([number]) * BLOCK for number in range(3)] + [memoryview(b"end" * BLOCK)]
    network = Network()
    transport, _ = throttled(network, max_rate=BLOCK)
    assert await transport.send(PATCH, blocks=Body(*blocks)) is OK
    assert [block for _, block in network.blocks] == blocks
    assert [time for time, _ in network.blocks] == pytest.approx([0.0, 1.0, 2.0, 3.0])


async def test_requests_share_the_rate():
    network = Network()
    transport, _ = throttled(network, max_rate=BLOCK)
    for _ in range(2):
        await transport.send(PATCH, blocks=Body(bytes(BLOCK)))
    assert [time for time, _ in network.blocks] == pytest.approx([0.0, 1.0])


async def test_request_cancelled_in_a_pause_is_not_sent():
    network, body = Network(QUEUE_FULL), Body(bytes(BLOCK))
    transport, _ = throttled(network)
    await transport.send(GET)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await transport.send(PATCH, blocks=body)
    assert (len(network.sent), body.requested) == (1, 0)


async def test_blocks_are_read_one_at_a_time():
    network, body = Network(ConnectionBroken("cut")), Body(*[bytes(BLOCK)] * 4)
    network.max_blocks = 2
    transport, _ = throttled(network)
    with pytest.raises(ConnectionBroken):
        await transport.send(PATCH, blocks=body)
    assert body.requested == 2


async def test_error_of_the_source_passes_unchanged():
    error = SourceChanged("it shrank", source="talk.mp4")
    transport, throttle = throttled(Network())
    with pytest.raises(SourceChanged) as caught:
        await transport.send(PATCH, blocks=Body(bytes(BLOCK), error))
    assert caught.value is error
    assert not has_congestion(throttle)


async def test_stall_of_a_real_connection_counts_as_congestion():
    silent = Fault(On(path="/api/asset"), Stall(1000))
    throttle, timeouts = Throttle(), Timeouts(stall=0.2, answer=0.5, chunk_response=0.2)
    async with Sandbox(faults=[silent]) as sandbox, Transport(timeouts=timeouts) as transport:
        with pytest.raises(TimedOut):
            await ThrottledTransport(transport, throttle).send(
                Request(method="GET", url=f"{sandbox.base_url}/api/asset")
            )
    assert has_congestion(throttle)


async def test_failed_probe_is_replaced_at_once():
    network = Network(QUEUE_FULL, ConnectionBroken("cut"))
    transport, throttle = throttled(network)
    await transport.send(GET)
    with pytest.raises(ConnectionBroken):
        await transport.send(GET)
    failed_at = network.now
    await transport.send(GET)
    assert network.now == failed_at
    assert not throttle.is_paused


async def test_cancelled_probe_is_replaced_at_once():
    network = Network(QUEUE_FULL)
    transport, throttle = throttled(network)
    await transport.send(GET)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await transport.send(GET)
    await transport.send(GET)
    assert network.now <= 2.0
    assert not throttle.is_paused


async def test_full_queue_is_probed_every_few_seconds():
    network = Network(*[QUEUE_FULL] * 20)
    transport, _ = throttled(network)
    for _ in range(21):
        await transport.send(GET)
    times = [sent[0] for sent in network.sent]
    assert max(after - before for before, after in itertools.pairwise(times)) <= 5.0


async def test_idle_seconds_count_since_the_last_byte():
    network = Network()
    transport, throttle = throttled(network)
    idle = []

    class Slow(Body):
        async def __anext__(self):
            await network.sleep(3)
            idle.append(throttle.idle_seconds)
            return await super().__anext__()

    network.now = 100.0
    assert throttle.idle_seconds == 0.0
    await transport.send(PATCH, blocks=Slow(b"1", b"2"))
    assert idle == [3.0, 3.0, 3.0]
    assert throttle.idle_seconds == 0.0


async def test_block_is_checked_after_it_has_waited_for_the_rate():
    network = Network()
    transport, _ = throttled(network, max_rate=BLOCK)
    body = EndingBody(network, 2.0, *[bytes(BLOCK)] * 4)
    with pytest.raises(ConnectionBroken):
        await transport.send(PATCH, blocks=body)
    assert body.requested > len(network.blocks)
    assert all(at < 2.0 for at, _ in network.blocks)
