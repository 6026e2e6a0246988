"""Uploads with random faults: each is exact and ready, or ends with one typed error."""

import asyncio
import logging

import pytest

from chaos.cases import draw_case
from chaos.conftest import ROWS
from chaos.runner import run_case
from chaos.summary import make_rows
from livepeer_async.uploads import completion

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
# Concurrent cases in a process; each mostly waits for its faults.
CONCURRENCY = 5
COMMAND = (
    "LIVEPEER_ASYNC_CHAOS_SEED={} LIVEPEER_ASYNC_CHAOS_CASES=1 pytest tests/chaos/test_chaos.py"
)


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    """Give up an asset that stays `uploading` after seconds, and log nothing."""
    monkeypatch.setattr(completion, "FINALIZE_AFTER", 1.0)
    monkeypatch.setattr(completion, "LEAVE_TIMEOUT", 2.0)
    monkeypatch.setattr(logging.getLogger("livepeer_async"), "disabled", True)


async def test_upload_is_exact_or_ends_with_one_typed_error(batch, tmp_path, record_property):
    seeds, rows, failures = iter(batch), [], []

    async def run_cases():
        for seed in seeds:
            case = draw_case(seed)
            try:
                outcome = await run_case(case, tmp_path)
            except Exception as error:
                error.add_note(f"{case!r}\n  run again: {COMMAND.format(seed)}")
                raise
            rows.extend(make_rows(case, outcome))
            if outcome.problems:
                found = [f"{case!r}", *outcome.problems, f"run again: {COMMAND.format(seed)}"]
                failures.append("\n  ".join(found))

    await asyncio.gather(*(run_cases() for _ in range(CONCURRENCY)))
    record_property(ROWS, rows)
    assert not failures, "\n\n".join(failures)
