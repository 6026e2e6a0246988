"""Asking a server that may be gone, with the time injected."""

import anyio
import anyio.lowlevel
import pytest

from livepeer_async.errors import ConnectFailed, NotAuthenticated
from livepeer_async.ingest.circuit_breaker import LONGEST_DELAY, CircuitBreaker
from livepeer_async.ingest.events import Halted, Resumed

pytestmark = pytest.mark.anyio

DOWN = ConnectFailed("no connection")
WRONG_KEY = NotAuthenticated(status=401, errors=(), method="GET", url="u")


class Server:
    """Answers as it is told, while a clock goes on by what is slept."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.now = 0.0
        self.pings = 0
        self.told = []

    async def ping(self):
        self.pings += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    async def tell(self, event):
        self.told.append(event)

    async def sleep(self, seconds):
        self.now += seconds
        await anyio.lowlevel.checkpoint()

    def circuit_breaker(self, timeout=3600.0):
        return CircuitBreaker(
            self.ping,
            self.tell,
            timeout=timeout,
            sleep=self.sleep,
            clock=lambda: self.now,
            jitter=lambda: 1.0,
        )


async def watch(server, circuit_breaker):
    """Suspect, and wait until the server is found well."""
    circuit_breaker.trip()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(circuit_breaker.run)
        await circuit_breaker.wait()
        tasks.cancel_scope.cancel()


async def test_without_a_suspicion_nobody_waits_and_nothing_is_asked():
    server = Server()
    await server.circuit_breaker().wait()
    assert not server.pings


async def test_a_server_that_answers_is_asked_once_and_nothing_is_told():
    server = Server()
    await watch(server, server.circuit_breaker())
    assert (server.pings, server.told) == (1, [])


async def test_it_is_asked_until_it_answers_with_growing_pauses():
    server = Server(*[DOWN] * 9)
    await watch(server, server.circuit_breaker())
    *halts, resumed = server.told
    assert [halt.delay for halt in halts] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(halt.delay for halt in halts) == LONGEST_DELAY
    assert all(isinstance(halt, Halted) and halt.error is DOWN for halt in halts)
    assert resumed == Resumed(server.now)


async def test_one_suspicion_after_another_is_looked_into():
    server = Server()
    circuit_breaker = server.circuit_breaker()
    await watch(server, circuit_breaker)
    circuit_breaker.trip()
    circuit_breaker.trip()
    await watch(server, circuit_breaker)
    assert server.pings == 2


@pytest.mark.parametrize(("answers", "error"), [((WRONG_KEY,), WRONG_KEY), ((DOWN,) * 99, DOWN)])
async def test_what_no_waiting_cures_ends_it(answers, error):
    server = Server(*answers)
    circuit_breaker = server.circuit_breaker(timeout=100.0)
    circuit_breaker.trip()
    with pytest.raises(type(error)):
        await circuit_breaker.run()
    assert server.pings < 9


async def test_who_stops_waits_no_longer():
    server = Server(*[DOWN] * 99)
    circuit_breaker = server.circuit_breaker()
    circuit_breaker.trip()
    circuit_breaker.stop()
    await circuit_breaker.wait()


async def test_once_stopped_no_suspicion_makes_anybody_wait():
    server = Server(*[DOWN] * 99)
    circuit_breaker = server.circuit_breaker()
    circuit_breaker.stop()
    circuit_breaker.trip()
    await circuit_breaker.wait()
    assert not server.pings
