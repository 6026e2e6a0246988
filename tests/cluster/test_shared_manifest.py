"""Several processes run the same `ingest` with one journal on PostgreSQL."""

from pathlib import Path
from random import Random

import pytest

from cluster.processes import Cluster
from livepeer_async.sandbox import Answer, CutConnection, Fault, LoseAnswer, On, Sandbox

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

FILES = 150
# 5 % of the requests fail.
FAULTS = [
    Fault(On(path="/upload/tus", probability=0.02), CutConnection(after_bytes=700)),
    Fault(On(path="/upload/tus", probability=0.02), LoseAnswer()),
    Fault(On(path=r"/asset($|/request)", probability=0.01), Answer(502)),
]


@pytest.fixture
def cluster(postgres, tmp_path):
    random = Random(1)
    lengths = [random.randint(1, 300_000) for _ in range(FILES)]
    times = {"waiting_seconds": 0.05, "processing_seconds": 0.1}
    with (
        Sandbox(storage="s3", faults=FAULTS, seed=1, **times) as sandbox,
        Cluster(sandbox, postgres, tmp_path, lengths) as it,
    ):
        yield it


def test_killed_and_restarted_processes_share_a_manifest(cluster):
    for _ in range(3):
        cluster.start_ingest()
    for share in (0.2, 0.5, 0.8):
        cluster.wait_until(lambda share=share: cluster.count_ready() >= share * FILES)
        cluster.processes[-1].kill()
        cluster.start_ingest()
    # A row that another process has at the end is reported as in use.
    statuses = [it.finish() for it in cluster.processes]
    assert set(statuses) <= {0, 1, -9}
    again = cluster.start_ingest()
    assert again.finish() == 0
    ready = {line["key"] for line in again.lines if line["state"] == "ready"}
    assert {Path(key).name for key in ready} == {path.name for path in cluster.files}
    cluster.check()
    leftovers = [it for it in cluster.sandbox.assets if it.phase != "ready" and not it.is_deleted]
    assert {it.phase for it in leftovers} <= {"uploading"}
    assert cluster.sandbox.violations == []
    assert cluster.observer.overlaps() == []
