"""Status of the requests of commands that show no progress: failures, and long waits.

On a terminal a line on standard error, which is erased once a request succeeds; plain lines
elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from livepeer_async.cli.output.console import messages, print_note
from livepeer_async.cli.output.formatting import format_countdown, shorten
from livepeer_async.cli.output.plain import describe_retry
from livepeer_async.http.observers import RequestEvent, WaitEvent, observe_requests
from livepeer_async.http.retry import RetryEvent

REFRESHES_PER_SECOND = 4


@contextmanager
def show_requests() -> Generator[None, None, None]:
    """Show the failures and long waits of the requests that are sent within the block."""
    console = messages()
    if console.is_terminal and not console.is_dumb_terminal:
        line = StatusLine(console)
        try:
            with observe_requests(line.observe):
                yield
        finally:
            line.hide()
    else:
        with observe_requests(StatusLog(print_note).observe):
            yield


class StatusLog:
    """Prints a line for each failure, and for each wait as it gets twice as long.

    Args:
        write: prints a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next_wait = 0.0

    def observe(self, event: RequestEvent) -> None:
        """Print an event."""
        match event:
            case RetryEvent():
                self._write(describe_retry(event))
                self._next_wait = 0.0
            case WaitEvent(seconds=0) | None:
                self._next_wait = 0.0
            case WaitEvent(seconds=seconds) if seconds >= self._next_wait:
                self._next_wait = 2 * seconds
                self._write(str(event))
            case _:
                pass  # the last line says the same


class StatusLine:
    """A line that shows the current failure or wait.

    Args:
        console: a terminal.
        clock: returns monotonic seconds.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._retry: RetryEvent | None = None
        self._wait: WaitEvent | None = None
        self._retry_at = self._waiting_since = 0.0

    def observe(self, event: RequestEvent) -> None:
        """Show an event, or erase the line if nothing is wrong any more."""
        match event:
            case RetryEvent():
                self._retry, self._wait = event, None
                self._retry_at = self._clock() + event.delay
            case WaitEvent():
                self._wait = event if event.seconds else None
                self._waiting_since = self._clock() - event.seconds
            case None:
                self._retry = self._wait = None
        if self._retry is None and self._wait is None:
            self.hide()
        elif self._live is None:
            self._live = Live(
                get_renderable=self.render,
                console=self._console,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def hide(self) -> None:
        """Erase the line."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def render(self) -> Text:
        """Describe the current state; the beginning says what happens next, and the end why."""
        width = self._console.width - 1
        return Text(shorten(self._describe(), width, tail=width // 3), style="yellow")

    def _describe(self) -> str:
        retry, wait, now = self._retry, self._wait, self._clock()
        attempt = f"attempt {retry.attempt + 1} of {retry.attempts + 1}: " if retry else ""
        if wait is not None:
            place = f" ({wait.place})" if wait.place else ""
            return (
                f"{attempt}{wait.reason} for {format_countdown(now - self._waiting_since)}{place}"
            )
        if retry is None:
            return ""
        seconds = self._retry_at - now
        when = f"retry in {format_countdown(seconds)}" if seconds > 0 else "retrying"
        return f"{when} ({retry.attempt} of {retry.attempts}): {retry.reason}"
