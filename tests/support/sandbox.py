"""A sandbox and a client with short delays."""

import hashlib
from contextlib import asynccontextmanager

import anyio

from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox
from livepeer_async.tus import ServerLimits
from support.clock import until
from support.constants import FAST_RETRY, KIB

PART = 64 * KIB
VISIBILITY = 0.05

# S3 storage with all sizes 128 times smaller than Livepeer's, and the same rules.
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
async def sandbox_and_client(*faults, client=None, **options):
    """Run a sandbox, and a client of it with the options `client`."""
    options = {"waiting_seconds": 0.0, "processing_seconds": 0.0, **options}
    async with (
        Sandbox(faults=faults, **options) as sandbox,
        client_for(sandbox, **(client or {})) as livepeer,
    ):
        yield sandbox, livepeer


def client_for(sandbox, journal=None, **options):
    """Create a client of a sandbox."""
    settings = {
        "api_key": sandbox.api_key,
        "base_url": sandbox.base_url,
        "retry": FAST_RETRY,
        "upload_limits": SMALL_LIMITS,
        **options,
    }
    return AsyncLivepeer(journal=journal, **settings)


def make_bytes(length, seed=7):
    """Create bytes in which no two parts are equal."""
    return hashlib.shake_128(bytes([seed])).digest(length)


def tus_requests(sandbox):
    """List the tus requests as (method, status), oldest first."""
    return [(r.method, r.status) for r in sandbox.requests if "/upload/tus" in r.path]


def is_stored(sandbox, asset, expected):
    """Whether exactly these bytes are stored for an asset."""
    path = sandbox.stored(asset.playback_id)
    return path is not None and path.read_bytes() == expected


async def cancel_when(condition, function, *args):
    """Run a coroutine function, and cancel it once a condition holds and before it ends."""
    has_ended = False

    async def run():
        nonlocal has_ended
        await function(*args)
        has_ended = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await until(condition)
        assert not has_ended
        tasks.cancel_scope.cancel()
