import gc
import json
import tracemalloc

import pytest

from livepeer_async import errors
from livepeer_async.cli.output.error_messages import Status
from livepeer_async.cli.output.ingest_events import MOST_BAD_TOLD, Following
from livepeer_async.cli.output.ingest_status import Standing
from livepeer_async.cli.output.plain import summarise
from livepeer_async.cli.output.progress import Stage
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
from livepeer_async.uploads.progress import Progress

EMPTY = errors.SourceEmpty("'a.mp4' is empty; wanted a video file", source="a.mp4")


class Told:
    """What an ingestion that is followed came to, with a clock that stands still."""

    def __init__(self, **options):
        self.standing = Standing()
        self.notes, self.lines, self.now = [], [], 100.0
        self.following = Following(
            self.standing,
            note=self.notes.append,
            write=lambda line: self.lines.append(json.loads(line)),
            clock=lambda: self.now,
            **options,
        )

    def take(self, *events):
        for event in events:
            self.following.take(event)


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
def told():
    return Told()


def test_a_file_that_was_found_in_a_folder_is_named_once(told):
    told.take(BadRow("shows/a.mp4", "'shows/a.mp4' is empty; wanted a video file"))
    assert told.notes == ["'shows/a.mp4' is empty; wanted a video file"]


def test_a_row_runs_and_leaves_a_line(told):
    told.take(checked(2), RowStarted(row(0)))
    (item,) = told.standing.board.items
    assert (item.stage, item.name, item.argument) == (Stage.WAITING, "0.mp4", "videos.csv:2")
    told.following.follow(row(0), Progress(sent=40, length=100, asset_id="a0"))
    assert (item.stage, item.sent, item.asset_id) == (Stage.UPLOADING, 40, "a0")
    told.take(ended(0, asset_id="a0", playback_id="p0", attempts=1, verified="size"))
    assert list(told.standing.board.items) == []
    (line,) = told.lines
    assert (line["state"], line["asset_id"], line["playback_id"]) == ("ready", "a0", "p0")
    assert (line["place"], line["key"], line["verified"]) == ("videos.csv:2", "k0", "size")
    assert told.notes == []


def test_bad_rows_are_told_up_to_a_number_and_all_have_a_line():
    bad = MOST_BAD_TOLD + 1234
    told = Told(has_report=True)
    told.take(*(BadRow(f"videos.csv:{number}", "it is empty") for number in range(bad)))
    told.take(checked(1, bad=bad))
    assert len(told.notes) == MOST_BAD_TOLD + 1
    assert told.notes[0] == "videos.csv:0: it is empty"
    assert told.notes[-1] == "and 1,234 more bad rows: the report has all of them"
    assert len(told.lines) == bad


def test_without_a_report_the_option_for_one_is_named(told):
    told.take(*[BadRow("a", "bad")] * (MOST_BAD_TOLD + 1), checked(0, bad=MOST_BAD_TOLD + 1))
    assert told.notes[-1] == "and 1 more bad row: --report takes them all"


def test_a_failure_is_told_once_where_it_stands(told):
    lost = errors.RetriesExhausted("no progress", attempts=20)
    told.take(checked(2), RowStarted(row(0)), failed(0), RowStarted(row(1)), failed(1, lost))
    first, second = told.notes
    assert first.startswith("videos.csv:2: 'a.mp4' is empty; wanted a video file; check that it")
    assert second == "videos.csv:3: 1.mp4: no progress; the same command tries again"
    assert [line["error"]["type"] for line in told.lines] == ["SourceEmpty", "RetriesExhausted"]
    assert told.standing.tally.status() is Status.FAILED


def test_failures_are_counted_by_kind_with_the_first_of_each(told):
    told.take(checked(100), *(failed(number) for number in range(100)))
    ((name, kind),) = told.standing.tally.kinds.items()
    assert (name, kind.number, kind.place) == (("SourceEmpty", False), 100, "videos.csv:2")


def test_a_row_that_became_bad_since_the_check_is_none_that_is_left(told):
    told.take(checked(2), ended(0), BadRow("videos.csv:3", "it is empty"))
    assert told.standing.tally.count(RowState.UNFINISHED) == 0
    assert told.standing.tally.status() is Status.FAILED


def test_a_row_that_is_put_off_comes_again(told):
    told.take(checked(2), RowStarted(row(0)), RowDeferred(row(0), EMPTY))
    assert (list(told.standing.board.items), told.standing.board.has_more) == ([], True)
    told.take(RowStarted(row(0)), ended(0))
    assert told.standing.board.summary() == "1 of 2 ready"
    assert len(told.lines) == 1


def test_rows_of_an_earlier_run_count_as_done(told):
    told.take(checked(2), ended(0, is_earlier=True), ended(1, is_earlier=True))
    standing = told.standing
    assert (standing.tally.earlier, standing.board.summary()) == (2, "2 of 2 ready")
    assert (standing.board.moved, standing.tally.status()) == (0, Status.OK)


def test_an_outage_is_told_at_its_beginning_and_its_end(told):
    lost = errors.ConnectFailed("no connection to https://livepeer.studio/api: refused")
    told.take(checked(2), Halted(lost, 40.0), Halted(lost, 60.0))
    assert told.notes == [f"halted: {lost}; rows start again when the server answers"]
    assert told.standing.obstacle(130.0) == ("halted: no connection", "next try in 30 s")
    assert told.standing.obstacle(161.0) == ("halted: no connection", "trying")
    told.take(Resumed(150.0))
    assert told.notes[-1] == "the server answers again, after 2:30"
    assert told.standing.obstacle(130.0) is None


