"""Addresses at which no usable scheduler listens."""

import os
import socket

import pytest

from ingest_cluster import processes
from livepeer_async.errors import ClusterError
from livepeer_async.ingest.cluster import nodes, workers

pytestmark = pytest.mark.anyio


async def test_silent_server_is_not_a_scheduler(monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Dask scheduler responds at {address}"):
            async with workers.connect(address, None):
                pytest.fail("connected")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_worker_joins_by_any_kind_of_address(host):
    own = "::1" if host == "::1" else "127.0.0.1"
    async with (
        nodes.listen(host, 0, None) as address,
        nodes.join(address, own, 1, None) as worker,
        nodes.connect(address, None) as client,
    ):
        assert list(await client.nthreads()) == [worker.address]


@pytest.mark.cluster
def test_killed_worker_leaves_no_files(tmp_path):
    with processes.scheduler() as scheduler:
        variables = {"LIVEPEER_API_KEY": "key", "TMPDIR": str(tmp_path)}
        with processes.worker(scheduler.address, **variables) as worker:
            worker.kill()
    assert os.listdir(tmp_path) == []
