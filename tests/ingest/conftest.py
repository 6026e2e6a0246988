"""Fixtures of the ingest tests."""

import pytest


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder
