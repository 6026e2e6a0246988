import io
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.output import bars
from livepeer_async.cli.output import progress as items
from livepeer_async.cli.output.bars import Bars
from livepeer_async.cli.output.ingest_status import Halt, Standing
from livepeer_async.cli.output.progress import Board, Item
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.events import Checked
from livepeer_async.uploads.progress import Progress, Stage

# The clock stands still while a picture is drawn.
NOW = 1000.0
REFUSED = "no connection to https://origin.example/files/1: refused [request 1]"


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch):
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: NOW))


def drawn(width, reason, delay=30):
    """Draw a file that has just met a setback."""
    item = Item("one.mp4", "one.mp4", 100)
    retry_event = RetryEvent(reason=reason, attempt=3, attempts=8, delay=delay)
    item.follow(Progress(sent=40, length=100, retry=retry_event), NOW)
    board = Board([item])
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=False)
    console.print(Bars(board, console))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (REFUSED, "no connection, try 3 of 8"),
        ("503 from PATCH https://origin.example/files/1: busy", "answer 503, try 3 of 8"),
        ("ReadError (PATCH https://origin.example/files/1)", "connection lost, try 3 of 8"),
        ("nothing moved for 60 s (PATCH https://o/1): x", "nothing moved for 60 s, try 3 of 8"),
        ("the offset " * 20, "try 3 of 8"),
    ],
)
def test_a_setback_takes_the_place_of_the_stage(reason, said):
    row, total = drawn(120, reason, delay=0)
    assert f"  {said} " in f"{row} "
    assert "/s" not in row + total
    assert "left" not in row + total


@pytest.mark.parametrize(
    ("width", "said"),
    [(100, "  no connection, try in 30 s"), (70, "  try 3 of 8 in 30 s"), (50, "  try in 30 s")],
)
def test_a_setback_is_told_as_far_as_there_is_room(width, said):
    lines = drawn(width, REFUSED)
    assert said in lines[0]
    assert max(map(cell_len, lines)) <= width


def standing_of(rows, running=(), *, length=0, urls=0):
    """Make a standing with items that run."""
    standing = Standing()
    standing.tally.checked = Checked(rows=rows, bad=0, length=length, urls=urls, skipped=0)
    standing.board.expect(rows, length=length, is_measured=not urls)
    for item in running:
        standing.board.add(item)
    return standing


def picture(standing, width=100, height=24):
    """Draw a standing."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(Bars(standing.board, console, standing))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def running(name, stage=Stage.UPLOADING, length=100):
    item = Item(name, name, length)
    item.follow(Progress(sent=50, length=length, stage=stage), NOW)
    return item


def test_a_manifest_that_is_looked_through_has_no_counts_yet():
    standing = Standing()
    standing.tally.bad = 3
    assert picture(standing)[-1] == "checking the manifest, 3 bad rows"


@pytest.mark.parametrize("width", [40, 60, 80, 94, 120, 200])
def test_a_picture_of_an_ingestion_fits_into_any_width(width):
    made = [running(f"a-long-name-of-a-video-{number}.mp4") for number in range(4)]
    standing = standing_of(100_000, made, length=10**15)
    standing.tally.bad = 1234
    standing.halt = Halt("no connection", NOW + 40)
    lines = picture(standing, width)
    assert max(map(cell_len, lines)) <= width - 4
    assert lines[-2].startswith("0 of 100,000 ready, ")
    assert lines[-1].startswith("halted: no c")
    assert lines[-1].endswith("next try in 40 s")
    assert len(lines) == 4 + 1 + 2


def test_a_picture_of_many_files_fits_into_the_height():
    made = [running(f"{number}.mp4", Stage.PROCESSING) for number in range(300)]
    made += [running(f"moving-{number}.mp4") for number in range(12)]
    standing = standing_of(400, made, length=40_000)
    lines = picture(standing, height=24)
    assert len(lines) == 12 + 2
    assert all("moving-" in line for line in lines[:12])
    assert "12 uploading, 300 processing" in lines[-1]
    assert len(picture(standing, height=12)) == 12 - 4 - 2 + 2


def test_a_full_queue_and_a_stop_are_told_below_the_bars():
    standing = standing_of(3, [running("one.mp4")], length=300)
    standing.is_paused = lambda: True
    assert picture(standing)[-1].startswith("paused: the server is busy or its queue is full")
    standing.is_stopping = True
    assert picture(standing)[-1] == (
        "stopping: 1 upload to the end of the chunk; Ctrl-C again ends at once"
    )


def test_urls_whose_bytes_nobody_knows_are_counted_as_rows():
    url = running("https://h/a.mp4", Stage.PROCESSING, length=0)
    standing = standing_of(4, [url], urls=4)
    url.finish(items.Stage.READY, length=None)
    standing.board.retire(url)
    total = picture(standing)[-2]
    assert total.startswith("total")
    assert "25 %" in total


def test_a_frozen_server_is_told_and_no_time_is_left():
    item = running("one.mp4", length=200)
    standing = standing_of(1, [item], length=200)
    standing.quiet = lambda: 9.9
    assert picture(standing)[-1] == "0 of 1 ready, 1 uploading"
    standing.quiet = lambda: 72.9
    assert picture(standing)[-1] == "nothing has moved for 1:12; waiting for the server"
    standing.is_stopping = True
    assert picture(standing)[-1] == (
        "stopping: nothing has moved for 1:12; Ctrl-C again ends at once"
    )


@pytest.mark.parametrize(
    ("width", "said"),
    [(120, "  sent, waiting for the answer"), (80, "  sent, waiting"), (50, "  sent, waiting")],
)
def test_what_is_sent_and_not_answered_is_not_uploading(width, said):
    item = running("one.mp4", length=200)
    for sent in (100, 200):
        item.follow(Progress(sent=sent, length=200), NOW - 1)
    bar, total, _ = picture(standing_of(1, [item], length=200), width)
    assert bar.endswith(said)
    assert "left" not in bar + total


def test_bytes_stand_below_the_bars_where_no_column_has_them():
    mib = 2**20
    standing = standing_of(3, [running("one.mp4", length=90 * mib)], length=300 * mib)
    assert picture(standing, 80)[-1] == "0 of 3 ready, 0.0 of 300.0 MiB, 1 uploading"
    assert picture(standing, 120)[-1] == "0 of 3 ready, 1 uploading"


def test_names_that_begin_alike_are_told_apart():
    made = [running(f"a rather long name of a lecture {number}.mp4") for number in (10, 20)]
    first, second, *_ = picture(standing_of(2, made, length=200), 80)
    assert first.startswith("a rath…re 10.mp4 ")
    assert second.startswith("a rath…re 20.mp4 ")


def test_rows_that_wait_are_counted_where_they_are():
    waiting, moving = running("one.mp4"), running("two.mp4")
    retry_event = RetryEvent(reason="no connection", attempt=1, attempts=8, delay=9)
    waiting.follow(Progress(sent=50, length=100, retry=retry_event), NOW)
    standing = standing_of(9, [waiting, moving, Item("a", "a", 100)], length=900)
    standing.put_off = 3
    assert standing.counts()[1:] == [
        "1 uploading",
        "1 waiting for the next attempt",
        "1 starting",
        "3 coming again later",
    ]
