import gc
import tracemalloc

import pytest

from livepeer_async import errors
from livepeer_async.cli.output.error_messages import ExitStatus
from livepeer_async.cli.output.ingest_events import MAX_BAD_ROWS_PRINTED, IngestEvents
from livepeer_async.cli.output.ingest_status import IngestStatus
from livepeer_async.cli.output.plain import PlainLines
from livepeer_async.http.observers import WaitEvent
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.events import (
    Checked,
    Halted,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
)
from livepeer_async.ingest.rows import BadRow, Row
from livepeer_async.uploads.progress import Progress, Stage

EMPTY = errors.SourceEmpty("'a.mp4' is empty; wanted a video file", source="a.mp4")


class Ingest:
    """An ingestion whose messages and documents are recorded, with a clock that stands still."""

    def __init__(self, **options):
        self.status = IngestStatus()
        self.printed, self.logged, self.lines, self.now = [], [], [], 100.0
        self.events = IngestEvents(
            self.status, write=self.lines.append, clock=lambda: self.now, **options
        )
        self.events.display = self

    def print(self, message):
        self.printed.append(message)

    def print_problem(self, message):
        self.print(message)

    def log(self, message):
        self.logged.append(message)

    def apply(self, *events):
        for event in events:
            self.events.apply(event)

    def summarize(self):
        return PlainLines(self.status.batch, self.status, clock=lambda: self.now).summarize()


def row(number, length=100, **options):
    options = {"is_url": False, "manifest": "videos.csv", "line": number + 2} | options
    return Row(source=f"{number}.mp4", key=f"k{number}", length=length, **options)


def checked(rows, *, bad=0, length=None, urls=0):
    length = rows * 100 if length is None else length
    return Checked(rows=rows, bad=bad, length=length, urls=urls, skipped=0)


def ended(number, state=RowState.READY, **options):
    return RowEnded(row=row(number), state=state, **{"length": 100, **options})


def failed(number, error=EMPTY):
    return ended(number, RowState.FAILED, error=error)


@pytest.fixture
def ingest():
    return Ingest()


def test_file_in_a_folder_is_named_once(ingest):
    ingest.apply(BadRow("shows/a.mp4", "'shows/a.mp4' is empty; wanted a video file"))
    assert ingest.printed == ["'shows/a.mp4' is empty; wanted a video file"]


def test_row_leaves_a_document(ingest):
    ingest.apply(checked(2), RowStarted(row(0)))
    (file,) = ingest.status.batch.files
    assert (file.status, file.name, file.argument) == ("waiting", "0.mp4", "videos.csv:2")
    ingest.events.update(row(0), Progress(sent=40, length=100, asset_id="a0"))
    assert (file.status, file.sent, file.asset_id) == ("uploading", 40, "a0")
    ingest.apply(ended(0, asset_id="a0", playback_id="p0", attempts=1, verified="size"))
    assert ingest.status.batch.files == []
    (line,) = ingest.lines
    assert (line["state"], line["asset_id"], line["playback_id"]) == ("ready", "a0", "p0")
    assert (line["place"], line["key"], line["verified"]) == ("videos.csv:2", "k0", "size")
    assert ingest.printed == []


@pytest.mark.parametrize(("stage", "lines"), [(Stage.STARTING, 1), (Stage.UPLOADING, 0)])
def test_first_wait_of_a_row_that_starts_is_printed(ingest, stage, lines):
    ingest.apply(checked(2), RowStarted(row(0)))
    for seconds in (5.0, 10.0):
        waiting = WaitEvent(reason="no response", seconds=seconds)
        progress = Progress(sent=0, length=100, stage=stage, waiting=waiting)
        ingest.events.update(row(0), progress)
    assert ingest.logged == ["videos.csv:2: no response for 5 s"][:lines]


def test_check_that_waits_is_an_obstacle_before_the_first_row(ingest):
    ingest.apply(checked(2))
    ingest.status.observe(WaitEvent(reason="no response", seconds=5.0))
    assert ingest.status.obstacle(0) == "no response for 5 s"
    ingest.apply(RowStarted(row(0)))
    assert ingest.status.obstacle(0) == ""
    ingest.status.observe(None)
    assert ingest.status.obstacle(0) == ""


