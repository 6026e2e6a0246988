import tempfile

import pytest

from livepeer_async.sources import files, opening
from livepeer_async.uploads import asset_requests
from support.constants import TIMEOUT
from support.sandbox import PART


@pytest.fixture
def long_clean_up(monkeypatch):
    """Allow the clean-up after a cancellation the time that a busy machine needs."""
    monkeypatch.setattr(asset_requests, "TICKET_DISCARD_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(asset_requests, "CANCELLED_TIMEOUT", TIMEOUT)
    for module in (files, opening):
        monkeypatch.setattr(module, "OPEN_TIMEOUT", TIMEOUT)
    # Between the two stalls of `cases`.
    monkeypatch.setattr(asset_requests, "TICKET_TIMEOUT", 2.0)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Use a temporary folder of its own, and spool streams longer than a part to disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(opening, "MAX_SPOOL_IN_MEMORY", PART)
    (tmp_path / "sources").mkdir()
    return tmp_path / "sources"
