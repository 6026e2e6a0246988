"""Uploads through everything that goes wrong: exact and ready, or one typed error; never a hang."""

import asyncio
import logging

import pytest

from chaos.cases import draw_case
from chaos.conftest import ROWS
from chaos.running import run_case
from chaos.tally import rows_of
from livepeer_async.uploads import transfer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
# Cases that run side by side in a process; each waits for its faults most of the time.
LANES = 5
AGAIN = "LIVEPEER_ASYNC_CHAOS_SEED={} LIVEPEER_ASYNC_CHAOS_CASES=1 pytest tests/chaos/test_chaos.py"


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """An asset that stays `uploading` is given up after seconds, and setbacks aren't printed."""
    monkeypatch.setattr(transfer, "NUDGE_AFTER", 1.0)
    monkeypatch.setattr(transfer, "LEAVE_TIMEOUT", 2.0)
    monkeypatch.setattr(logging.getLogger("livepeer_async"), "disabled", True)


async def test_an_upload_ends_exact_or_with_one_typed_error(batch, tmp_path, record_property):
    seeds, rows, complaints = iter(batch), [], []

    async def run_lane():
        for seed in seeds:
            case = draw_case(seed)
            try:
                outcome = await run_case(case, tmp_path)
            except Exception as error:
                error.add_note(f"{case!r}\n  again: {AGAIN.format(seed)}")
                raise
            rows.extend(rows_of(case, outcome))
            if outcome.problems:
                found = [f"{case!r}", *outcome.problems, f"again: {AGAIN.format(seed)}"]
                complaints.append("\n  ".join(found))

    await asyncio.gather(*(run_lane() for _ in range(LANES)))
    record_property(ROWS, rows)
    assert not complaints, "\n\n".join(complaints)