def test_bad_rows_are_printed_up_to_a_limit():
    bad = MAX_BAD_ROWS_PRINTED + 1234
    ingest = Ingest(has_report=True)
    ingest.apply(*(BadRow(f"videos.csv:{number}", "it is empty") for number in range(bad)))
    ingest.apply(checked(1, bad=bad))
    assert len(ingest.printed) == MAX_BAD_ROWS_PRINTED + 1
    assert ingest.printed[0] == "videos.csv:0: it is empty"
    assert ingest.printed[-1] == "and 1,234 more bad rows: the report lists them all"
    assert len(ingest.lines) == bad


def test_bad_rows_beyond_the_limit_suggest_a_report(ingest):
    ingest.apply(
        *[BadRow("a", "bad")] * (MAX_BAD_ROWS_PRINTED + 1), checked(0, bad=MAX_BAD_ROWS_PRINTED + 1)
    )
    assert ingest.printed[-1] == "and 1 more bad row: --report lists them all"


def test_failure_is_printed_with_its_place(ingest):
    lost = errors.RetriesExhausted("no progress", attempts=20)
    ingest.apply(checked(2), RowStarted(row(0)), failed(0), RowStarted(row(1)), failed(1, lost))
    first, second = ingest.printed
    assert first.startswith("videos.csv:2: 'a.mp4' is empty; wanted a video file; check that it")
    assert second == "videos.csv:3: 1.mp4: no progress; run the same command to retry it"
    assert [line["error"]["type"] for line in ingest.lines] == ["SourceEmpty", "RetriesExhausted"]
    assert ingest.status.stats.exit_status() is ExitStatus.FAILED


def test_failures_are_counted_by_kind(ingest):
    ingest.apply(checked(100), *(failed(number) for number in range(100)))
    ((name, kind),) = ingest.status.stats.failures.items()
    assert (name, kind.number, kind.location) == (("SourceEmpty", False), 100, "videos.csv:2")


def test_row_that_turns_bad_is_failed_not_unfinished(ingest):
    ingest.apply(checked(2), ended(0), BadRow("videos.csv:3", "it is empty"))
    assert ingest.status.stats.count(RowState.UNFINISHED) == 0
    assert ingest.status.stats.exit_status() is ExitStatus.FAILED


def test_deferred_row_is_retried(ingest):
    ingest.apply(checked(2), RowStarted(row(0)), RowDeferred(row(0), EMPTY))
    assert (ingest.status.batch.files, ingest.status.deferred) == ([], 1)
    ingest.apply(RowStarted(row(0)), ended(0))
    assert ingest.status.batch.summarize() == "1 of 2 ready"
    assert len(ingest.lines) == 1


def test_rows_of_an_earlier_run_count_as_ready(ingest):
    ingest.apply(checked(2), ended(0, is_earlier=True), ended(1, is_earlier=True))
    status = ingest.status
    assert (status.stats.earlier, status.batch.summarize()) == (2, "2 of 2 ready")
    assert (status.batch.transferred, status.stats.exit_status()) == (0, ExitStatus.OK)


def test_outage_is_printed_at_its_start_and_end(ingest):
    lost = errors.ConnectFailed("no connection to https://livepeer.studio/api: refused")
    ingest.apply(checked(2), Halted(lost, 40.0), Halted(lost, 60.0))
    assert ingest.printed == [f"halted: {lost}; rows continue when the server responds"]
    assert ingest.status.obstacle(130.0) == f"halted, retry 2 in 30 s: {lost}"
    assert ingest.status.obstacle(161.0) == f"halted, retry 2 running: {lost}"
    ingest.apply(Resumed(150.0))
    assert ingest.printed[-1] == "the server responds again after 2:30"
    assert ingest.status.obstacle(130.0) == ""


def test_aborted_rows_are_unfinished(ingest):
    ingest.apply(checked(3), RowStarted(row(0)), RowStarted(row(1)))
    ingest.events.update(row(0), Progress(sent=40, length=100, asset_id="a0"))
    ingest.apply(ended(1, RowState.UNFINISHED))
    ingest.events.abort()
    assert [(line["state"], line["asset_id"]) for line in ingest.lines] == [
        ("unfinished", None),
        ("unfinished", "a0"),
    ]
    assert ingest.status.stats.count(RowState.UNFINISHED) == 3
    assert ingest.status.stats.exit_status() is ExitStatus.FAILED


def test_progress_of_an_ended_row_is_ignored(ingest):
    ingest.apply(checked(1), RowStarted(row(0)), ended(0))
    ingest.events.update(row(0), Progress(sent=40, length=100))
    assert ingest.status.batch.files == []


