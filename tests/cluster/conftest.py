import pytest

from cluster.dask_runs import COUNT, LENGTH, SLOW
from cluster.processes import Cluster
from ingest.running import write_videos
from livepeer_async.sandbox import Sandbox

ROW = "cluster row"
LINES = "cluster lines"
HEAD = (
    "fault",
    "exit",
    "stopped after",
    "taken over after",
    "cut",
    "sent again",
    "overlaps",
    "assets",
)


@pytest.fixture
def cluster(postgres, tmp_path):
    """A sandbox with S3 storage, a database, and processes that share them."""
    times = {"waiting_seconds": 0.1, "processing_seconds": 0.1}
    with Sandbox(storage="s3", **times) as sandbox, Cluster(sandbox, postgres, tmp_path) as it:
        yield it


@pytest.fixture
async def sandbox():
    """A sandbox whose transfers take long enough for faults in the middle."""
    times = {"waiting_seconds": 0.0, "processing_seconds": 0.0}
    async with Sandbox(storage="s3", faults=SLOW, **times) as sandbox:
        yield sandbox


@pytest.fixture
def videos(tmp_path):
    """The files of the folder `videos`."""
    (tmp_path / "videos").mkdir()
    return write_videos(tmp_path / "videos", COUNT, LENGTH)


def pytest_terminal_summary(terminalreporter):
    """Print the table of the faults, and the counts of long ingestions."""
    groups = ("passed", "failed", "xfailed")
    reports = [report for group in groups for report in terminalreporter.stats.get(group, [])]
    properties = [it for report in reports for it in report.user_properties]
    rows = [value for name, value in properties if name == ROW]
    for name, lines in properties:
        if name == LINES:
            terminalreporter.section("ingestion with kills")
            terminalreporter.write_line(lines)
    if rows:
        terminalreporter.section("faults of the shared journal")
        for row in (HEAD, ["---"] * len(HEAD), *sorted(rows)):
            terminalreporter.write_line(f"| {' | '.join(map(str, row))} |")
