import logging

import pytest

from leaks.conftest import detector  # noqa: F401 - a fixture
from livepeer_async.telemetry import EVENTS


class RecordList(logging.Handler):
    """Collects the records of this package, and finds those of an event."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def named(self, name):
        assert name in {event.name for event in EVENTS}
        return [record for record in self.records if record.event_name == name]

    @property
    def names(self):
        return [record.event_name for record in self.records]


@pytest.fixture
def log():
    """Record all events from DEBUG on."""
    logger, handler = logging.getLogger("livepeer_async"), RecordList()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)
