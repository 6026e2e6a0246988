"""Uploads to production's server on slow storage are exact, and nearly as fast as the storage."""

import hashlib
import time
import uuid

import anyio
import pytest

from livepeer_async.tus import TusClient, livepeer_limits
from support.proxy import FaultKind, RequestFault
from wiring.production import Production, run_production, s3_client
from wiring.run import MIB, Case, upload_one

pytestmark = [pytest.mark.slow_storage, pytest.mark.anyio]

MB = 1000 * 1000
UPLOADS = 8
# Ratio to the time that the storage needs for the bytes.
MAX_RATIO = 1.3


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("rate", "length"),
    [(5 * MB, 20 * MB), (MB, 20 * MB), (0.1 * MB, 9 * MB), (0.1 * MB, 2 * MB)],
    ids=["5 MB per s", "1 MB per s", "100 kB per s", "100 kB per s, small files"],
)
async def test_uploads_to_slow_storage_end_in_time(rate, length, tmp_path, report):
    cases = [Case(uuid.uuid4().hex, length, ()) for _ in range(UPLOADS)]
    with run_production(tmp_path, storage_rate=rate) as urls:
        async with s3_client() as s3:
            production = Production(**urls, s3=s3)
            seconds = await upload_all(production, cases)
            exact = [
                await production.sha256(case.name) == hashlib.sha256(case.content()).hexdigest()
                for case in cases
            ]
    ideal = UPLOADS * length / rate
    report(
        [
            f"{exact.count(True)} of {UPLOADS} exact, {length / MB:g} MB each",
            f"{seconds:.0f} s at {rate / MB:g} MB/s, ideal {ideal:.0f} s: {seconds / ideal:.2f}",
        ]
    )
    assert exact == [True] * UPLOADS
    assert seconds <= MAX_RATIO * ideal


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [FaultKind.RST, FaultKind.FIN, FaultKind.NO_CLIENT])
async def test_parts_of_a_cut_chunk_are_awaited(kind, tmp_path):
    """The second chunk is many times as long as the first, and its parts are stored for seconds."""
    length = 137 * MIB + 5
    case = Case(uuid.uuid4().hex, length, (None, RequestFault(kind, 0.9)))
    with run_production(tmp_path, storage_rate=8 * MB) as urls:
        async with s3_client() as s3:
            production = Production(**urls, s3=s3)
            outcome = await upload_one(production, case, livepeer_limits(length), 300)
    assert outcome.applied == {kind: 1}
    assert (outcome.error, outcome.lost, outcome.is_exact) == ("", [], True)


async def upload_all(production, cases):
    """Upload concurrently; return the seconds."""
    started = time.monotonic()
    async with (
        TusClient(limits=livepeer_limits(cases[0].length)) as tus,
        anyio.create_task_group() as tasks,
    ):
        for case in cases:
            url = production.creation_url(case.name)
            tasks.start_soon(tus.upload, case.content(), url)
    return time.monotonic() - started
