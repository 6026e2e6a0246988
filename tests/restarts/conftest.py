from random import Random

import pytest

from livepeer_async.sandbox import Fault, On, Sandbox, Slow
from restarts.command import RestartedCommand, write_files
from restarts.plan import BYTES_PER_SECOND, PROCESSING, SEED

LINES = "restarts lines"


@pytest.fixture
def open_sandbox(portal):
    """Open a sandbox with S3 storage and limited bandwidth."""

    def open_sandbox(*, processing=PROCESSING):
        slow = Slow(BYTES_PER_SECOND)
        faults = [
            Fault(On(method=method, path="/upload/tus"), slow) for method in ("POST", "PATCH")
        ]
        times = {"waiting_seconds": 0.1, "processing_seconds": processing}
        return portal.wrap_async_context_manager(Sandbox(storage="s3", faults=faults, **times))

    return open_sandbox


@pytest.fixture
def sandbox(open_sandbox):
    with open_sandbox(processing=0.1) as sandbox:
        yield sandbox


@pytest.fixture
def make_files(tmp_path):
    """Write files of the given lengths."""
    return lambda *lengths: write_files(tmp_path / "files", list(lengths), Random(SEED))


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "uploads.journal"


@pytest.fixture
def command(sandbox, make_files, journal):
    """A command with files of each size class."""
    return RestartedCommand(sandbox, make_files(17_000_000, 8_000_000, 70_000, 1), journal)


def pytest_terminal_summary(terminalreporter):
    """Print the reports of the kills."""
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    found = [value for report in reports for name, value in report.user_properties if name == LINES]
    if found:
        terminalreporter.section("restarts")
        for lines in found:
            terminalreporter.write_line("\n".join(lines))
