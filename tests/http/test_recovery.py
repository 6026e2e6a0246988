"""The end of an outage ends the back-off of the requests that failed in it."""

import anyio
import pytest

from livepeer_async.errors import NetworkError
from livepeer_async.http.messages import origin_of
from livepeer_async.http.recovery import MIN_OUTAGE, SPREAD_SECONDS, Recovery
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio
HOST, OTHER = "https://origin.example", "https://other.example"


class World:
    """A clock that moves with the sleeps, and calls a function at one time."""

    def __init__(self):
        self.clock = VirtualClock(100.0)
        self.recovery = Recovery(self.clock.as_clock()._replace(sleep=self.sleep))
        self.events = []

    def at(self, seconds, action, *args):
        self.events.append((100.0 + seconds, action, args))

    async def sleep(self, seconds):
        await self.clock.sleep(seconds)
        due = [event for event in self.events if event[0] <= self.clock.now]
        self.events = [event for event in self.events if event[0] > self.clock.now]
        for _, action, args in due:
            action(*args)

    async def wait(self, seconds, origin=HOST):
        """Return whether an outage ended, and the seconds waited."""
        began = self.clock.now
        has_ended = await self.recovery.wait(origin, seconds)
        return has_ended, self.clock.now - began


@pytest.fixture
def world():
    return World()


async def test_wait_ends_when_the_first_request_succeeds(world):
    world.recovery.record_failure(HOST)
    world.at(10, world.recovery.record_success, HOST)
    has_ended, waited = await world.wait(60)
    assert has_ended
    assert 10 <= waited <= 10.5 + SPREAD_SECONDS


async def test_wait_takes_its_time_without_a_recovery(world):
    world.recovery.record_failure(HOST)
    assert await world.wait(7) == (False, 7)


async def test_wait_spread_does_not_exceed_the_delay(world):
    world.recovery.record_failure(HOST)
    world.at(4.9, world.recovery.record_success, HOST)
    assert await world.wait(5) == (True, 5)


async def test_recovery_of_another_server_ends_no_wait(world):
    for origin in (HOST, OTHER):
        world.recovery.record_failure(origin)
    world.at(10, world.recovery.record_success, OTHER)
    assert await world.wait(20) == (False, 20)


async def test_single_failure_while_others_succeed_is_no_outage(world):
    world.recovery.record_failure(HOST)
    for second in range(1, 60):
        world.at(second, world.recovery.record_success, HOST)
        world.at(second + 0.2, world.recovery.record_failure, HOST)
    assert MIN_OUTAGE > 1
    assert await world.wait(30) == (False, 30)


async def test_wait_that_begins_after_the_recovery_is_not_shortened(world):
    world.recovery.record_failure(HOST)
    world.clock.advance(60)
    world.recovery.record_success(HOST)
    assert await world.wait(5) == (False, 5)


@pytest.mark.parametrize(("status", "is_failure"), [(500, True), (502, True), (404, False)])
async def test_only_server_errors_are_failures(world, status, is_failure):
    with world.recovery.record(HOST) as record:
        record(status)
    world.at(10, world.recovery.record_success, HOST)
    assert (await world.wait(20))[0] is is_failure


async def test_network_error_is_a_failure(world):
    with pytest.raises(NetworkError), world.recovery.record(HOST):
        raise NetworkError("no connection")
    world.at(10, world.recovery.record_success, HOST)
    assert (await world.wait(20))[0]


async def test_wait_can_be_cancelled(world):
    with anyio.move_on_after(0) as scope:
        await world.wait(1000)
    assert scope.cancelled_caught


async def test_password_of_a_malformed_url_is_not_kept(world):
    origin = origin_of("http://user:s3cret/x@host.example")
    world.recovery.record_failure(origin)
    world.at(10, world.recovery.record_success, origin)
    assert (await world.wait(20, origin))[0]
    assert "s3cret" not in repr(vars(world.recovery))
