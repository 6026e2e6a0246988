"""Commands and groups of commands: their help, and messages for wrong names of commands."""

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from livepeer_async.cli.verbosity import add_verbosity_options
from livepeer_async.deferred import deferred_module, deferred_pattern

if TYPE_CHECKING:
    import difflib

    from livepeer_async.cli.output import console, formatting
else:
    # For usage errors only.
    difflib = deferred_module("difflib")
    console = deferred_module("livepeer_async.cli.output.console")
    formatting = deferred_module("livepeer_async.cli.output.formatting")

EXIT_STATUS_HELP = """\b
Exit status:
  0    everything is ready
  1    something failed: an upload, an unreadable video, a bad row, the
       network, an asset that doesn't exist
  2    usage: an option, a manifest that can't be read, a missing API key,
       a base URL without a scheme, an extra that isn't installed
  3    not authorised: the API key is wrong or lacks permission
  130  interrupted with Ctrl-C
  141  the reader of the output has closed its pipe
"""
DEPRECATED_OPTIONS = {"--again": "--force", "--timeout": "--ready-timeout"}


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

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments."""
        return [_without_conversions(it) for it in super().get_params(ctx)]

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


class FilesCommand(Command):
    """A command with file arguments; explains a name that looks like an option.

    It also accepts deprecated option names, with a warning.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Replace deprecated names, then parse the arguments."""
        try:
            return self._parse_args(ctx, args)
        except Exception as error:
            name: str | None = getattr(error, "option_name", None)
            file = next((it for it in args if name and it.startswith(name)), None)
            if file is not None and os.path.lexists(file):
                raise typer.BadParameter(
                    f"{file} looks like an option: use ./{file} for the file"
                ) from error
            raise

    def _parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        replaced: list[str] = []
        for index, argument in enumerate(args):
            if argument == "--":
                return super().parse_args(ctx, replaced + args[index:])
            name, equals, value = argument.partition("=")
            new = DEPRECATED_OPTIONS.get(name, name)
            if new != name:
                typer.echo(f"Warning: {name} is deprecated; use {new}", err=True)
            replaced.append(f"{new}{equals}{value}")
        return super().parse_args(ctx, replaced)


class DeferredCommand(Command):
    """Stands for a command or a group in help and completion; it is imported when it is used.

    Args:
        name: its name.
        app: its typer app: a module of this folder, a colon, and the name in it.
        summary: the first sentence of its help.
    """

    def __init__(self, name: str, app: str, summary: str) -> None:
        super().__init__(name=name, help=summary)
        self._app = app
        # Those of the command; see `__getattr__`.
        del self.params

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.command, name)

    @cached_property
    def command(self) -> Any:
        """The command, imported now."""
        module, _, app = self._app.partition(":")
        found = getattr(import_module(f"livepeer_async.cli.{module}"), app)
        command = typer.main.get_command(found)
        command.name = self.name
        add_verbosity_options(command)
        return command


class Group(TyperGroup):
    """A group of commands that names the command that is meant by a wrong name."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options."""
        return [_without_conversions(it) for it in super().get_params(ctx)]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, and import it."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            meant = self._suggest(ctx, args[0])
            ctx.fail(f"No such command {args[0]!r}" + (f"; {meant}" if meant else ""))
        name, command, others = super().resolve_command(ctx, args)
        return name, _load(command), others

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
        similar = difflib.get_close_matches(name, known.values(), n=1, cutoff=_MIN_SIMILARITY)
        found = [path for path, last in known.items() if last in similar]
        return f"did you mean {' or '.join(_join(path) for path in found)}?" if found else ""


def complete_without_markup() -> None:
    """Keep typer from importing rich's renderers in completions, whose texts have no markup.

    They take 75 ms at each press of Tab in zsh and fish.
    """
    classes, function = sys.modules.get("typer._completion_classes"), "_sanitize_help_text"
    if hasattr(classes, function):
        setattr(classes, function, str)


def _without_conversions(parameter: Any) -> Any:
    """Let a parameter convert only values that are used, because typer imports pydantic for that.

    Not converted are missing values, such as those of a group whose command gets `--help`, and all
    values in a completion.
    """
    kind = cast("Any", type(parameter))

    def process(ctx: Any, value: Any) -> Any:
        is_single = parameter.nargs == 1 and not parameter.multiple
        is_missing = value is None and is_single and not parameter.required
        if not (is_missing or ctx.resilient_parsing):
            return kind.process_value(parameter, ctx, value)
        callback: Callable[..., Any] | None = parameter.callback
        return callback(ctx, parameter, value) if callback else value

    parameter.process_value = process
    return parameter


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
    wrapped = formatting.wrap_words(f"{_PREFIX}{message}", console.messages().width)
    return wrapped.removeprefix(_PREFIX)


def _simplify_argument(usage: str) -> str:
    """Return `FILE...` for `{FILE}...`, and `[ID...]` for `[ID]...`."""
    name = re.sub(r"[\[\]{}]", "", usage)
    return f"[{name}]" if usage.startswith("[") else name


def _walk(group: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return the path of each command, such as `assets get`, and its last word."""
    for name, deferred in group.commands.items():
        inner = _join_path(path, name)
        yield inner, name
        command = _load(deferred)
        if isinstance(command, TyperGroup):
            yield from _walk(command, inner)


def _load(command: Any) -> Any:
    return command.command if isinstance(command, DeferredCommand) else command


def _join_path(*words: str) -> str:
    return " ".join(filter(None, words))


def _join(*words: str) -> str:
    return _join_path(_PROGRAM, *words)
