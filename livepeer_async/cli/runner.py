"""Runs a command in an event loop and maps its outcome to an exit status.

Errors of the package and of the operating system, Ctrl-C and a closed pipe end without a
traceback.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import NoReturn

import anyio
import typer

from livepeer_async.cli.interrupts import (
    exit_on_interrupt,
    exit_on_second_interrupt,
    raise_on_interrupt,
)
from livepeer_async.cli.output.console import print_error, print_note
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, format_error
from livepeer_async.errors import LivepeerError

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def run_command(
    command: Callable[[], Awaitable[ExitStatus]],
    *,
    on_interrupt: Callable[[], str] = lambda: "interrupted",
    interrupt_status: ExitStatus = ExitStatus.INTERRUPTED,
) -> NoReturn:
    """Run a command and exit with its status.

    Args:
        command: the command.
        on_interrupt: returns the message for Ctrl-C: the unfinished work, and how to continue.
        interrupt_status: the status after Ctrl-C or a signal to terminate.
    """
    _treat_as_interrupts("SIGTERM", "SIGHUP")

    async def run() -> ExitStatus:
        if threading.current_thread() is threading.main_thread():
            exit_on_second_interrupt(interrupt_status, on_interrupt)
        return await command()

    status = ExitStatus.FAILED
    try:
        try:
            # The imports of the backend aren't interrupted.
            status = anyio.run(run, backend_options={"loop_factory": _new_event_loop})
        except KeyboardInterrupt:
            exit_on_interrupt()
            status = interrupt_status
            print_note(on_interrupt())
        except LivepeerError as error:
            status = exit_status_for([error])
            print_error(format_error(error))
    except BrokenPipeError:
        raise  # the group of commands handles it
    except OSError as error:
        print_error(_describe_os_error(error))
    exit_on_interrupt()
    raise typer.Exit(status)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Create an event loop and let Ctrl-C raise, from here on until the command ends."""
    loop = asyncio.new_event_loop()
    raise_on_interrupt()
    return loop


def _describe_os_error(error: OSError) -> str:
    path = error.filename
    if path is None and isinstance(error, FileNotFoundError):
        path = "the working directory"
    reason = error.strerror or str(error)
    return f"{path}: {reason}" if path else reason


def _treat_as_interrupts(*names: str) -> None:
    """Handle signals like Ctrl-C, so that commands clean up."""
    for name in names:
        number = getattr(signal, name, None)
        # An ignored signal stays ignored, as under nohup.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # The event loop turns SIGINT into a cancellation, unless the shell has set it to be ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.default_int_handler(number, frame)
    signal.raise_signal(signal.SIGINT)


async def handle_signals(on_signal: Callable[[], None]) -> None:
    """Call a function for each termination signal, until cancelled.

    Windows event loops receive no signals; there Ctrl-C cancels the command.
    """
    names = () if sys.platform == "win32" else _SIGNALS
    numbers = [signal.Signals[name] for name in names]
    # An ignored signal stays ignored, as under nohup and in the background of a shell.
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    if not numbers:
        return
    terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    before = signal.getsignal(signal.SIGINT)
    try:
        with anyio.open_signal_receiver(*numbers) as signals:
            async for number in signals:
                if number.name == "SIGHUP":
                    _redirect_to_null(terminals)
                on_signal()
    finally:
        # The receiver leaves the default handler, which raises at any point of the event loop.
        signal.signal(signal.SIGINT, before)


def _redirect_to_null(descriptors: list[int]) -> None:
    """Discard output to a closed terminal, where each write would fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)
