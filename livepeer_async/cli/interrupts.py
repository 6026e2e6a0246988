"""Ctrl-C before and after a command.

An exception there could interrupt an import, or the interpreter's clean-up, at any point: msgspec
0.22, for one, crashes after an interrupted import. Nothing needs a clean-up at these times.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
else:
    # `signal` imports `enum` first, which takes longer than all that was imported before.
    import _signal as signal

INTERRUPTED = 130
_STDERR = 2
_SHOW_CURSOR = "\x1b[?25h\n"


def exit_on_interrupt(status: int = INTERRUPTED, message: str = "interrupted") -> None:
    """Let Ctrl-C end the process immediately, with a message and a status.

    An ignored signal stays ignored, as in the background of a shell.
    """

    def exit_now(*_: object) -> None:
        try:
            if message:
                os.write(_STDERR, f"{message}\n".encode())
        finally:
            os._exit(status)

    _set_handler(exit_now)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt`; an event loop replaces this handler by its own."""
    _set_handler(signal.default_int_handler)


def exit_on_second_interrupt(status: int, message: Callable[[], str]) -> None:
    """Let a second Ctrl-C end the process immediately; the first one is handled as before.

    An event loop would raise at any point of its own code instead, and may then never end.

    Args:
        status: the exit status.
        message: returns the text to write.
    """
    first = signal.getsignal(signal.SIGINT)
    if not callable(first):
        return
    is_second = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_second
        if is_second:
            exit_on_interrupt(status, _SHOW_CURSOR * os.isatty(_STDERR) + message())
            signal.raise_signal(number)
        is_second = True
        first(number, frame)

    signal.signal(signal.SIGINT, handle)


def _set_handler(handler: Callable[..., object]) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
