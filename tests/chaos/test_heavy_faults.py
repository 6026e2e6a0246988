"""Many uploads with faults in 30 % of all requests: all become ready."""

import logging
import os
from collections import Counter
from random import Random

import pytest

from chaos.conftest import LINES
from livepeer_async import UploadJob
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import Answer, CutAnswer, CutConnection, Fault, LoseAnswer, On
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]
FAULT_RATE = 0.3
IS_LONG = "LIVEPEER_ASYNC_CHAOS_LARGE" in os.environ
UPLOADS = 150 if IS_LONG else 20
SEEDS = range(1, 6) if IS_LONG else [1]
STORAGES = [SMALL_S3, {"storage": "file"}]
# The default policy with shorter delays.
RETRY = RetryPolicy(first_delay=0.01, max_delay=0.1)


def actions_of(rng):
    """Draw actions of each kind, which act before or after the server has processed a request."""
    cuts = [CutConnection(count, how) for count in (0, 0, rng.randrange(1, PART)) for how in CUTS]
    lost = [lose(how=how) for lose in (LoseAnswer, CutAnswer) for how in CUTS]
    refusals = [Answer(status) for status in (409, 423, 429, 500, 502, 503)]
    false_failures = [Answer(status, when="after") for status in (500, 502, 503)]
    return [*cuts, *lost, *refusals, *false_failures]


CUTS = ("fin", "rst")


def faults_of(seed):
    """Share the rate among the actions; each is drawn only if those before it did not fire."""
    actions = actions_of(Random(seed))
    each = FAULT_RATE / len(actions)
    return [
        Fault(On(probability=each / (1 - i * each)), action) for i, action in enumerate(actions)
    ]


def jobs_of(seed, folder):
    """Create uploads from bytes and files, half of them small enough for the creation."""
    rng = Random(seed)
    for number in range(UPLOADS):
        longest = PART if number % 2 else 5 * PART
        data = make_bytes(rng.randint(1, longest), seed=number)
        if number % 3:
            yield UploadJob(data, f"clip {number}"), data
        else:
            path = folder / f"clip {number}"
            path.write_bytes(data)
            yield UploadJob(path, path.name), data


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Do not log thousands of retries."""
    monkeypatch.setattr(logging.getLogger("livepeer_async"), "disabled", True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("storage", STORAGES, ids=["s3", "file"])
async def test_all_uploads_become_ready_despite_heavy_faults(
    storage, seed, tmp_path, record_property
):
    contents = {job.new_asset: data for job, data in jobs_of(seed, tmp_path)}
    faults = faults_of(seed)
    async with sandbox_and_client(*faults, client={"retry": RETRY}, seed=seed, **storage) as served:
        sandbox, livepeer = served
        jobs = [job for job, _ in jobs_of(seed, tmp_path)]
        async with livepeer.upload_many(jobs) as results:
            ended = [result async for result in results]
        assert Counter(type(it.error).__name__ for it in ended if it.error) == {}
        assert len(ended) == UPLOADS
        for result in ended:
            assert is_stored(sandbox, result.asset, contents[result.asset.name])
        assert sandbox.violations == []
        fired = sum(seen.fault is not None for seen in sandbox.requests)
        attempts = sum(result.attempts for result in ended)
        counts = f"{fired} of {len(sandbox.requests)} requests with a fault, {attempts} creations"
        what = f"{storage['storage']}, 30 % faults, seed {seed}"
        record_property(LINES, [f"{what}: {len(ended)} of {UPLOADS} ready, {counts}"])
