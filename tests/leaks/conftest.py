import pytest

from leaks.context import add_known_secrets, track_upload_tokens
from leaks.detector import LeakDetector


@pytest.fixture
def detector(monkeypatch):
    detector = LeakDetector()
    add_known_secrets(detector)
    track_upload_tokens(detector, monkeypatch)
    return detector
