"""The two streams, as rich consoles: results on standard output, all else on standard error.

Control sequences leave only for a terminal, colours only where NO_COLOR allows them. Nothing that
is printed is read as markup or as the name of an emoji.
"""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

from livepeer_async.cli.text import LONGEST_SENTENCE, shorten

# What isn't a terminal has no edge at which a line would have to end.
ENDLESS_WIDTH = 10_000


def output() -> Console:
    """Give the console for results."""
    return _console(is_error=False)


def messages() -> Console:
    """Give the console for progress and errors."""
    return _console(is_error=True)


def say(sentence: str) -> None:
    """Tell something on standard error."""
    messages().print(Text(shorten(sentence, LONGEST_SENTENCE)))


def say_error(sentence: str) -> None:
    """Tell on standard error what went wrong, and what to do."""
    line = Text("Error: ", style="bold red")
    messages().print(line.append(shorten(sentence, LONGEST_SENTENCE), style="not bold default"))


def emit(line: str) -> None:
    """Write a line for machines to standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def drop_output() -> None:
    """Let what is still to be written go nowhere, once nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console(*, is_error: bool) -> Console:
    stream = sys.stderr if is_error else sys.stdout
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=is_terminal,
        width=None if is_terminal else ENDLESS_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )
