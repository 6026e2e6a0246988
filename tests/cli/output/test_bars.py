import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.output.bars import MAX_IDLE_FILES, Bars, join_counts
from livepeer_async.cli.output.ingest_status import IngestStatus, Outage
from livepeer_async.cli.output.progress import BatchProgress, FileProgress
from livepeer_async.concurrency import Clock
from livepeer_async.http.observers import WaitEvent
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.events import Checked, RowState
from livepeer_async.uploads.progress import Progress, ProgressReporter, Stage
from support.constants import MIB

# The clock stands still while a frame is drawn.
NOW = 1000.0
REFUSED = "no connection to https://origin.example/files/1: refused"


class Screen:
    """A terminal with bars, and a clock that the test sets."""

    def __init__(self, batch, status=None, *, width=100, height=24):
        self.now = NOW
        self._console = Console(file=io.StringIO(), width=width, height=height)
        self._bars = Bars(batch, self._console, status, clock=lambda: self.now)

    def draw(self):
        self._console.file.seek(0)
        self._console.file.truncate()
        self._console.print(self._bars.render())
        return [line.rstrip() for line in self._console.file.getvalue().splitlines()]


def draw_ingestion(status, **size):
    return Screen(status.batch, status, **size).draw()


def draw_retry(width, reason, delay=30):
    file = FileProgress("one.mp4", "one.mp4", 100)
    retry = RetryEvent(reason=reason, attempt=3, attempts=8, delay=delay)
    file.update(Progress(sent=40, length=100, retry=retry), NOW)
    return Screen(BatchProgress([file]), width=width, height=40).draw()


def running(name, stage=Stage.UPLOADING, length=100):
    file = FileProgress(name, name, length)
    file.update(Progress(sent=50, length=length, stage=stage), NOW)
    return file


def ingesting(rows, files=(), *, length=0, urls=0):
    status = IngestStatus()
    status.stats.checked = Checked(rows=rows, bad=0, length=length, urls=urls, skipped=0)
    status.batch.expect(rows, length=length, is_measured=not urls)
    for file in files:
        status.batch.add(file)
    return status


class Sending:
    """An upload whose bytes the test sends.

    Attributes:
        file: its progress on the screen.
    """

    def __init__(self, length, *, resumed_at=0):
        self.file = FileProgress("one.mp4", "one.mp4", length)
        self.now, self._sent = NOW, resumed_at
        clock = Clock(now=lambda: self.now)
        self._reporter = ProgressReporter(length, self._show, clock=clock)
        self._reporter.begin("a1", is_resumed=resumed_at > 0)
        self._reporter.update_transfer(resumed_at, 0)

    def send(self, screen, steps, *, seconds=1.0):
        """Send up to each of these bytes in its own second, and have them acknowledged."""
        for sent in steps:
            screen.now += seconds
            self.now = screen.now
            self._reporter.update_transfer(self._sent, max(0, sent - self._sent))
            self._reporter.update_transfer(sent, 0)
            self._sent = sent
            screen.draw()

    def _show(self, progress):
        self.file.update(progress, self.now)


def test_retry_replaces_the_stage():
    row, total, _ = draw_retry(200, REFUSED)
    assert "  retry in 30 s (3 of 8): no connection to https:" in row
    assert row.endswith("files/1: refused")
    assert "/s" not in row + total
    assert ":" not in total
    row, _, below = draw_retry(120, "503 from PATCH https://origin.example/files/1: busy", delay=0)
    assert row.endswith("  retrying (3 of 8)")
    assert below == "503 from PATCH https://origin.example/files/1: busy"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_retry_fits_any_width(width):
    lines = draw_retry(width, REFUSED)
    assert " retry in 30 s" in lines[0]
    assert max(map(cell_len, lines)) <= width - 4


@pytest.mark.parametrize("width", [50, 80, 120])
def test_uploads_that_wait_for_the_same_are_counted(width):
    files = [FileProgress(name, name, 100) for name in ("one.mp4", "two.mp4")]
    for number, file in enumerate(files):
        wait = WaitEvent(
            reason="the server hasn't confirmed 8.0 MiB", seconds=9, place=f"/{number}"
        )
        file.update(Progress(sent=40, length=100, waiting=wait), NOW)
    below = Screen(BatchProgress(files), width=width, height=40).draw()[-1]
    assert below.startswith("2 uploads: the server hasn't")
    assert "PATCH" not in below


