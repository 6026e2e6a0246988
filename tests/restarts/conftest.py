from random import Random

import pytest
from anyio.from_thread import start_blocking_portal

from livepeer_async.sandbox import Fault, On, Sandbox, Slow
from restarts.plan import BYTES_PER_SECOND, IS_LONG, PROCESSING, SEED
from restarts.restarting import Restarting, write_files

LINES = "restarts lines"
# What says the same of another case; processes take their time to start.
at_length = pytest.mark.skipif(not IS_LONG, reason="`nox -s restarts` runs it")


@pytest.fixture(scope="session")
def portal():
    """An event loop for tests that aren't async."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def open_sandbox(portal):
    """Open a sandbox that stores as Livepeer does and takes its time, as a network would."""

    def begin(*, processing=PROCESSING):
        slow = Slow(BYTES_PER_SECOND)
        faults = [Fault(On(method=it, path="/upload/tus"), slow) for it in ("POST", "PATCH")]
        times = {"waiting_seconds": 0.1, "processing_seconds": processing}
        return portal.wrap_async_context_manager(Sandbox(storage="s3", faults=faults, **times))

    return begin


@pytest.fixture
def sandbox(open_sandbox):
    with open_sandbox(processing=0.1) as sandbox:
        yield sandbox


@pytest.fixture
def make_files(tmp_path):
    """Write files of these lengths."""
    return lambda *lengths: write_files(tmp_path / "files", list(lengths), Random(SEED))


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "uploads.journal"


@pytest.fixture
def command(sandbox, make_files, journal):
    """The command with some files of every kind."""
    return Restarting(sandbox, make_files(18_000_000, 9_000_000, 8_000_000, 70_000, 1), journal)


def pytest_terminal_summary(terminalreporter):
    """Print what the kills came to."""
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    found = [value for report in reports for name, value in report.user_properties if name == LINES]
    if found:
        terminalreporter.section("restarts")
        for lines in found:
            terminalreporter.write_line("\n".join(lines))
