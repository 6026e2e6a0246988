"""The status of requests of commands without bars."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from livepeer_async.cli.output.request_status import StatusLine, StatusLog
from livepeer_async.http.observers import WaitEvent
from livepeer_async.http.retry import RetryEvent

REASON = "502 from GET https://api.example/asset: Bad Gateway"
RETRY = RetryEvent(reason=REASON, attempt=3, attempts=8, delay=4.0)


def waiting(seconds):
    return WaitEvent(reason="no response", seconds=seconds, place="GET https://api.example/asset")


class Screen:
    def __init__(self, width=120):
        self.now = 100.0
        console = Console(file=io.StringIO(), width=width, force_terminal=True)
        self.line = StatusLine(console, clock=lambda: self.now)

    def show(self, *events):
        for event in events:
            self.line.observe(event)
        try:
            return self.line.render().plain
        finally:
            self.line.hide()


def test_failure_is_counted_down_with_its_attempt():
    screen = Screen()
    shown = "(3 of 8): 502 from GET https://api.example/asset: Bad Gateway"
    assert screen.show(RETRY) == f"retry in 4 s {shown}"
    screen.now += 3
    assert screen.show() == f"retry in 1 s {shown}"
    screen.now += 3
    assert screen.show() == f"retrying {shown}"


def test_wait_is_counted_up_with_its_attempt():
    screen = Screen()
    assert screen.show(waiting(5)) == "no response for 5 s (GET https://api.example/asset)"
    screen.now += 5
    assert screen.show() == "no response for 10 s (GET https://api.example/asset)"
    assert screen.show(RETRY, waiting(6)).startswith("attempt 4 of 9: no response for 6 s (GET ")


@pytest.mark.parametrize("events", [(RETRY, None), (waiting(5), waiting(0))])
def test_line_is_erased_when_nothing_is_wrong(events):
    assert Screen().show(*events) == ""


@pytest.mark.parametrize("width", [30, 50, 80, 120])
def test_line_fits_any_width(width):
    for event in (RETRY, waiting(5)):
        assert cell_len(Screen(width).show(event)) < width


def test_log_has_each_failure_and_waits_that_double():
    lines = []
    log = StatusLog(lines.append)
    for event in (waiting(5), waiting(9), waiting(10), waiting(0), RETRY, waiting(5), None):
        log.observe(event)
    assert [line.split(" (")[0] for line in lines] == [
        "no response for 5 s",
        "no response for 10 s",
        f"{REASON}; retry 3 of 8 in 4 s",
        "no response for 5 s",
    ]
