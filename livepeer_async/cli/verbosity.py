"""`--quiet` and `--verbose`, which every command has; they may also stand before it."""

from __future__ import annotations

import logging
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from livepeer_async.cli.logs import log_requests
from livepeer_async.cli.output.verbosity import VERBOSITY, Verbosity


def add_verbosity_options(command: Any) -> None:
    """Add the options to a command, or to a group and its commands."""
    command.params += _make_options()
    for inner in command.commands.values() if isinstance(command, TyperGroup) else ():
        add_verbosity_options(inner)


def reset_verbosity() -> None:
    """Forget the options of an earlier command in this process."""
    VERBOSITY.set(Verbosity.NORMAL)


@cache
def _make_options() -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(_options)
    options = [it for it in typer.main.get_command(app).params if it.name != "help"]
    for option in options:
        option.expose_value = False
    return options


def _set_quiet(value: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if value:
        _check_combination(Verbosity.VERBOSE)
        VERBOSITY.set(Verbosity.QUIET)


def _set_verbose(value: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if value and VERBOSITY.get() is not Verbosity.VERBOSE:
        _check_combination(Verbosity.QUIET)
        VERBOSITY.set(Verbosity.VERBOSE)
        log_requests(logging.StreamHandler())


def _check_combination(excluded: Verbosity) -> None:
    if VERBOSITY.get() is excluded:
        raise typer.BadParameter("--verbose can't be combined with --quiet")


def _options(
    *,
    _quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_set_quiet,
            help="Print only results and errors.",
        ),
    ] = False,
    _verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            callback=_set_verbose,
            help="Log requests and retries on standard error, without secrets.",
        ),
    ] = False,
) -> None:
    """Declare the options."""
