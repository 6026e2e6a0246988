from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wiring.production import Production, run_production, s3_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# A program; what it imports is installed for the sessions that start it.
collect_ignore = ["s3.py"]
SUMMARY = "wiring"


@pytest.fixture(scope="session")
def production_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run the servers once; tests that use them are marked `wiring`."""
    with run_production(tmp_path_factory.mktemp("wiring")) as urls:
        yield urls


@pytest.fixture
async def production(production_urls: dict[str, str]) -> AsyncIterator[Production]:
    async with s3_client() as s3:
        yield Production(**production_urls, s3=s3)


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[list[str]], None]:
    """Print lines at the end of the run, even if the test fails."""
    return lambda lines: record_property(SUMMARY, lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, lines in report.user_properties:
                if name == SUMMARY:
                    terminalreporter.section(report.location[2])
                    terminalreporter.write_line("\n".join(lines))
