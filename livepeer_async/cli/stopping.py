"""Hears the signals that ask a command to end, so that it can end well.

In come Ctrl-C, a terminated process and a closed terminal; out come calls in the event loop.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import anyio

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


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