def test_what_runs_at_the_end_is_unfinished(told):
    told.take(checked(3), RowStarted(row(0)), RowStarted(row(1)))
    told.following.follow(row(0), Progress(sent=40, length=100, asset_id="a0"))
    told.take(ended(1, RowState.UNFINISHED))
    told.following.break_off()
    assert [(line["state"], line["asset_id"]) for line in told.lines] == [
        ("unfinished", None),
        ("unfinished", "a0"),
    ]
    assert told.standing.tally.count(RowState.UNFINISHED) == 3
    assert told.standing.tally.status() is Status.FAILED


def test_progress_of_a_row_that_has_ended_is_passed_over(told):
    told.take(checked(1), RowStarted(row(0)), ended(0))
    told.following.follow(row(0), Progress(sent=40, length=100))
    assert list(told.standing.board.items) == []


def test_a_key_that_is_refused_for_rows_is_not_authorised(told):
    refused = errors.Forbidden(status=403, errors=("no",), method="GET", url="https://h/api/asset")
    told.take(checked(2), failed(0), failed(1, refused))
    assert told.standing.tally.status() is Status.NOT_AUTHORISED


def test_a_summary_line_says_how_far_all_are(told):
    told.take(BadRow("videos.csv:9", "it is empty"))
    assert summarise(told.standing.board, 0, told.standing) == "checking the manifest, 1 bad row"
    told.take(checked(3, bad=1), RowStarted(row(0)), ended(1, is_earlier=True))
    told.following.follow(row(0), Progress(sent=50, length=100))
    assert summarise(told.standing.board, 0, told.standing) == (
        "1 of 3 ready, 1 uploading, 1 by an earlier run, 1 bad row; 150 B of 300 B sent (50 %)"
    )
    told.standing.is_paused = lambda: True
    said = summarise(told.standing.board, 0, told.standing)
    assert said.endswith(
        "; paused: the server is busy or its queue is full; it is asked again soon"
    )


def test_a_summary_line_of_urls_alone_counts_no_bytes(told):
    told.take(checked(2, length=0, urls=2))
    assert summarise(told.standing.board, 0, told.standing) == "0 of 2 ready"


@pytest.mark.slow
def test_memory_doesnt_grow_with_the_rows():
    standing = Standing()
    following = Following(standing, note=lambda _: None, write=lambda _: None)
    following.take(checked(20_000))

    def run(numbers):
        for number in numbers:
            following.take(RowStarted(row(number)))
            following.follow(row(number), Progress(sent=50, length=100))
            following.take(failed(number) if number % 2 else ended(number))

    # Python keeps the parts of paths for itself, so both runs have the same.
    run(range(10_000))
    tracemalloc.start()
    run(range(10_000))
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 50_000


LOST = errors.RetriesExhausted("no progress", attempts=20)


def setback_of(attempt):
    retry_event = RetryEvent(reason="no connection", attempt=attempt, attempts=20, delay=7)
    return Progress(sent=10, length=100, retry=retry_event)


def test_the_first_setback_of_a_row_is_logged_and_no_other():
    logged = []
    told = Told(log=logged.append)
    told.take(checked(2), RowStarted(row(0)))
    for progress in (setback_of(1), setback_of(2), Progress(sent=20, length=100), setback_of(1)):
        told.following.follow(row(0), progress)
    told.take(RowDeferred(row(0), LOST))
    assert told.standing.put_off == 1
    told.take(RowStarted(row(0)))
    told.following.follow(row(0), setback_of(1))
    assert logged == ["videos.csv:2: no connection; next attempt in 7 s"]
    assert (told.notes, told.standing.put_off) == ([], 0)


def test_a_row_that_is_put_off_without_a_setback_says_why():
    logged = []
    told = Told(log=logged.append)
    lost = errors.AmbiguousRequest("no answer")
    told.take(checked(1), RowStarted(row(0)), RowDeferred(row(0), lost))
    assert logged == ["videos.csv:2: no answer; it comes again later"]


def test_what_is_broken_off_keeps_its_bytes_and_seconds(told):
    told.take(checked(2), RowStarted(row(0)), RowStarted(row(1)))
    told.now = 130.0
    told.take(RowDeferred(row(1), LOST))
    told.now = 140.0
    told.following.break_off()
    assert [(line["bytes"], line["seconds"]) for line in told.lines] == [(100, 40.0)] * 2
    assert {line["state"] for line in told.lines} == {"unfinished"}
    assert told.standing.put_off == 0


def test_a_row_of_another_run_is_unfinished_and_no_failure(told):
    in_use = errors.UploadInUse(
        "the upload of 'k0' is in use: by process 1",
        path="j",
        key="k0",
    )
    told.take(checked(1), RowStarted(row(0)), ended(0, RowState.UNFINISHED, error=in_use))
    tally = told.standing.tally
    assert (tally.in_use, tally.kinds, tally.status()) == (1, {}, Status.FAILED)
    assert told.notes == ["videos.csv:2: 0.mp4: it is carried by another run"]
    assert told.lines[0]["error"]["type"] == "UploadInUse"
