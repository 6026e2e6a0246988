"""Runs a command in an event loop and maps every outcome to an exit status.

Errors of the package and of the operating system, Ctrl-C and a closed pipe end without a
traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import NoReturn

import anyio
import typer

from livepeer_async.cli.output.console import drop_output, say, say_error
from livepeer_async.cli.output.error_messages import Status, describe, status_of
from livepeer_async.errors import LivepeerError

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


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


async def hear_signals(on_signal: Callable[[], None]) -> None:
    """Call a function for each signal that asks to end, until cancelled."""
    numbers = _wanted()
    if not numbers:
        return
    with anyio.open_signal_receiver(*numbers) as signals:
        async for number in signals:
            if number.name == "SIGHUP":
                _leave_terminal()
            on_signal()


def _wanted() -> list[signal.Signals]:
    # The event loop of Windows hears none; Ctrl-C cancels the command there.
    names = () if sys.platform == "win32" else _NAMES
    numbers = [signal.Signals[name] for name in names]
    # One that is ignored stays so: that is what nohup and a shell's background are for.
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _leave_terminal() -> None:
    """Write to nowhere what would go to a terminal that was closed: each write to it fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that hangs up is none any more, and what isn't one is asked in another way.
        if not _can_be_written(stream.fileno()):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _can_be_written(descriptor: int) -> bool:
    try:
        os.write(descriptor, b"")
    except OSError:
        return False
    return True
