"""The cost of faults: bytes sent, relative to the bytes of the files."""

from random import Random
from typing import NamedTuple

import httpx
import pytest
from msgspec.structs import replace

from chaos.conftest import LINES
from chaos.fault_kinds import TARGETS
from chaos.runner import RETRY
from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import CutConnection, Fault, LoseAnswer, Sandbox
from livepeer_async.tus.limits import MIB, livepeer_limits
from support.sandbox import PART, SMALL_LIMITS, SMALL_S3, is_stored, make_bytes

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]
FAULT_RATE = 0.05
# Number of faults that share the rate, each at its own position.
POSITIONS = 40


class Counting(httpx.AsyncHTTPTransport):
    """Counts the body bytes of tus requests."""

    def __init__(self):
        super().__init__()
        self.sent = 0

    async def handle_async_request(self, request):
        if "/upload/tus" in request.url.path:
            request.stream = Counted(request.stream, self)
        return await super().handle_async_request(request)


class Counted(httpx.AsyncByteStream):
    def __init__(self, stream, transport):
        self.stream = stream
        self.transport = transport

    async def __aiter__(self):
        async for block in self.stream:
            self.transport.sent += len(block)
            yield block


def faults_of(rng: Random, chunk: int) -> list[Fault]:
    """Create faults for one PATCH in 20: half cut the body, half lose the response.

    Each is drawn only if those before it did not fire.
    """
    actions = [CutConnection(rng.randrange(1, chunk), "rst") for _ in range(POSITIONS // 2)]
    actions += [LoseAnswer("rst")] * (POSITIONS // 2)
    each = FAULT_RATE / POSITIONS
    return [
        Fault(replace(TARGETS["patch"], probability=each / (1 - i * each)), action)
        for i, action in enumerate(actions)
    ]


class Cost(NamedTuple):
    """The ratio of bytes sent to bytes of the files, and the number of faults."""

    ratio: float
    patches: int
    fired: int
    cut: int

    def describe(self, what: str) -> str:
        faults = f"{self.fired} of {self.patches} PATCHes with a fault, {self.cut} of them cut"
        return f"bytes sent / bytes of the files: {self.ratio:.4f} ({what}; {faults})"


async def measure(options, limits, length, uploads):
    data = make_bytes(length)
    faults = faults_of(Random(1), limits.max_chunk)
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0, "seed": 1}
    transport = Counting()
    async with (
        httpx.AsyncClient(transport=transport) as http_client,
        Sandbox(faults=faults, **options, **quick) as sandbox,
        AsyncLivepeer(
            sandbox.api_key,
            base_url=sandbox.base_url,
            http_client=http_client,
            upload_limits=limits,
            retry=RETRY,
        ) as livepeer,
    ):
        for _ in range(uploads):
            asset = await livepeer.upload(data, "clip")
            assert is_stored(sandbox, asset, data)
            sandbox.stored(asset.playback_id).unlink()
        assert sandbox.violations == []
        patches = [r for r in sandbox.requests if r.method == "PATCH"]
    fired = [r for r in patches if r.fault]
    cut = [r for r in fired if r.fault == "CutConnection"]
    return Cost(transport.sent / (length * uploads), len(patches), len(fired), len(cut))


@pytest.mark.parametrize("storage", [pytest.param("file", marks=pytest.mark.slow), "s3"])
async def test_faults_in_5_percent_of_chunks_cost_little(storage, record_property):
    options = SMALL_S3 if storage == "s3" else {"storage": storage}
    cost = await measure(options, SMALL_LIMITS, 60 * PART + 777, uploads=12)
    record_property(LINES, [cost.describe(f"{storage}, parts of 64 KiB")])
    assert cost.cut
    # A fault costs at most one chunk.
    assert cost.ratio < 1 + 4 * PART * cost.fired / (12 * 60 * PART) + 0.01


@pytest.mark.slow
async def test_faults_cost_little_at_full_size(record_property):
    length = 320 * MIB + 777
    options = {"storage": "s3", "visibility_seconds": 0.3}
    cost = await measure(options, livepeer_limits(length), length, uploads=24)
    record_property(LINES, [cost.describe("s3, Livepeer's own limits")])
    assert cost.fired
    assert cost.ratio < 1.2
