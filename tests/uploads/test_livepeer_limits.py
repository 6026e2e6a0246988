"""Livepeer's limits against a strict storage with parts of the real size.

The storage loses every short piece at the end of a larger PATCH, forgets short pieces before the
end, and shows a part late.
"""

import pytest

from livepeer_async.sandbox import Fault, LoseAnswer, On
from livepeer_async.tus.limits import MIB
from support.sandbox import is_stored, make_bytes, sandbox_and_client, tus_requests

pytestmark = pytest.mark.anyio

PART = 8 * MIB
# A part becomes visible just before a client that waits one second requests the offset.
STRICT_S3 = {"storage": "s3", "race": 1.0, "visibility_seconds": 0.9}
LIVEPEER = {"upload_limits": None}


def strict_sandbox(*faults):
    return sandbox_and_client(*faults, client=LIVEPEER, hashes=False, **STRICT_S3)


@pytest.mark.parametrize(
    ("length", "requests"),
    [
        (PART, [("POST", 201)]),
        (PART + MIB, [("POST", 201), ("PATCH", 204), ("PATCH", 204)]),
        (2 * PART + 4 * MIB, [("POST", 201), ("PATCH", 204), ("PATCH", 204), ("PATCH", 204)]),
    ],
    ids=["8 MiB", "9 MiB", "20 MiB"],
)
async def test_default_limits_store_the_right_bytes(length, requests):
    data = make_bytes(length)
    async with strict_sandbox() as (sandbox, livepeer):
        async with livepeer.begin_upload(data, verify=None) as upload:
            pass
        assert is_stored(sandbox, upload.asset, data)
        assert tus_requests(sandbox) == requests
        assert sandbox.violations == []


async def test_default_limits_wait_for_a_stable_offset():
    data = make_bytes(2 * PART + 4 * MIB)
    lost = Fault(On(method="PATCH", nth=1), LoseAnswer())
    async with strict_sandbox(lost) as (sandbox, livepeer):
        async with livepeer.begin_upload(data, verify=None) as upload:
            pass
        assert lost.fired
        assert is_stored(sandbox, upload.asset, data)
        # No part was sent twice.
        assert upload.result.attempts == 1
        assert sum(r.received for r in sandbox.requests if r.method == "PATCH") == len(data)
        assert sandbox.violations == []


@pytest.mark.parametrize("length", [MIB, PART + MIB], ids=["with bytes", "without bytes"])
async def test_default_limits_create_once_per_ticket(length):
    data = make_bytes(length)
    lost = Fault(On(method="POST", path="/upload/tus", nth=1), LoseAnswer())
    async with strict_sandbox(lost) as (sandbox, livepeer):
        asset = await livepeer.upload(data, verify=None)
        assert lost.fired
        assert is_stored(sandbox, asset, data)
        assert sandbox.violations == []
