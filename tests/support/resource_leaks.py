"""Checks for leaked descriptors, threads, tasks and temporary files."""

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
# Idle workers of anyio and of the loop's pool stay, after at most 32 chunks at once; a leak grows
# with the number of cases.
IDLE_THREADS = 48


class Resources(Struct, frozen=True):
    """What the process holds; `descriptors` maps numbers to targets."""

    descriptors: dict[int, str]
    threads: int
    tasks: frozenset[asyncio.Task]
    temporary: tuple[str, ...]

    def opened_since(self, before):
        """List targets that weren't open before; numbers are reused."""
        left = sorted(before.descriptors.values())
        found = []
        for target in sorted(self.descriptors.values()):
            if target in left:
                left.remove(target)
            else:
                found.append(target)
        return found


def snapshot_resources():
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own descriptor
        # The number that follows differs for each socket.
        descriptors[int(name)] = target.partition(":[")[0]
    return Resources(
        descriptors=descriptors,
        threads=threading.active_count(),
        tasks=frozenset(asyncio.all_tasks()),
        temporary=tuple(sorted(os.listdir(tempfile.gettempdir()))),
    )


async def settled(is_settled):
    """Wait for what ends by itself, such as the server's half of a connection."""
    stop = anyio.current_time() + SETTLE_SECONDS
    while not is_settled() and anyio.current_time() < stop:
        gc.collect()
        await anyio.sleep(0.02)
    return is_settled()


async def assert_no_leaks(before, *, idle=0):
    """Compare with an earlier snapshot; `idle` connections may still be open."""
    await settled(lambda: len(snapshot_resources().opened_since(before)) <= idle)
    now = snapshot_resources()
    assert len(now.opened_since(before)) <= idle, now.opened_since(before)
    assert now.temporary == before.temporary
    assert now.threads <= before.threads + IDLE_THREADS
    await settled(lambda: asyncio.all_tasks() <= before.tasks)
    assert asyncio.all_tasks() <= before.tasks


@contextmanager
def no_asyncio_logs():
    """Fail if the loop logs something, such as an exception that was never retrieved."""
    messages = []

    class Recorder(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    recorder = Recorder()
    logging.getLogger("asyncio").addHandler(recorder)
    try:
        yield
        gc.collect()
    finally:
        logging.getLogger("asyncio").removeHandler(recorder)
    assert messages == []
