"""The circuit breaker, with virtual time."""

import anyio
import anyio.lowlevel
import pytest

from livepeer_async.errors import ConnectFailed, NotAuthenticated, TimedOut
from livepeer_async.ingest import circuit_breaker
from livepeer_async.ingest.circuit_breaker import MAX_DELAY, CircuitBreaker
from livepeer_async.ingest.events import Halted, Resumed
from livepeer_async.scheduling.throttle import Throttle
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio

DOWN = ConnectFailed("no connection")
WRONG_KEY = NotAuthenticated(status=401, errors=(), method="GET", url="u")


class Server:
    """Raises the given errors in response to pings, then succeeds."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.clock = VirtualClock()
        self.throttle = Throttle(clock=self.clock.as_clock())
        self.ping_times = []
        self.pings = 0
        self.events = []

    async def ping(self):
        self.pings += 1
        self.ping_times.append(self.clock.now)
        if self.errors:
            raise self.errors.pop(0)

    async def notify(self, event):
        self.events.append(event)

    def circuit_breaker(self, timeout=3600.0):
        clock = self.clock.as_clock(random=lambda: 1.0)
        return CircuitBreaker(
            self.ping, self.notify, timeout=timeout, throttle=self.throttle, clock=clock
        )

    async def watch_until(self, seconds):
        """Watch for some virtual seconds."""
        circuit_breaker = self.circuit_breaker()

        async def stop():
            while self.clock.now < seconds:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for task in (circuit_breaker.run, circuit_breaker.watch, stop):
                tasks.start_soon(task)


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


async def test_failing_requests_halt_within_30_seconds():
    server = Server(*[DOWN] * 2)
    server.throttle.record_failure()
    await server.watch_until(30)
    assert isinstance(server.events[0], Halted)
    assert server.ping_times[0] <= 10


async def test_silent_requests_halt_within_30_seconds(monkeypatch):
    monkeypatch.setattr(circuit_breaker, "FIRST_PING_TIMEOUT", 0.01)
    server = Server()
    server.throttle.request_started()
    server.ping = anyio.sleep_forever
    breaker = server.circuit_breaker()
    async with anyio.create_task_group() as tasks:

        async def notify(event):
            server.events.append(event)
            tasks.cancel_scope.cancel()

        server.notify = notify
        breaker = server.circuit_breaker()
        tasks.start_soon(breaker.run)
        tasks.start_soon(breaker.watch)
    (halted,) = server.events
    assert isinstance(halted.error, TimedOut)
    # The time-out of the ping follows.
    assert server.clock.now >= circuit_breaker.FIRST_PATIENCE


async def test_slow_ping_beside_other_requests_is_no_outage(monkeypatch):
    monkeypatch.setattr(circuit_breaker, "FIRST_PING_TIMEOUT", 0.01)
    server = Server()

    async def ping():
        await server.throttle.consume(1)
        await anyio.sleep_forever()

    server.ping = ping
    await trip_and_wait(server.circuit_breaker())
    assert not server.events


async def test_slow_storage_is_pinged_ever_less_often():
    server = Server()
    server.throttle.request_started()
    await server.watch_until(300)
    assert not server.events
    assert 3 <= server.pings <= 8


async def test_responding_server_is_not_pinged():
    server = Server()
    server.throttle.record_failure()
    server.throttle.record_response()
    await server.watch_until(100)
    assert not server.pings
