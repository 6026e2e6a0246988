"""A sandbox, and a cluster of two worker processes with different working directories."""

from types import SimpleNamespace

import pytest

from ingest_cluster import processes
from livepeer_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def cluster(sandbox, tmp_path_factory):
    """Two workers; `/proc/self/cwd` is another folder for each."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with (
        processes.scheduler() as scheduler,
        processes.worker(scheduler.address, sandbox, cwd=first) as worker,
        processes.worker(scheduler.address, sandbox, cwd=second),
    ):
        yield SimpleNamespace(address=scheduler.address, first=first, second=second, worker=worker)
