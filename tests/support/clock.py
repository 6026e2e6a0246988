"""Virtual time, and waiting for a condition in real time."""

import inspect
import time

import anyio
import anyio.lowlevel

from livepeer_async.concurrency import Clock
from support.constants import TIMEOUT

POLL_SECONDS = 0.005


class VirtualClock:
    """A clock that only `sleep` and `advance` move.

    Attributes:
        now: The current time.
        sleeps: The durations that were slept.
    """

    def __init__(self, now=0.0):
        self.now = now
        self.sleeps = []

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds

    async def sleep(self, seconds):
        # Checkpoints let a cancellation arrive before the time passes.
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        self.sleeps.append(seconds)
        self.now += max(0.0, seconds)

    def as_clock(self, random=lambda: 0.5):
        """Return this clock as a `Clock` with the given source of jitter."""
        return Clock(now=self, sleep=self.sleep, random=random)


async def until(condition, *, seconds=TIMEOUT):
    """Wait until a function, or a coroutine function, returns something true."""
    with anyio.fail_after(seconds):
        while True:
            result = condition()
            if await result if inspect.isawaitable(result) else result:
                return
            await anyio.sleep(POLL_SECONDS)


def wait_until(condition):
    """Block until a function returns something true."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"still false after {TIMEOUT} s"
        time.sleep(0.02)
