"""What the process holds: open descriptors, threads, the loop's tasks, temporary files."""

import asyncio
import gc
import logging
import os
import tempfile
import threading
from contextlib import contextmanager

import anyio
from msgspec import Struct

SETTLE_SECONDS = 30.0
# Idle workers of anyio and of the loop's own pool stay; a leak grows with the number of cases.
IDLE_THREADS = 16


class Census(Struct, frozen=True):
    """What could leak: descriptors with what they lead to, threads, tasks, temporary files."""

    descriptors: dict[int, str]
    threads: int
    tasks: frozenset[asyncio.Task]
    temporary: tuple[str, ...]

    def more_than(self, before):
        """Name what is open that wasn't before; a number may be used again for something else."""
        left = sorted(before.descriptors.values())
        found = []
        for target in sorted(self.descriptors.values()):
            if target in left:
                left.remove(target)
            else:
                found.append(target)
        return found


def take_census():
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # that of the listing itself
        # The number behind tells one socket from another.
        descriptors[int(name)] = target.partition(":[")[0]
    return Census(
        descriptors=descriptors,
        threads=threading.active_count(),
        tasks=frozenset(asyncio.all_tasks()),
        temporary=tuple(sorted(os.listdir(tempfile.gettempdir()))),
    )


async def settled(is_settled):
    """Give what ends by itself, such as the server's half of a connection, the time to do so."""
    stop = anyio.current_time() + SETTLE_SECONDS
    while not is_settled() and anyio.current_time() < stop:
        gc.collect()
        await anyio.sleep(0.02)
    return is_settled()


async def assert_nothing_is_left(before, *, spare=0):
    """Compare with an earlier census; `spare` descriptors may be those of idle connections."""
    await settled(lambda: len(take_census().more_than(before)) <= spare)
    now = take_census()
    assert len(now.more_than(before)) <= spare, now.more_than(before)
    assert now.temporary == before.temporary
    assert now.threads <= before.threads + IDLE_THREADS
    await settled(lambda: asyncio.all_tasks() <= before.tasks)
    assert asyncio.all_tasks() <= before.tasks


@contextmanager
def no_complaints():
    """Fail where the loop has to say something: an exception that nobody asked for, for one.

    What Python says of coroutines that nobody awaited is a warning, and those are errors here.
    """
    heard = []

    class Listener(logging.Handler):
        def emit(self, record):
            heard.append(record.getMessage())

    listener = Listener()
    logging.getLogger("asyncio").addHandler(listener)
    try:
        yield
        gc.collect()
    finally:
        logging.getLogger("asyncio").removeHandler(listener)
    assert heard == []