@pytest.mark.parametrize("width", [50, 80, 120])
def test_bar_of_the_total_is_empty_if_all_uploads_failed(width):
    file = running("one.mp4")
    file.finish(RowState.FAILED)
    total = Screen(BatchProgress([file]), width=width).draw()[1]
    assert "━" not in total
    assert "0/0" not in total


@pytest.mark.parametrize("width", [50, 80, 120])
def test_reason_that_a_row_has_no_room_for_is_below_the_bars(width):
    *_, below = draw_retry(width, REFUSED)
    # At 50 columns the row has no room for the number of the attempt either.
    attempt = "retry 3 of 8: " if width == 50 else ""
    assert below.startswith(f"{attempt}no connection to")
    assert below.endswith("refused")


def test_summary_that_the_total_has_no_room_for_is_below_the_bars():
    files = [running(f"{number}.mp4") for number in range(400)]
    for file in files[:30]:
        file.finish(RowState.FAILED)
    *_, total, below = Screen(BatchProgress(files), width=50).draw()
    assert total.endswith("%")
    assert below == "0 of 400 ready, 30 failed"


@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("is_ingestion", [True, False])
def test_forty_uploads_fit_the_height_and_stay_distinct(width, is_ingestion):
    files = [running(f"season-one-episode-{it:02}-of-the-road.mp4", length=200) for it in range(40)]
    status = ingesting(40, files, length=8000) if is_ingestion else None
    lines = Screen(status.batch if status else BatchProgress(files), status, width=width).draw()
    bars = [line for line in lines if "\u2501" in line][:-1]
    assert len(lines) <= 24 - 2
    assert len({line.split()[0] for line in bars}) == len(bars) >= 18
    assert max(map(cell_len, lines)) <= width - 4


def test_files_of_one_name_show_their_location():
    files = [FileProgress(f"rows.csv:{line}", "Trailer", 100) for line in (2, 3)]
    lines = Screen(BatchProgress(files), width=120).draw()
    assert [line[:22].strip() for line in lines[:2]] == [
        "Trailer (rows.csv:2)",
        "Trailer (rows.csv:3)",
    ]


def test_counts_that_do_not_fit_are_omitted_as_a_whole():
    counts = ["0 of 12 ready", "9 uploading", "3 processing", "2 bad rows"]
    assert join_counts(counts, "35.7 MiB of 81.1 MiB", 46) == (
        "0 of 12 ready, 9 uploading, 2 bad rows"
    )
    assert join_counts(counts, "1.0 MiB", 80) == (
        "0 of 12 ready, 1.0 MiB, 9 uploading, 3 processing, 2 bad rows"
    )
    assert join_counts(counts, "1.0 MiB", 20) == "0 of 12 ready"


def test_unchecked_manifest_has_no_counts():
    status = IngestStatus()
    status.stats.bad = 3
    assert draw_ingestion(status)[-1] == "checking the manifest, 3 bad rows"


@pytest.mark.parametrize("width", [40, 60, 80, 94, 120, 200])
def test_ingestion_fits_any_width(width):
    files = [running(f"a-long-name-of-a-video-{number}.mp4") for number in range(4)]
    status = ingesting(100_000, files, length=10**15)
    status.stats.bad = 1234
    status.outage = Outage("no connection", NOW + 40)
    lines = draw_ingestion(status, width=width)
    assert max(map(cell_len, lines)) <= width - 4
    assert lines[-2].startswith("0 of 100,000 ready, ")
    assert lines[-1].startswith("halted, retry 1 in 40 s: no")
    assert len(lines) == 4 + 1 + 2


def test_many_files_fit_the_height():
    files = [running(f"{number}.mp4", Stage.PROCESSING) for number in range(300)]
    files += [running(f"moving-{number}.mp4") for number in range(12)]
    status = ingesting(400, files, length=40_000)
    lines = draw_ingestion(status, height=24)
    assert len(lines) == 12 + 2
    assert all("moving-" in line for line in lines[:12])
    assert "12 uploading, 300 processing" in lines[-1]
    assert len(draw_ingestion(status, height=12)) == 12 - 4 - 2 + 2


def test_uploading_files_come_before_processed_ones():
    files = [running(f"{number}.mp4", Stage.PROCESSING) for number in range(20)]
    files += [running("moving.mp4"), FileProgress("later.mp4", "later.mp4", 100)]
    names = [line.split()[0] for line in Screen(BatchProgress(files), height=40).draw()]
    assert len(names) == MAX_IDLE_FILES + 1
    assert names[-2:] == ["moving.mp4", "total"]


