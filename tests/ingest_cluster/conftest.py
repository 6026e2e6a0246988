"""A sandbox, and a cluster of two worker processes with different working directories."""

from types import SimpleNamespace

import pytest
from anyio.from_thread import start_blocking_portal

from ingest_cluster import processes
from livepeer_async.ingest.cluster import nodes
from livepeer_async.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler in a thread."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(nodes.listen("127.0.0.1", 0, None)) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def cluster(scheduler, sandbox, tmp_path_factory):
    """Two workers; `/proc/self/cwd` is another folder for each."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with (
        processes.worker(scheduler, sandbox, cwd=first),
        processes.worker(scheduler, sandbox, cwd=second),
    ):
        yield SimpleNamespace(address=scheduler, first=first, second=second)
