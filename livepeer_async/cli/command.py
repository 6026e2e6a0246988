"""Commands and groups of commands: their help, and messages for wrong names of commands."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from livepeer_async.cli.output.console import messages
from livepeer_async.cli.output.formatting import wrap_words
from livepeer_async.deferred import deferred_pattern

# Other tools' names of commands, and the commands that are meant: the first in the same group,
# or else the first anywhere.
_SYNONYMS = {
    "rm": ("delete", "forget"),
    "remove": ("delete", "forget"),
    "delete": ("delete", "forget"),
    "ls": ("list",),
    "show": ("get", "list"),
    "info": ("get", "list"),
    "status": ("get", "list"),
    "rename": ("update ID --name NAME",),
    "edit": ("update",),
    "set": ("update",),
    "play": ("open",),
    "watch": ("open",),
    "fetch": ("download",),
    "save": ("download",),
    "add": ("upload",),
    "put": ("upload",),
    "send": ("upload",),
    "resume": ("upload", "ingest"),
    "continue": ("upload", "ingest"),
    "check": ("ingest --check",),
    "clean": ("orphans --delete",),
    "cleanup": ("orphans --delete",),
    "help": ("--help",),
    "version": ("--version",),
}
# Similar names of commands are suggested, such as `orphan` and `orphans`.
_MIN_SIMILARITY = 0.7
# The base class of all errors in the use of a command.
_USAGE_ERROR: Any = typer.BadParameter.__base__
_PREFIX = "Error: "
_PROGRAM = "livepeer-async"
_ARGUMENT_TYPES = deferred_pattern(r" <(list\[)?str\]?>")


class Command(TyperCommand):
    """A command whose help has whole summaries, and names of values instead of types."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first sentence of the help, which isn't cut."""
        return super().get_short_help_str(max(limit, len(self.help or "")))

    def get_help(self, ctx: Any) -> str:
        """Return the help without the types of the arguments, which are texts."""
        return _ARGUMENT_TYPES.sub("", super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage: `FILE...`, or `[ID...]` if there may be none."""
        options, *arguments = super().collect_usage_pieces(ctx)
        return [options, *map(_simplify_argument, arguments)]


class Group(TyperGroup):
    """A group of commands that names the command that is meant by a wrong name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            meant = self._suggest(ctx, args[0])
            ctx.fail(f"No such command {args[0]!r}" + (f"; {meant}" if meant else ""))
        return super().resolve_command(ctx, args)

    def _suggest(self, ctx: Any, name: str) -> str:
        """Return what to use instead of a command; "" if it is unknown."""
        group = " ".join(ctx.command_path.split()[1:])
        known = dict(_walk(ctx.find_root().command))
        targets = [target.partition(" ") for target in (*_SYNONYMS.get(name, ()), name)]
        for command, _, options in targets:
            if command.startswith("--") or _join_path(group, command) in known:
                return f"use {_join(group, command, options)}"
        for command, _, options in targets:
            found = [path for path, last in known.items() if last == command]
            if found:
                return "use " + " or ".join(_join(path, options) for path in found)
        similar = get_close_matches(name, known.values(), n=1, cutoff=_MIN_SIMILARITY)
        found = [path for path, last in known.items() if last in similar]
        return f"did you mean {' or '.join(_join(path) for path in found)}?" if found else ""


@contextmanager
def wrapped_usage_errors() -> Generator[None]:
    """Break the messages of usage errors in the block between words, not within options."""
    try:
        yield
    except _USAGE_ERROR as error:
        format_message = error.format_message
        error.format_message = lambda: _wrap(format_message())
        raise


def _wrap(message: str) -> str:
    # A missing command is an error with the whole help as its message.
    if "\n" in message:
        return message
    return wrap_words(f"{_PREFIX}{message}", messages().width).removeprefix(_PREFIX)


def _simplify_argument(usage: str) -> str:
    """Return `FILE...` for `{FILE}...`, and `[ID...]` for `[ID]...`."""
    name = re.sub(r"[\[\]{}]", "", usage)
    return f"[{name}]" if usage.startswith("[") else name


def _walk(group: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return the path of each command, such as `assets get`, and its last word."""
    for name, command in group.commands.items():
        inner = _join_path(path, name)
        yield inner, name
        if isinstance(command, TyperGroup):
            yield from _walk(command, inner)


def _join_path(*words: str) -> str:
    return " ".join(filter(None, words))


def _join(*words: str) -> str:
    return _join_path(_PROGRAM, *words)
