"""Runs a command in an event loop, and turns every way in which it can end into an exit status.

In comes a coroutine function that gives a status; out comes typer's `Exit`. No traceback for what
can happen to a person at a shell: errors of the package and of the operating system, Ctrl-C, and a
reader who went away.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import NoReturn

import anyio
import typer

from livepeer_async.cli.outcome import Status, describe, status_of
from livepeer_async.cli.screen import drop_output, say, say_error
from livepeer_async.errors import LivepeerError


def run(
    command: Callable[[], Awaitable[Status]],
    *,
    on_interrupt: Callable[[], str] = lambda: "interrupted",
    interrupted: Status = Status.INTERRUPTED,
) -> NoReturn:
    """Run a command to its end and exit.

    Args:
        command: what to run.
        on_interrupt: gives the sentence for Ctrl-C: what is left, and what can be done with it.
        interrupted: the status for Ctrl-C, and for being terminated.
    """
    _take_as_interrupts("SIGTERM", "SIGHUP")
    try:
        raise typer.Exit(anyio.run(command))
    except KeyboardInterrupt:
        _say_last(on_interrupt)
        raise typer.Exit(interrupted) from None
    except LivepeerError as error:
        say_error(describe(error))
        raise typer.Exit(status_of([error])) from None
    except BrokenPipeError:
        drop_output()
        raise typer.Exit(Status.FAILED) from None
    except OSError as error:
        is_lost = error.filename is None and isinstance(error, FileNotFoundError)
        place = "the working directory: " if is_lost else ""
        place = f"{error.filename}: " if error.filename else place
        say_error(f"{place}{error.strerror or error}")
        raise typer.Exit(Status.FAILED) from None


def _say_last(explain: Callable[[], str]) -> None:
    try:
        say(explain())
    except BrokenPipeError:
        drop_output()


def _take_as_interrupts(*names: str) -> None:
    """Clean up also when the program is terminated or its terminal is closed."""
    for name in names:
        number = getattr(signal, name, None)
        # One that is ignored stays so: that is what nohup is for.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # The event loop takes SIGINT as a request to cancel, unless a shell has it ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.default_int_handler(number, frame)
    signal.raise_signal(signal.SIGINT)
