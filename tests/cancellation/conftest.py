import tempfile

import pytest

from livepeer_async.uploads import opening
from studio import PART


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Have temporary files where they can be counted, and let streams be spooled into them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(opening, "SPOOL_IN_MEMORY", PART)
    (tmp_path / "sources").mkdir()
    return tmp_path / "sources"
