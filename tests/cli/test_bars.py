import io
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.bars import Bars
from livepeer_async.cli.board import Board, Item
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.retry import Setback

REFUSED = "no connection to https://origin.example/files/1: refused [request 1]"


def drawn(width, reason, delay=30):
    """Draw a file that has just met a setback."""
    item = Item("one.mp4", "one.mp4", 100)
    setback = Setback(reason=reason, attempt=3, attempts=8, delay=delay)
    item.follow(Progress(sent=40, length=100, setback=setback), time.monotonic())
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
