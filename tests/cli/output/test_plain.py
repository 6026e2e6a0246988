import re

import pytest

from livepeer_async.cli.output.ingest_status import Halt, Standing
from livepeer_async.cli.output.plain import Lines
from livepeer_async.errors import ConnectFailed
from livepeer_async.ingest.events import Checked


@pytest.fixture
def standing():
    standing = Standing()
    standing.tally.checked = Checked(rows=3, bad=0, length=300, urls=0, skipped=0)
    standing.board.expect(3, length=300)
    return standing


@pytest.fixture
def log(standing, capfd):
    """Let time pass from one second to another; give the lines of it, without the time of day."""
    lines = Lines(standing.board, standing, now=0.0)

    def pass_time(first, last):
        for second in range(first, last):
            lines.tick(float(second))
        said = capfd.readouterr().err.splitlines()
        assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in said)
        return [line[9:] for line in said]

    return pass_time


def test_a_line_of_all_comes_where_something_has_changed_else_once_a_minute(standing, log):
    assert log(1, 10) == []
    assert log(10, 70) == ["0 of 3 ready; 0 B of 300 B sent (0 %)"]
    assert log(70, 71) == ["0 of 3 ready; 0 B of 300 B sent (0 %)"]
    standing.put_off = 2
    assert log(71, 80) == []
    assert log(80, 81) == ["0 of 3 ready, 2 coming again later; 0 B of 300 B sent (0 %)"]


def test_silence_has_a_line_at_its_beginning_and_one_at_its_end(standing, log):
    standing.quiet = lambda: 10.4
    assert log(1, 9) == ["nothing has moved for 10 s: waiting for the server"]
    standing.quiet = lambda: 72.0
    assert log(9, 10) == []
    standing.quiet = lambda: 0.0
    assert log(10, 11)[0] == "the wait for the server is over, after 1:12"
    assert log(11, 20) == []


def test_silence_is_not_told_while_all_is_halted(standing, log):
    standing.halt = Halt(str(ConnectFailed("no connection")), 100.0)
    standing.quiet = lambda: 20.0
    assert log(1, 9) == []
    standing.halt, standing.quiet = None, lambda: 0.0
    assert log(9, 10) == []
