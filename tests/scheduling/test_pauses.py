"""Pauses that several clients share; each exchange is a call of the journal's session."""

import inspect

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.concurrency import Clock
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.scheduling.pauses import PROBE_TIMEOUT, Pause, Pauses
from livepeer_async.scheduling.throttle import Throttle
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio


class Board:
    """What clients exchange, as the rows of a journal hold it; times are those of its own clock.

    Attributes:
        until: The end of the pause; None without one.
        woken: The clients that called for an exchange.
    """

    def __init__(self, clock, clients):
        self.clock = clock
        self.until = self.prober = None
        self.count, self.probed_at = 0, 0.0
        self.woken = set()
        self.attached = set()
        self.clients = [
            Pauses(RetryPolicy(first_delay=1.0), clock.as_clock()) for _ in range(clients)
        ]
        for client in self.clients:
            self.attach(client)

    def attach(self, client):
        self.attached.add(client)
        client.attach(lambda: self.woken.add(client))

    def detach(self, client):
        self.attached.discard(client)
        client.detach()

    def exchange(self, client):
        self.woken.discard(client)
        if client not in self.attached:
            return
        changes = client.changes()
        if changes.pause is not None:
            until = self.clock.now + changes.pause.seconds
            self.until = max(until, self.until or until)
            self.count = max(self.count, changes.pause.count)
            self.prober = None
        elif changes.is_resumed:
            self.until, self.count, self.prober = None, 0, None
        elif changes.has_released and self.prober is client:
            self.prober = None
        may_probe = changes.wants_probe and self._may_probe(client)
        if may_probe:
            self.prober, self.probed_at = client, self.clock.now
        seconds = None if self.until is None else self.until - self.clock.now
        pause = None if seconds is None else Pause(seconds, self.count)
        client.update(changes.version, pause, may_probe=may_probe)

    def _may_probe(self, client):
        is_due = self.until is not None and self.until <= self.clock.now
        is_free = self.prober in (None, client)
        return is_due and (is_free or self.probed_at < self.clock.now - PROBE_TIMEOUT)

    def settle(self):
        """Exchange until no client has anything to tell, as notifications do."""
        while self.woken:
            self.exchange(self.woken.pop())
        for client in self.clients:
            self.exchange(client)


