import itertools

import anyio
import anyio.lowlevel
import pytest

from livepeer_async.errors import ConnectionBroken, SourceChanged, TimedOut
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import MAX_RESPONSE_SIZE, Transport
from livepeer_async.sandbox import Fault, On, Sandbox, Stall
from livepeer_async.scheduling.throttle import Throttle, ThrottledTransport

pytestmark = pytest.mark.anyio
BLOCK = 100_000
ASKING = Request(method="GET", url="https://api.example/asset")
SENDING = Request(method="PATCH", url="https://origin.example/1", content=Span(0, 4 * BLOCK))
WELL = Response(status=200, body=b"well")
BUSY = Response(status=429)


class Network:
    """What stands behind the budget: time that passes by sleeping only, and a server's answers.

    Attributes:
        answers: what comes next, an answer or an error; at their end all is well.
        most_blocks: as many are read before the answer comes.
        sent: the times of the requests, and what was handed over with them.
        blocks: the times of the blocks, and the blocks.
        most_at_once: requests that were underway together.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.now = 0.0
        self.most_blocks = None
        self.sent = []
        self.blocks = []
        self.most_at_once = 0
        self._at_once = 0

    async def sleep(self, seconds):
        self.now += seconds
        await anyio.lowlevel.checkpoint()

    async def send(self, request, *, blocks, largest):
        self.sent.append((self.now, request, largest))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await anyio.lowlevel.checkpoint()
        if blocks is not None:
            await self._read(blocks)
        self._at_once -= 1
        answer = self.answers.pop(0) if self.answers else WELL
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _read(self, blocks):
        async for block in blocks:
            self.blocks.append((self.now, block))
            if len(self.blocks) == self.most_blocks:
                return


class Source:
    """Blocks, and how many of them were asked for."""

    def __init__(self, *blocks):
        self.blocks = list(blocks)
        self.asked = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.asked += 1
        if not self.blocks:
            raise StopAsyncIteration
        block = self.blocks.pop(0)
        if isinstance(block, Exception):
            raise block
        return block


def paced(network, **options):
    throttle = Throttle(
        clock=lambda: network.now, sleep=network.sleep, jitter=lambda: 1.0, **options
    )
    return ThrottledTransport(network, throttle), throttle


def troubles_are_noted(throttle):
    """Whether the budget has heard of trouble: the slots of the next measurement are halved."""
    before = throttle.slots
    throttle.sample([None] * 99)
    return throttle.slots < before


async def test_request_and_answer_pass_as_they_are():
    network = Network()
    sender, throttle = paced(network)
    assert await sender.send(ASKING) is WELL
    assert await sender.send(ASKING, largest=9) is WELL
    assert network.sent == [(0.0, ASKING, MAX_RESPONSE_SIZE), (0.0, ASKING, 9)]
    assert not throttle.is_paused
    assert not troubles_are_noted(throttle)


@pytest.mark.parametrize("status", [429, 503])
async def test_an_answer_that_asks_for_less_pauses_all_requests(status):
    busy = Response(status=status)
    network = Network(busy)
    sender, throttle = paced(network)
    assert await sender.send(ASKING) is busy
    assert throttle.is_paused
    await sender.send(ASKING)
    assert [sent[0] for sent in network.sent] == [0.0, pytest.approx(1.0)]
    assert troubles_are_noted(throttle)


@pytest.mark.parametrize("status", [204, 404, 423, 500, 502, 504])
async def test_any_other_answer_is_none_that_asks_for_less(status):
    sender, throttle = paced(Network(BUSY, Response(status=status)))
    await sender.send(ASKING)
    await sender.send(ASKING)
    assert not throttle.is_paused


async def test_the_pause_is_as_long_as_the_server_asks():
    network = Network(Response(status=503, headers={"retry-after": "7"}))
    sender, _ = paced(network)
    await sender.send(ASKING)
    await sender.send(ASKING)
    assert network.sent[1][0] == pytest.approx(7.0)


async def test_after_a_pause_one_goes_ahead_and_the_others_follow_its_answer():
    network = Network(BUSY, BUSY)
    sender, _ = paced(network)
    await sender.send(ASKING)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(sender.send, ASKING)
    first, second, _ = [sent[0] for sent in network.sent[1:]]
    assert first >= 1.0
    # The first has met a busy server again, so that one more goes ahead, after a longer pause.
    assert second - first >= 1.75
    assert network.most_at_once == 1


async def test_that_nothing_moved_is_trouble_and_no_pause():
    error = TimedOut("nothing moved")
    sender, throttle = paced(Network(error))
    with pytest.raises(TimedOut) as caught:
        await sender.send(ASKING)
    assert caught.value is error
    assert not throttle.is_paused
    assert troubles_are_noted(throttle)


async def test_a_request_without_an_answer_says_nothing_of_the_server():
    sender, throttle = paced(Network(BUSY, ConnectionBroken("cut")))
    await sender.send(ASKING)
    assert troubles_are_noted(throttle)
    with pytest.raises(ConnectionBroken):
        await sender.send(ASKING)
    assert throttle.is_paused
    assert not troubles_are_noted(throttle)


async def test_request_without_an_answer_isnt_waited_for_any_more():
    network = Network(ConnectionBroken("cut"))
    sender, throttle = paced(network)
    with pytest.raises(ConnectionBroken):
        await sender.send(ASKING)
    network.now += 1000.0
    assert throttle.idle_seconds == 0.0


async def test_blocks_go_at_the_rate_and_as_they_are():
    blocks = [bytes([number]) * BLOCK for number in range(3)] + [memoryview(b"end" * BLOCK)]
    network = Network()
    sender, _ = paced(network, max_rate=BLOCK)
    assert await sender.send(SENDING, blocks=Source(*blocks)) is WELL
    assert [block for _, block in network.blocks] == blocks
    # A block goes when those before it have had their time.
    assert [time for time, _ in network.blocks] == pytest.approx([0.0, 1.0, 2.0, 3.0])


async def test_requests_share_the_rate():
    network = Network()
    sender, _ = paced(network, max_rate=BLOCK)
    for _ in range(2):
        await sender.send(SENDING, blocks=Source(bytes(BLOCK)))
    assert [time for time, _ in network.blocks] == pytest.approx([0.0, 1.0])


async def test_a_request_that_is_cancelled_in_a_pause_is_not_sent_and_no_block_is_read():
    network, source = Network(BUSY), Source(bytes(BLOCK))
    sender, _ = paced(network)
    await sender.send(ASKING)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sender.send(SENDING, blocks=source)
    assert (len(network.sent), source.asked) == (1, 0)


async def test_a_block_is_asked_for_when_the_one_before_is_gone():
    network, source = Network(ConnectionBroken("cut")), Source(*[bytes(BLOCK)] * 4)
    network.most_blocks = 2
    sender, _ = paced(network)
    with pytest.raises(ConnectionBroken):
        await sender.send(SENDING, blocks=source)
    assert source.asked == 2


async def test_what_the_source_raises_passes():
    error = SourceChanged("it shrank", source="talk.mp4")
    sender, throttle = paced(Network())
    with pytest.raises(SourceChanged) as caught:
        await sender.send(SENDING, blocks=Source(bytes(BLOCK), error))
    assert caught.value is error
    assert not troubles_are_noted(throttle)


async def test_a_server_that_is_silent_is_trouble():
    """The same with the real transport, whose error it has to be."""
    silent = Fault(On(path="/api/asset"), Stall(1000))
    throttle, timeouts = Throttle(), Timeouts(stall=0.2, answer=0.5, chunk_response=0.2)
    async with Sandbox(faults=[silent]) as sandbox, Transport(timeouts=timeouts) as transport:
        with pytest.raises(TimedOut):
            await ThrottledTransport(transport, throttle).send(
                Request(method="GET", url=f"{sandbox.base_url}/api/asset")
            )
    assert troubles_are_noted(throttle)


async def test_a_probe_that_gets_no_answer_is_followed_by_another_at_once():
    network = Network(BUSY, ConnectionBroken("cut"))
    sender, throttle = paced(network)
    await sender.send(ASKING)
    with pytest.raises(ConnectionBroken):
        await sender.send(ASKING)
    lost_at = network.now
    await sender.send(ASKING)
    assert network.now == lost_at
    assert not throttle.is_paused


async def test_a_probe_that_is_cancelled_is_followed_by_another_at_once():
    network = Network(BUSY)
    sender, throttle = paced(network)
    await sender.send(ASKING)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sender.send(ASKING)
    await sender.send(ASKING)
    assert network.now <= 2.0
    assert not throttle.is_paused


async def test_a_full_queue_is_asked_about_every_few_seconds_however_long_it_is_full():
    network = Network(*[BUSY] * 20)
    sender, _ = paced(network)
    for _ in range(21):
        await sender.send(ASKING)
    times = [sent[0] for sent in network.sent]
    assert max(after - before for before, after in itertools.pairwise(times)) <= 5.0


async def test_it_is_known_for_how_long_nothing_has_moved():
    network = Network()
    sender, throttle = paced(network)
    quiet = []

    class Slow(Source):
        async def __anext__(self):
            await network.sleep(3)
            quiet.append(throttle.idle_seconds)
            return await super().__anext__()

    network.now = 100.0
    assert throttle.idle_seconds == 0.0
    await sender.send(SENDING, blocks=Slow(b"1", b"2"))
    assert quiet == [3.0, 3.0, 3.0]
    assert throttle.idle_seconds == 0.0
