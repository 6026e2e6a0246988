"""The commands and their options, as typer reads them; what they do stands in modules of their own.

Those modules are imported by the command that needs them: `--help` shouldn't wait for what it
doesn't use, and the sandbox needs an extra that may be missing.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from livepeer_async.cli.asset_commands import assets
from livepeer_async.cli.choices import RETRIES, TIMEOUTS, Storage, UploadChoices
from livepeer_async.cli.extras import need_sandbox
from livepeer_async.cli.ingest_command import ABOUT as ABOUT_INGEST
from livepeer_async.cli.ingest_command import ingest
from livepeer_async.cli.journal_commands import journal
from livepeer_async.cli.options import (
    Again,
    AsJson,
    ChunkResponse,
    Concurrency,
    JournalFile,
    NoJournal,
    NoWait,
    OfSandbox,
    Stall,
    StorageWithSandbox,
    Timeout,
    Verified,
    check_journal,
    check_storage,
)
from livepeer_async.timeouts import Timeouts
from livepeer_async.version import __version__
from livepeer_async.waiting import READY_TIMEOUT

ABOUT = """Upload videos to Livepeer Studio, and prove that they arrived.

\b
LIVEPEER_API_KEY   the key of the account; no option takes it, because
                   command lines show in the list of processes
LIVEPEER_BASE_URL  another server; https://livepeer.studio/api by default
NO_COLOR           no colours, if it is set

Try it without a key: livepeer-async demo
"""
STATUSES = """\b
Exit status:
  0    everything is ready
  1    something failed: an upload, a file that can't be read, the
       network, an asset that isn't there
  2    the command can't work as it is written: an option, a missing
       key, a base URL without a scheme, an extra that isn't installed
  3    not authorised: the key is wrong or may not do this
  130  interrupted with Ctrl-C
"""


class Group(TyperGroup):
    """All commands; says what is wrong with a value without the validator's own prefix."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=Group,
    help=ABOUT,
    epilog=STATUSES,
    add_completion=False,
    no_args_is_help=True,
    # Plain text: an error is one line, at any width, and help doesn't wait for rich.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(assets, name="assets")
app.add_typer(journal, name="journal")

Files = Annotated[list[str], typer.Argument(metavar="FILE", help="Videos; - is standard input.")]
NameOfAsset = Annotated[
    str | None, typer.Option(help="Name of the asset, with one FILE; else the file's name.")
]
StorageOfSandbox = Annotated[
    Storage,
    typer.Option(help="How the sandbox stores: every byte, or like Livepeer with its quirks."),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        help="Attempts to go on after the last progress, about a minute with 8. A server that "
        "can't be reached at the very beginning is given up after 2.",
    ),
]


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if is_asked:
        typer.echo(f"livepeer-async {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command(epilog=STATUSES)
def upload(  # noqa: PLR0913 - the options of the command, as typer wants them
    files: Files,
    *,
    name: NameOfAsset = None,
    sandbox: OfSandbox = False,
    storage: StorageWithSandbox = None,
    no_wait: NoWait = False,
    verify: Verified = "size",
    concurrency: Concurrency = None,
    timeout: Timeout = READY_TIMEOUT,
    stall: Stall = TIMEOUTS.stall,
    chunk_response: ChunkResponse = TIMEOUTS.chunk_response,
    retries: Retries = RETRIES,
    journal: JournalFile = None,
    no_journal: NoJournal = False,
    again: Again = False,
    json: AsJson = False,
) -> None:
    """Upload videos and wait until they are ready.

    A journal remembers each file by its path. However a run ends, the same command goes on from
    there; a file that is ready already is named and not uploaded a second time.

    With --json a line for each file, as it ends: source, asset_id, playback_id, phase, size,
    verified, sha256, seconds, attempts, error {type, message}. Progress goes to standard error.
    After Ctrl-C each unfinished file has a line too, with the phase "interrupted".
    """
    from livepeer_async.cli.running import run
    from livepeer_async.cli.upload import Batch

    check_storage(storage, is_sandbox=sandbox)
    _check_files(files, name=name)
    check_journal(journal, is_forbidden=no_journal, is_again=again)
    choices = UploadChoices(
        name=name,
        storage=(storage or "file") if sandbox else None,
        is_waited_for=not no_wait,
        verify=None if verify == "none" else verify,
        concurrency=concurrency,
        timeout=timeout,
        timeouts=Timeouts(stall=stall, chunk_response=chunk_response),
        retries=retries,
        journal=journal,
        is_remembered=not no_journal and not sandbox,
        is_again=again,
        is_json=json,
    )
    batch = Batch(files, choices)
    run(batch.run, on_interrupt=batch.explain_interruption)


app.command("ingest", help=ABOUT_INGEST, epilog=STATUSES)(ingest)


@app.command()
def demo(
    *,
    storage: StorageOfSandbox = "s3",
    files: Annotated[int, typer.Option(min=1, max=16, help="Number of videos.")] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the videos and their folder.")] = False,
) -> None:
    """Show all of it against an embedded sandbox.

    Makes videos, uploads them at once, loses a connection on the way, recovers, waits until they
    are ready, and compares what arrived with what was sent. Nothing leaves this machine.
    """
    need_sandbox("demo")
    from livepeer_async.cli.demo import run_demo
    from livepeer_async.cli.running import run

    run(partial(run_demo, storage=storage, files=files, is_kept=keep))


@app.command()
def sandbox(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 0,
    storage: StorageOfSandbox = "file",
) -> None:
    """Serve a sandbox until Ctrl-C, which ends it with exit status 0."""
    need_sandbox("sandbox")
    from livepeer_async.cli.outcome import Status
    from livepeer_async.cli.running import run
    from livepeer_async.cli.serve import serve

    run(
        partial(serve, port=port, storage=storage),
        on_interrupt=lambda: "the sandbox has ended",
        interrupted=Status.OK,
    )


def _check_files(files: list[str], *, name: str | None) -> None:
    from livepeer_async.cli.sources import STANDARD_INPUT, is_typed_by_hand

    if name is not None and len(files) > 1:
        raise typer.BadParameter("--name goes with one FILE: leave it out, and each has its own")
    if files.count(STANDARD_INPUT) > 1:
        raise typer.BadParameter("standard input can be read once: say - once")
    if STANDARD_INPUT in files and is_typed_by_hand():
        raise typer.BadParameter("standard input is a terminal: pipe a video into it, or name FILE")
