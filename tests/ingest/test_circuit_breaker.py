"""The circuit breaker, with virtual time."""

import anyio
import pytest

from livepeer_async.errors import ConnectFailed, NotAuthenticated
from livepeer_async.ingest.circuit_breaker import MAX_DELAY, CircuitBreaker
from livepeer_async.ingest.events import Halted, Resumed
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

DOWN = ConnectFailed("no connection")
WRONG_KEY = NotAuthenticated(status=401, errors=(), method="GET", url="u")


class Server:
    """Raises the given errors in response to pings, then succeeds."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.clock = VirtualClock()
        self.pings = 0
        self.events = []

    async def ping(self):
        self.pings += 1
        if self.errors:
            raise self.errors.pop(0)

    async def notify(self, event):
        self.events.append(event)

    def circuit_breaker(self, timeout=3600.0):
        clock = self.clock.as_clock(random=lambda: 1.0)
        return CircuitBreaker(self.ping, self.notify, timeout=timeout, clock=clock)


async def trip_and_wait(circuit_breaker):
    circuit_breaker.trip()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(circuit_breaker.run)
        await circuit_breaker.wait()
        tasks.cancel_scope.cancel()


async def test_closed_circuit_sends_no_ping():
    server = Server()
    await server.circuit_breaker().wait()
    assert not server.pings


async def test_successful_ping_closes_without_events():
    server = Server()
    await trip_and_wait(server.circuit_breaker())
    assert (server.pings, server.events) == (1, [])


async def test_pings_back_off_until_one_succeeds():
    server = Server(*[DOWN] * 9)
    await trip_and_wait(server.circuit_breaker())
    *halts, resumed = server.events
    assert [halt.delay for halt in halts] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(halt.delay for halt in halts) == MAX_DELAY
    assert all(isinstance(halt, Halted) and halt.error is DOWN for halt in halts)
    assert resumed == Resumed(server.clock.now)


async def test_circuit_can_be_tripped_again():
    server = Server()
    circuit_breaker = server.circuit_breaker()
    await trip_and_wait(circuit_breaker)
    circuit_breaker.trip()
    circuit_breaker.trip()
    await trip_and_wait(circuit_breaker)
    assert server.pings == 2


@pytest.mark.parametrize(("errors", "raised"), [((WRONG_KEY,), WRONG_KEY), ((DOWN,) * 99, DOWN)])
async def test_final_error_or_timeout_is_raised(errors, raised):
    server = Server(*errors)
    circuit_breaker = server.circuit_breaker(timeout=100.0)
    circuit_breaker.trip()
    with pytest.raises(type(raised)):
        await circuit_breaker.run()
    assert server.pings < 9


async def test_stop_wakes_waiters():
    circuit_breaker = Server().circuit_breaker()
    circuit_breaker.trip()
    circuit_breaker.stop()
    await circuit_breaker.wait()


async def test_trip_after_stop_is_ignored():
    server = Server()
    circuit_breaker = server.circuit_breaker()
    circuit_breaker.stop()
    circuit_breaker.trip()
    await circuit_breaker.wait()
    assert not server.pings
