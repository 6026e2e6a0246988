"""Addresses at which no usable scheduler listens."""

import socket

import pytest

from livepeer_async.errors import ClusterError
from livepeer_async.ingest.cluster import workers

pytestmark = pytest.mark.anyio


async def test_silent_server_is_not_a_scheduler(monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Dask scheduler responds at {address}"):
            async with workers.connect(address, None):
                pytest.fail("connected")
