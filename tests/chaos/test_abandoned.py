"""A request that the client gives up must end on the server at once."""

import pytest
from msgspec.structs import replace

from chaos.fault_kinds import TARGETS
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.sandbox import Fault, Stall
from livepeer_async.tus import ServerLimits
from livepeer_async.tus.limits import MIB
from support.sandbox import is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
CHUNK = 8 * MIB


async def test_stalled_chunk_ends_before_the_next_one():
    """Needs a RST: a FIN waits behind the socket's buffer while the server doesn't read."""
    limits = ServerLimits(first_chunk=CHUNK, max_chunk=CHUNK, settle=1.0, creates_once=True)
    stall = Fault(replace(TARGETS["patch"], nth=1), Stall(1000, after_bytes=1000))
    client = {"upload_limits": limits, "timeout": Timeouts(stall=0.5, chunk_response=0.5)}
    data = make_bytes(CHUNK + 99)
    async with sandbox_and_client(stall, client=client) as (sandbox, livepeer):
        asset = await livepeer.upload(data, "clip")
        assert is_stored(sandbox, asset, data)
        assert sandbox.violations == []