def test_refused_key_sets_the_exit_status(ingest):
    refused = errors.Forbidden(status=403, errors=("no",), method="GET", url="https://h/api/asset")
    ingest.apply(checked(2), failed(0), failed(1, refused))
    assert ingest.status.stats.exit_status() is ExitStatus.NOT_AUTHORIZED


def test_summary_line_has_all_counts(ingest):
    ingest.apply(BadRow("videos.csv:9", "it is empty"))
    assert ingest.summarize() == "checking the manifest, 1 bad row"
    ingest.apply(checked(3, bad=1), RowStarted(row(0)), ended(1, is_earlier=True))
    ingest.events.update(row(0), Progress(sent=50, length=100))
    assert ingest.summarize() == (
        "1 of 3 ready, 1 uploading, 1 by other runs, 1 bad row; 50 B of 200 B sent (25 %)"
    )
    ingest.status.is_paused = lambda: True
    assert ingest.summarize().endswith("; paused: the server is busy or its queue is full")


def test_summary_line_of_urls_has_no_bytes(ingest):
    ingest.apply(checked(2, length=0, urls=2))
    assert ingest.summarize() == "0 of 2 ready"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows():
    ingest = Ingest()
    ingest.apply(checked(20_000))

    def run(numbers):
        for number in numbers:
            ingest.apply(RowStarted(row(number)))
            ingest.events.update(row(number), Progress(sent=50, length=100))
            ingest.apply(failed(number) if number % 2 else ended(number))
            ingest.lines.clear()
            ingest.logged.clear()
            ingest.printed.clear()

    # Python keeps the parts of paths for itself, so both runs have the same.
    run(range(10_000))
    tracemalloc.start()
    run(range(10_000))
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 50_000


LOST = errors.RetriesExhausted("no progress", attempts=20)


def retry(attempt):
    event = RetryEvent(reason="no connection", attempt=attempt, attempts=20, delay=7)
    return Progress(sent=10, length=100, retry=event)


def test_only_the_first_retry_of_a_row_is_logged(ingest):
    ingest.apply(checked(2), RowStarted(row(0)))
    for progress in (retry(1), retry(2), Progress(sent=20, length=100), retry(1)):
        ingest.events.update(row(0), progress)
    ingest.apply(RowDeferred(row(0), LOST))
    assert ingest.status.deferred == 1
    ingest.apply(RowStarted(row(0)))
    ingest.events.update(row(0), retry(1))
    assert ingest.logged == ["videos.csv:2: no connection; retry 1 of 20 in 7 s"]
    assert (ingest.printed, ingest.status.deferred) == ([], 0)


def test_resumed_row_is_logged(ingest):
    ingest.apply(checked(1), RowStarted(row(0)))
    for sent in (40, 60):
        ingest.events.update(row(0), Progress(sent=sent, length=100))
    assert ingest.logged == ["videos.csv:2: continuing from 40 B of 100 B"]


def test_row_deferred_without_a_retry_is_logged(ingest):
    lost = errors.AmbiguousRequest("no answer")
    ingest.apply(checked(1), RowStarted(row(0)), RowDeferred(row(0), lost))
    assert ingest.logged == ["videos.csv:2: no answer; retrying it after the other rows"]


def test_aborted_row_keeps_bytes_and_seconds(ingest):
    ingest.apply(checked(2), RowStarted(row(0)), RowStarted(row(1)))
    ingest.now = 130.0
    ingest.apply(RowDeferred(row(1), LOST))
    ingest.now = 140.0
    ingest.events.abort()
    assert [(line["bytes"], line["seconds"]) for line in ingest.lines] == [(100, 40.0)] * 2
    assert {line["state"] for line in ingest.lines} == {"unfinished"}
    assert ingest.status.deferred == 0


def test_row_in_use_elsewhere_is_unfinished(ingest):
    in_use = errors.UploadInUse(
        "the upload of 'k0' is in use: by process 1",
        path="j",
        key="k0",
    )
    ingest.apply(checked(1), RowStarted(row(0)), ended(0, RowState.UNFINISHED, error=in_use))
    stats = ingest.status.stats
    assert (stats.in_use, stats.failures, stats.exit_status()) == (1, {}, ExitStatus.FAILED)
    assert ingest.printed == [f"videos.csv:2: 0.mp4: {in_use.args[0]}"]
    assert ingest.lines[0]["error"]["type"] == "UploadInUse"