def test_finished_rows_leave_the_screen():
    one, two = running("one.mp4"), running("two.mp4")
    status = ingesting(2, [one, two], length=200)
    screen = Screen(status.batch, status)
    assert len(screen.draw()) == 4
    one.finish(RowState.READY, length=100)
    status.batch.retire(one)
    assert [line.split()[0] for line in screen.draw()] == ["two.mp4", "total", "1"]


def test_pause_and_stop_are_shown_below_the_bars():
    status = ingesting(3, [running("one.mp4")], length=300)
    status.is_paused = lambda: True
    assert draw_ingestion(status)[-1] == "paused: the server is busy or its queue is full"
    status.is_stopping = True
    assert draw_ingestion(status)[-1] == (
        "stopping: finishing 1 chunk in flight; Ctrl-C quits immediately"
    )


def test_urls_are_counted_as_rows():
    url = running("https://h/a.mp4", Stage.PROCESSING, length=0)
    status = ingesting(4, [url], urls=4)
    url.finish(RowState.READY)
    status.batch.retire(url)
    total = draw_ingestion(status)[-2]
    assert total.startswith("total")
    assert total.endswith("25%")


def test_silent_server_is_shown():
    file = running("one.mp4", length=200)
    status = ingesting(1, [file], length=200)
    status.idle_seconds = lambda: 9.9
    assert draw_ingestion(status)[-1] == "0 of 1 ready, 1 uploading"
    status.idle_seconds = lambda: 72.9
    assert draw_ingestion(status)[-1] == "no progress for 1:12; waiting for the server"
    status.is_stopping = True
    assert draw_ingestion(status)[-1] == (
        "stopping: no progress for 1:12; Ctrl-C quits immediately"
    )


@pytest.mark.parametrize("width", [50, 80, 120])
def test_sent_file_waits_for_the_server(width):
    file = running("one.mp4", length=200)
    for sent in (100, 200):
        file.update(Progress(sent=sent, length=200), NOW - 1)
    bar, total, _ = draw_ingestion(ingesting(1, [file], length=200), width=width)
    assert bar.endswith(" being stored")
    assert ":" not in bar + total


def test_narrow_terminal_shows_bytes_below_the_bars():
    status = ingesting(3, [running("one.mp4", length=90 * MIB)], length=300 * MIB)
    assert draw_ingestion(status, width=80)[-1] == ("0 of 3 ready, 50 B of 300.0 MiB, 1 uploading")
    assert draw_ingestion(status, width=120)[-1] == "0 of 3 ready, 1 uploading"


def test_names_with_equal_beginnings_stay_distinct():
    files = [running(f"a rather long name of a lecture {number}.mp4") for number in (10, 20)]
    first, second, *_ = draw_ingestion(ingesting(2, files, length=200), width=80)
    assert first.startswith("a rath…re 10.mp4 ")
    assert second.startswith("a rath…re 20.mp4 ")


def test_waiting_rows_are_counted():
    waiting, moving = running("one.mp4"), running("two.mp4")
    retry = RetryEvent(reason="no connection", attempt=1, attempts=8, delay=9)
    waiting.update(Progress(sent=50, length=100, retry=retry), NOW)
    status = ingesting(9, [waiting, moving, FileProgress("a", "a", 100)], length=900)
    status.deferred = 3
    assert status.counts()[1:] == [
        "1 uploading",
        "1 waiting for a retry",
        "1 starting",
        "3 deferred",
    ]


def test_speed_and_remaining_time_are_shown():
    sending = Sending(20 * MIB)
    screen = Screen(BatchProgress([sending.file]), width=120)
    sending.send(screen, range(MIB, 10 * MIB, MIB))
    row, total = screen.draw()
    for line in (row, total):
        assert " 9.0/20.0 MiB   1.0 MiB/s    0:11 " in line


def test_bytes_of_an_earlier_run_are_not_in_the_speed():
    sending = Sending(100 * MIB, resumed_at=64 * MIB)
    screen = Screen(BatchProgress([sending.file]), width=120)
    sending.send(screen, (65 * MIB, 66 * MIB, 67 * MIB))
    row, total = screen.draw()
    for line in (row, total):
        assert " 67.0/100.0 MiB   1.0 MiB/s    0:33 " in line


