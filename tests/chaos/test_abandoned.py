"""A request that its client gives up must be over on the server's side as well, and at once."""

import pytest
from msgspec.structs import replace

from chaos.kinds import TARGETS
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.sandbox import Fault, Stall
from livepeer_async.tus import ServerLimits
from livepeer_async.tus.limits import MIB
from support.sandbox import is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
CHUNK = 8 * MIB


async def test_a_chunk_that_stalls_is_not_in_flight_beside_its_successor():
    """What lies in the socket's buffer holds the FIN back for as long as the server reads nothing.

    Only a RST goes ahead of it; with a FIN the rest of the chunk arrives after the next one.
    """
    limits = ServerLimits(first_chunk=CHUNK, max_chunk=CHUNK, settle=1.0, creates_once=True)
    stall = Fault(replace(TARGETS["patch"], nth=1), Stall(1000, after_bytes=1000))
    client = {"upload_limits": limits, "timeout": Timeouts(stall=0.5, chunk_response=0.5)}
    data = make_bytes(CHUNK + 99)
    async with sandbox_and_client(stall, client=client) as (sandbox, livepeer):
        asset = await livepeer.upload(data, "clip")
        assert is_stored(sandbox, asset, data)
        assert sandbox.violations == []
