"""The typer app: all commands, their help, and deprecated option names."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from livepeer_async.cli.command import (
    EXIT_STATUS_HELP,
    DeferredCommand,
    Group,
    complete_without_markup,
    wrapped_usage_errors,
)
from livepeer_async.cli.output.links import show_links
from livepeer_async.cli.streams import PIPE_CLOSED, discard_output
from livepeer_async.cli.verbosity import add_verbosity_options, reset_verbosity
from livepeer_async.version import __version__

HELP = """Upload videos to Livepeer Studio and verify that they arrived.

\b
LIVEPEER_API_KEY   the account's API key; no option sets it, because
                   command lines are visible in the list of processes
LIVEPEER_BASE_URL  another server; by default https://livepeer.studio/api
NO_COLOR           disables colours if it is set

Try it without an API key: livepeer-async demo
"""
# Each command is imported when it is used, so its summary is repeated here.
COMMANDS = (
    DeferredCommand("upload", "upload:app", "Upload videos and wait until they are ready."),
    DeferredCommand(
        "ingest",
        "ingest:app",
        "Upload everything that a manifest lists, unattended, and wait until it is ready.",
    ),
    DeferredCommand(
        "worker",
        "worker:app",
        "Upload rows for ingestions that listen at HOST:PORT, one after the other, until Ctrl-C.",
    ),
    DeferredCommand(
        "demo", "embedded:demo_app", "Demonstrate uploads against an embedded sandbox."
    ),
    DeferredCommand(
        "sandbox",
        "embedded:sandbox_app",
        "Serve a sandbox until Ctrl-C; the exit status is then 0.",
    ),
    DeferredCommand("assets", "assets:app", "Show, change, download and delete assets."),
    DeferredCommand(
        "journal", "journal:app", "Show recorded uploads, and clean up leftovers of failed ones."
    ),
)


class CommandGroup(Group):
    """All commands; ends quietly if the reader of the output closes its pipe."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        add_verbosity_options(self)
        self.commands = {str(command.name): command for command in COMMANDS}

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments before the command; `--help` and `--version` print and exit."""
        if options.get("resilient_parsing"):
            complete_without_markup()
        reset_verbosity()
        show_links(os.environ.get("LIVEPEER_BASE_URL", ""))
        with _pipe_may_close(), wrapped_usage_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the selected command, without the validator's prefix in its messages."""
        try:
            with _pipe_may_close(), wrapped_usage_errors():
                return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


@contextmanager
def _pipe_may_close() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(PIPE_CLOSED) from None


app = typer.Typer(
    cls=CommandGroup,
    help=HELP,
    epilog=EXIT_STATUS_HELP,
    no_args_is_help=True,
    # Plain text: an error is one line at any width.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(is_requested: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if is_requested:
        typer.echo(f"livepeer-async {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Handle the options before the command."""