def test_held_up_upload_has_no_speed_until_bytes_move():
    sending = Sending(20 * MIB)
    screen = Screen(BatchProgress([sending.file]), width=120)
    sending.send(screen, range(MIB, 10 * MIB, MIB))
    waiting = WaitEvent(reason="no data accepted", seconds=5.0)
    sending.file.update(Progress(sent=9 * MIB, length=20 * MIB, waiting=waiting), screen.now)
    assert "/s" not in screen.draw()[0]
    sending.send(screen, range(10 * MIB, 13 * MIB, MIB))
    assert " 1.0 MiB/s    0:08 " in screen.draw()[0]


def test_resent_bytes_do_not_distort_bar_and_speed():
    sending = Sending(20 * MIB)
    screen = Screen(BatchProgress([sending.file]), width=120)
    sending.send(screen, [*range(MIB, 20 * MIB + 1, MIB), 8 * MIB, 9 * MIB])
    row, total = screen.draw()
    for line in (row, total):
        assert "  45%    9.0/20.0 MiB " in line
        assert " 0:11 " in line or " 0:12 " in line


def test_speed_ignores_rows_of_an_earlier_run():
    sending = Sending(100 * MIB)
    status = ingesting(3, [sending.file], length=300 * MIB)
    screen = Screen(status.batch, status, width=120)
    sending.send(screen, (MIB, 2 * MIB))
    earlier = FileProgress("a", "a", 100 * MIB)
    earlier.finish(RowState.READY, length=100 * MIB)
    status.batch.retire(earlier)
    sending.send(screen, (3 * MIB, 4 * MIB))
    assert " 104.0/300.0 MiB   1.0 MiB/s " in screen.draw()[1]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_bytes_in_flight_are_shown_apart(width):
    file = FileProgress("one.mp4", "one.mp4", 100)
    file.update(Progress(sent=0, in_flight=100, length=100), NOW)
    row, total, *_ = Screen(BatchProgress([file]), width=width).draw()
    for line in (row, total):
        assert "╍╍" in line
        assert "━" not in line
        assert "   0% " in line
    assert row.endswith("being stored")


def test_bar_is_solid_only_for_acknowledged_bytes():
    file = FileProgress("one.mp4", "one.mp4", 100)
    file.update(Progress(sent=50, in_flight=25, length=100), NOW)
    bar = next(part for part in Screen(BatchProgress([file])).draw()[0].split() if "━" in part)
    assert [bar.count(it) / len(bar) for it in "━╍─"] == pytest.approx([0.5, 0.25, 0.25], abs=0.1)


@pytest.mark.parametrize("width", [50, 80, 120])
def test_wait_is_shown_at_any_width(width):
    file = FileProgress("one.mp4", "one.mp4", 100)
    place = "PATCH https://origin.example/files/1"
    waiting = WaitEvent(reason="no response", seconds=5.0, place=place)
    file.update(Progress(sent=40, length=100, waiting=waiting), NOW - 7)
    lines = Screen(BatchProgress([file]), width=width).draw()
    expected = "waiting 12 s" if width == 50 else "no response for 12 s"
    assert lines[0].endswith(expected)
    if width == 50:
        assert lines[-1].startswith("no response (PATCH https://")


def test_wait_after_failures_names_the_attempt():
    file = FileProgress("one.mp4", "one.mp4", 100)
    retry = RetryEvent(reason=REFUSED, attempt=3, attempts=8, delay=1)
    waiting = WaitEvent(reason="no response", seconds=5.0)
    file.update(Progress(sent=40, length=100, retry=retry, waiting=waiting), NOW)
    row = Screen(BatchProgress([file]), width=200).draw()[0]
    assert row.endswith("attempt 4 of 9: no response for 5 s")


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.RESUMING])
def test_row_that_fails_before_its_bytes_is_shown(stage):
    file = FileProgress("one.mp4", "one.mp4", 100)
    retry = RetryEvent(reason=REFUSED, attempt=1, attempts=8, delay=9)
    file.update(Progress(sent=0, length=100, stage=stage, retry=retry), NOW)
    row, *_ = draw_ingestion(ingesting(1, [file], length=100), width=80)
    assert row.startswith("one.mp4 ")
    assert row.endswith("retry in 9 s (1 of 8)")


def test_source_of_unknown_length_is_read():
    file = FileProgress("-", "stdin", None)
    file.sent = 5 * MIB
    row, total = Screen(BatchProgress([file]), width=120).draw()
    assert row.endswith(" reading")
    assert "%" not in row
    assert "0%" in total
