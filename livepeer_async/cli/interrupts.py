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
else:
    # `signal` imports `enum` first, which takes longer than all that was imported before.
    import _signal as signal

INTERRUPTED = 130
_STDERR = 2


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


def _set_handler(handler: Callable[..., object]) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