async def tries_to_probe(client):
    """Whether a client becomes the probe without a wait."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        return await client.wait_or_probe() or None
    return False


async def ask_to_probe(board, client):
    """Have a client ask for the right to probe, and get the response."""
    await tries_to_probe(client)
    board.exchange(client)


def make_probe_due(board, client):
    """Pause all because of one client, until a probe is due."""
    client.pause(None, is_queue_full=False)
    board.settle()
    board.clock.advance(60)


@pytest.fixture
def clock():
    return VirtualClock(100.0)


@pytest.fixture
def board(clock):
    return Board(clock, clients=3)


async def test_pause_of_another_client_holds_here(board, clock):
    first, second, _ = board.clients
    assert first.pause(7.0, is_queue_full=True)
    board.settle()
    assert all(client.is_active for client in board.clients)
    await second.wait()
    assert clock.now == pytest.approx(107.0)


async def test_only_the_client_with_the_right_probes(board, clock):
    first, second, third = board.clients
    make_probe_due(board, first)
    assert [await tries_to_probe(client) for client in board.clients] == [False] * 3
    board.exchange(second)
    board.settle()
    assert await tries_to_probe(second)
    assert not await tries_to_probe(first)
    assert not await tries_to_probe(third)
    second.record_success()
    board.settle()
    assert not any(client.is_active for client in board.clients)


async def test_refused_probe_extends_the_pause_of_all(board, clock):
    first, second, third = board.clients
    make_probe_due(board, first)
    await ask_to_probe(board, second)
    assert await tries_to_probe(second)
    assert second.pause(30.0, is_queue_full=True)
    board.settle()
    await third.wait()
    assert clock.now == pytest.approx(190.0)
    assert board.count == 2


async def test_probe_without_a_response_is_replaced_elsewhere(board, clock):
    first, second, _ = board.clients
    make_probe_due(board, first)
    for _ in range(2):
        await ask_to_probe(board, first)
    assert board.prober is first
    await ask_to_probe(board, second)
    assert not await tries_to_probe(second)
    clock.advance(PROBE_TIMEOUT + 1)
    await ask_to_probe(board, second)
    assert await tries_to_probe(second)


async def test_released_probe_is_replaced_at_once(board, clock):
    first, second, _ = board.clients
    make_probe_due(board, first)
    await ask_to_probe(board, first)
    assert await tries_to_probe(first)
    first.release_probe()
    board.exchange(first)
    await ask_to_probe(board, second)
    assert await tries_to_probe(second)


async def test_detached_client_probes_by_itself(board, clock):
    first, second, _ = board.clients
    first.pause(None, is_queue_full=False)
    board.settle()
    board.detach(second)
    assert second.is_active
    clock.advance(60)
    assert await tries_to_probe(second)
    second.record_success()
    assert not second.is_active
    board.attach(second)
    board.settle()
    # What it learned while it was alone says nothing about the pause of the others.
    assert all(client.is_active for client in board.clients)


def test_pause_met_while_detached_is_told_later(board):
    first, second, _ = board.clients
    board.detach(first)
    first.pause(7.0, is_queue_full=True)
    board.settle()
    assert not second.is_active
    board.attach(first)
    board.settle()
    assert second.is_active


def test_pause_that_ended_meanwhile_is_not_told_again(board):
    first, second, _ = board.clients
    first.pause(7.0, is_queue_full=True)
    board.settle()
    board.detach(second)
    board.until, board.count = None, 0
    board.settle()
    assert second.is_active
    board.attach(second)
    board.settle()
    assert not any(client.is_active for client in board.clients)


def test_update_before_a_newer_change_is_ignored(board):
    first = board.clients[0]
    before = first.changes()
    first.pause(7.0, is_queue_full=True)
    first.update(before.version, None, may_probe=False)
    assert first.is_active
    assert first.changes().pause == Pause(pytest.approx(7.0), 1)


def test_seconds_are_those_of_a_real_clock(clock):
    fast = Pauses(RetryPolicy(), Clock(now=clock, random=lambda: 1.0, speed=10.0))
    fast.attach(lambda: None)
    fast.pause(50.0, is_queue_full=True)
    assert fast.changes().pause == Pause(pytest.approx(5.0), 1)


async def test_unused_right_to_probe_ends(board, clock):
    first, second, _ = board.clients
    make_probe_due(board, first)
    await ask_to_probe(board, first)
    clock.advance(PROBE_TIMEOUT + 1)
    await ask_to_probe(board, second)
    assert await tries_to_probe(second)
    assert not await tries_to_probe(first)


def test_idle_client_has_nothing_to_tell(board):
    board.settle()
    client = board.clients[0]
    for _ in range(3):
        client.record_success()
    assert not board.woken


STEPS = {
    "pause": lambda board, client: client.pause(None, is_queue_full=False),
    "success": lambda board, client: client.record_success(),
    "release": lambda board, client: client.release_probe(),
    "exchange": Board.exchange,
    "detach": Board.detach,
    "attach": Board.attach,
    "probe": lambda board, client: tries_to_probe(client),
}


async def probes(board):
    """Count the clients that become the probe of a pause, after all have asked."""
    board.clock.advance(1000)
    board.settle()
    count = 0
    for client in board.clients * 3:
        count += bool(await tries_to_probe(client))
        board.exchange(client)
    return count


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 2), st.sampled_from([0, 0.1, 1, 20]))
    )
)
def test_clients_agree_whatever_happened_before(steps):
    board = Board(VirtualClock(100.0), clients=3)

    async def run():
        for step, number, seconds in steps:
            result = STEPS[step](board, board.clients[number])
            if inspect.isawaitable(result):
                await result
            board.clock.advance(seconds)
        for client in board.clients:
            board.attach(client)
        board.settle()
        is_paused = board.until is not None
        assert [client.is_active for client in board.clients] == [is_paused] * 3
        assert await probes(board) == is_paused

    anyio.run(run)


def test_rate_is_divided_and_the_total_kept(clock):
    throttle = Throttle(max_rate=3e6, clock=clock.as_clock())
    throttle.share_rate(3)
    assert (throttle.max_rate, throttle.rate_share) == (3e6, 1e6)
    throttle.share_rate(1000)
    assert throttle.rate_share == 65536
    throttle.max_rate = None
    assert throttle.rate_share is None
    throttle.max_rate = 65536000
    assert throttle.rate_share == 65536
    throttle.share_rate(0)
    assert throttle.rate_share == 65536000


async def test_bytes_wait_for_the_share_of_the_rate(clock):
    throttle = Throttle(max_rate=1e6, clock=clock.as_clock())
    await throttle.consume(100_000)
    throttle.share_rate(4)
    # The 0.1 s that the first block takes are 0.4 s at a quarter of the rate.
    await throttle.consume(100_000)
    await throttle.consume(1)
    assert clock.now - 100.0 == pytest.approx(0.8)


def test_change_of_the_rate_asks_for_an_exchange(clock):
    woken = []
    throttle = Throttle(clock=clock.as_clock())
    throttle.attach(lambda: woken.append(throttle.max_rate))
    throttle.max_rate = 1e6
    assert woken[-1] == 1e6
    throttle.detach()
    throttle.max_rate = 2e6
    assert woken[-1] == 1e6
