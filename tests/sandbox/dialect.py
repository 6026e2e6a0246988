"""Both storages by name, and how their tus endpoint refuses: plain text without a type."""

import pytest

from sandbox.wire import SMALL_PARTS

STORAGES = {"file": {"storage": "file"}, "s3": {**SMALL_PARTS, "race": 0.0}}
BOTH = pytest.mark.parametrize("storage", ["file", "s3"])

NOT_FOUND = "The file for this url was not found\n"


def check_text(answer, status, text):
    """Check an answer in tus' dialect: plain text without a type."""
    assert (answer.status_code, answer.text) == (status, text)
    assert "content-type" not in answer.headers
    assert answer.headers["content-length"] == str(len(text))
    assert answer.headers["tus-resumable"] == "1.0.0"
