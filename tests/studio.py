"""A sandbox and a client in a hurry, for the tests that need both."""

import hashlib
from contextlib import asynccontextmanager

import anyio

from livepeer_async import AsyncLivepeer
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import Sandbox
from livepeer_async.tus import ServerLimits

KIB = 1024
PART = 64 * KIB
QUICK = RetryPolicy(attempts=5, first_delay=0.01, max_delay=0.05)
# Seconds in which what is to happen has happened, also where everything is slow.
PATIENCE = 30.0
# Seconds that nobody may have waited for: longer than a test takes.
FOR_EVER = 1000.0
VISIBILITY = 0.05

# The S3 storage with everything 128 times smaller; the rules are those of Livepeer's.
SMALL_S3 = {
    "storage": "s3",
    "part_size": PART,
    "min_piece": 40 * KIB,
    "visibility_seconds": VISIBILITY,
    "race": 1.0,
}
STORAGES = [{"storage": "file"}, SMALL_S3]
SMALL_LIMITS = ServerLimits(
    align=PART,
    tail_alone=True,
    first_chunk=PART,
    max_chunk=4 * PART,
    settle=2 * VISIBILITY,
    with_creation=PART,
    creates_once=True,
)


@asynccontextmanager
async def studio(*faults, client=None, **options):
    """Serve a Studio and hand out a client of it."""
    options = {"waiting_seconds": 0.0, "processing_seconds": 0.0, **options}
    async with (
        Sandbox(faults=faults, **options) as sandbox,
        client_of(sandbox, **(client or {})) as livepeer,
    ):
        yield sandbox, livepeer


def client_of(sandbox, journal=None, **options):
    """Make a client of a sandbox; with its journal, as another process would have it."""
    settings = {
        "api_key": sandbox.api_key,
        "base_url": sandbox.base_url,
        "retry": QUICK,
        "upload_limits": SMALL_LIMITS,
        **options,
    }
    return AsyncLivepeer(journal=journal, **settings)


def content(length, seed=7):
    """Make bytes of which no two pieces are alike."""
    return hashlib.shake_128(bytes([seed])).digest(length)


def tus_requests(sandbox):
    """List the tus requests as (method, status), oldest first."""
    return [(r.method, r.status) for r in sandbox.requests if "/upload/tus" in r.path]


def is_stored(sandbox, asset, expected):
    """Whether exactly these bytes are stored for an asset."""
    path = sandbox.stored(asset.playback_id)
    return path is not None and path.read_bytes() == expected


async def until(is_true, *, seconds=PATIENCE):
    """Wait until something holds that nothing tells of."""
    with anyio.fail_after(seconds):
        while not is_true():  # noqa: ASYNC110 - what is waited for is another's state
            await anyio.sleep(0.005)


async def cut_once(is_time, function, *args):
    """Run a function, and cancel it in its middle: once something holds."""
    has_ended = False

    async def run():
        nonlocal has_ended
        await function(*args)
        has_ended = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await until(is_time)
        assert not has_ended
        tasks.cancel_scope.cancel()
