import tempfile

import pytest

from livepeer_async.sources import files, opening
from livepeer_async.uploads import asset_requests, uploader
from support.sandbox import PART

# More than a busy machine needs for anything.
LIMIT = 30.0


@pytest.fixture
def patient(monkeypatch):
    """Let what is cleared up after a cancellation take as long as a busy machine needs for it."""
    monkeypatch.setattr(asset_requests, "GIVE_BACK_TIMEOUT", LIMIT)
    monkeypatch.setattr(uploader, "CANCELLED_TIMEOUT", LIMIT)
    for module in (files, opening):
        monkeypatch.setattr(module, "OPEN_TIMEOUT", LIMIT)
    # Of the stalls in `cases` one is shorter and one is longer.
    monkeypatch.setattr(asset_requests, "TICKET_TIMEOUT", 2.0)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Have temporary files where they can be counted, and let streams be spooled into them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(opening, "SPOOL_IN_MEMORY", PART)
    (tmp_path / "sources").mkdir()
    return tmp_path / "sources"
