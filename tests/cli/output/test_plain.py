import re

import pytest

from livepeer_async.cli.output.ingest_status import IngestStatus, Outage
from livepeer_async.cli.output.plain import PlainLines
from livepeer_async.cli.output.progress import BatchProgress, FileProgress
from livepeer_async.errors import ConnectFailed
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.events import Checked
from livepeer_async.uploads.progress import Progress, Stage


@pytest.fixture
def status():
    status = IngestStatus()
    status.stats.checked = Checked(rows=3, bad=0, length=300, urls=0, skipped=0)
    status.batch.expect(3, length=300)
    return status


@pytest.fixture
def log(status, capfd):
    """Ticks from one second to another; returns the lines without the time of day."""
    now = 0.0
    lines = PlainLines(status.batch, status, clock=lambda: now)

    def pass_time(first, last):
        nonlocal now
        for second in range(first, last):
            now = float(second)
            lines.tick()
        printed = capfd.readouterr().err.splitlines()
        assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in printed)
        return [line[9:] for line in printed]

    return pass_time


def test_total_is_printed_on_change_or_every_minute(status, log):
    assert log(1, 10) == []
    assert log(10, 70) == ["0 of 3 ready; 0 B of 300 B sent (0 %)"]
    assert log(70, 71) == ["0 of 3 ready; 0 B of 300 B sent (0 %)"]
    status.deferred = 2
    assert log(71, 80) == []
    assert log(80, 81) == ["0 of 3 ready, 2 deferred; 0 B of 300 B sent (0 %)"]


def test_silence_is_printed_at_its_start_and_end(status, log):
    status.idle_seconds = lambda: 10.4
    assert log(1, 9) == ["no progress for 10 s; waiting for the server"]
    status.idle_seconds = lambda: 72.0
    assert log(9, 10) == []
    status.idle_seconds = lambda: 0.0
    assert log(10, 11)[0] == "the server responds again after 1:12"
    assert log(11, 20) == []


def test_outage_hides_silence(status, log):
    status.outage = Outage(str(ConnectFailed("no connection")), 100.0)
    status.idle_seconds = lambda: 20.0
    assert log(1, 9) == []
    status.outage, status.idle_seconds = None, lambda: 0.0
    assert log(9, 10) == []


@pytest.fixture
def file_log(capfd):
    """Applies progress to a file; returns the lines that it prints."""
    file = FileProgress("a.mp4", "a.mp4", 100)
    lines = PlainLines(BatchProgress([file]))

    def apply(**progress):
        file.update(Progress(length=100, **progress), 0.0)
        lines.update(file)
        return capfd.readouterr().err.splitlines()

    return apply


def make_retry():
    return RetryEvent(reason="no connection", attempt=1, attempts=8, delay=1.0)


def test_upload_continues_once_bytes_move(file_log):
    file_log(sent=0, asset_id="a1")
    assert len(file_log(sent=40, in_flight=10, retry=make_retry())) == 1
    assert file_log(sent=40) == []
    assert file_log(sent=40, in_flight=10) == ["a.mp4: continuing from 40 B"]
    assert file_log(sent=50, in_flight=10) == []


def test_retried_deletion_is_no_continuation(file_log):
    file_log(sent=0)
    file_log(sent=0, retry=make_retry())
    assert file_log(sent=0) == []


def test_resumed_upload_says_so(file_log):
    file_log(sent=0, stage=Stage.RESUMING)
    assert file_log(sent=40) == ["a.mp4: continuing from 40 B of 100 B"]
    assert file_log(sent=40, in_flight=10) == []
