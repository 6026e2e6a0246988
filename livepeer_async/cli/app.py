"""The typer app: all commands, their help, and deprecated option names."""

from __future__ import annotations

import os
import os.path
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import typer

from livepeer_async.cli import assets, journal
from livepeer_async.cli.command import Command, Group, wrapped_usage_errors
from livepeer_async.cli.extras import require_sandbox
from livepeer_async.cli.ingest import HELP as INGEST_HELP
from livepeer_async.cli.ingest import ingest
from livepeer_async.cli.options import Storage, check_api_key, check_url
from livepeer_async.cli.output.error_messages import ExitStatus
from livepeer_async.cli.output.links import show_links
from livepeer_async.cli.runner import run_command
from livepeer_async.cli.streams import discard_output
from livepeer_async.cli.upload import upload
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


class CommandGroup(Group):
    """All commands; ends quietly if the reader of the output closes its pipe."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        add_verbosity_options(self)

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments before the command; `--help` and `--version` print and exit."""
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
        raise typer.Exit(ExitStatus.PIPE_CLOSED) from None


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
app.command(epilog=EXIT_STATUS_HELP, cls=FilesCommand)(upload)
app.command(
    help=INGEST_HELP,
    epilog=EXIT_STATUS_HELP,
    cls=FilesCommand,
    # The command reports an unquoted glob, which the shell has expanded.
    context_settings={"allow_extra_args": True},
)(ingest)
app.add_typer(assets.app, name="assets")
app.add_typer(journal.app, name="journal")

SandboxStorage = Annotated[
    Storage,
    typer.Option(
        "--storage",
        help="Storage of the sandbox: plain files, or S3 with the limitations of Livepeer's.",
    ),
]
SandboxKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="API key that is valid there; a new one by default.",
        callback=check_api_key,
    ),
]
ProcessingSeconds = Annotated[
    float,
    typer.Option(
        "--processing-seconds", metavar="SECONDS", min=0, help="Seconds to process an upload."
    ),
]
WebhookUrl = Annotated[
    str | None,
    typer.Option("--webhook", metavar="URL", help="URL that gets all events.", callback=check_url),
]
WebhookSecret = Annotated[
    str | None,
    typer.Option(
        "--webhook-secret",
        metavar="TEXT",
        help="Shared secret that signs the events; by default a new one, which is printed.",
    ),
]


@app.command(cls=Command)
def demo(
    *,
    storage: SandboxStorage = "s3",
    files: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=16, help="Number of videos.")
    ] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the videos and their folder.")] = False,
) -> None:
    """Demonstrate uploads against an embedded sandbox.

    Creates videos, uploads them concurrently, loses a connection, recovers, waits until they are
    ready, and compares the stored bytes with those sent. Nothing leaves this machine.
    """
    require_sandbox("demo")
    from livepeer_async.cli.demo import run_demo  # noqa: PLC0415 - it needs an extra

    run_command(partial(run_demo, storage=storage, files=files, keep=keep))


@app.command(cls=Command)
def sandbox(
    *,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port on this machine; 0 picks a free one."
        ),
    ] = 0,
    storage: SandboxStorage = "file",
    api_key: SandboxKey = None,
    processing_seconds: ProcessingSeconds = 0.25,
    webhook: WebhookUrl = None,
    webhook_secret: WebhookSecret = None,
) -> None:
    """Serve a sandbox until Ctrl-C; the exit status is then 0."""
    require_sandbox("sandbox")
    from livepeer_async.cli.sandbox import serve_sandbox  # noqa: PLC0415 - it needs an extra

    run_command(
        partial(
            serve_sandbox,
            port=port,
            storage=storage,
            api_key=api_key,
            processing_seconds=processing_seconds,
            webhook=webhook,
            webhook_secret=webhook_secret,
        ),
        on_interrupt=lambda: "the sandbox has stopped",
        interrupt_status=ExitStatus.OK,
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
