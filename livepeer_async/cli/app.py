"""The typer commands and their options.

The modules that implement a command are imported when it runs: `--help` must not wait for them, and
the sandbox needs an extra that may be missing.
"""

from __future__ import annotations

# ruff: noqa: PLC0415 - see above
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from livepeer_async.cli.extras import need_sandbox
from livepeer_async.cli.ingest_command import ABOUT as ABOUT_INGEST
from livepeer_async.cli.ingest_command import ingest
from livepeer_async.cli.options import (
    RETRIES,
    TIMEOUTS,
    Again,
    AsJson,
    ChunkResponse,
    Concurrency,
    JournalFile,
    NoJournal,
    NoWait,
    OfSandbox,
    Stall,
    Storage,
    StorageWithSandbox,
    Timeout,
    UploadChoices,
    Verified,
    check_journal,
    check_storage,
)
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.version import __version__

# ruff: noqa: PLC0415 - a command imports what it needs: `--help` shouldn't wait for all of it


# ruff: noqa: PLC0415 - a command imports what it needs: `--help` shouldn't wait for all of it


journal = typer.Typer(
    help="See what is remembered of uploads, and what they left behind.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@journal.command("list")
def list_records(*, journal: JournalFile = None, json: AsJson = False) -> None:
    """List the uploads that the journal remembers.

    States: requested (no answer yet), ticketed (an asset, no bytes), created (bytes on their way),
    arrived (the server has all bytes), ready.
    """
    from livepeer_async.cli.journal import list_records
    from livepeer_async.cli.running import run

    run(partial(list_records, journal, is_json=json))


@journal.command("orphans")
def show_orphans(
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete those that are certainly ours.")
    ] = False,
    journal: JournalFile = None,
    json: AsJson = False,
) -> None:
    """List assets that are left on the server of uploads that came to nothing.

    Certainly ours are those whose ID the journal has. Others fit, by name and time, a request
    whose answer was lost: they may be somebody else's, and are never deleted here.
    """
    from livepeer_async.cli.journal import show_orphans
    from livepeer_async.cli.running import run

    run(partial(show_orphans, journal, is_deleting=delete, is_json=json))


@journal.command("forget")
def forget(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY", help="Keys, or paths of files, of uploads.")
    ],
    *,
    journal: JournalFile = None,
) -> None:
    """Forget uploads, so that the next run begins them anew; deletes nothing on the server."""
    from livepeer_async.cli.journal import forget
    from livepeer_async.cli.running import run

    run(partial(forget, keys, journal))


assets = typer.Typer(
    help="Look at assets, wait for one, delete some.", no_args_is_help=True, rich_markup_mode=None
)
AssetId = Annotated[str, typer.Argument(metavar="ID", help="ID of the asset.")]


@assets.command("get")
def get_asset(asset_id: AssetId, *, json: AsJson = False) -> None:
    """Show an asset."""
    from livepeer_async.cli.assets import get_asset
    from livepeer_async.cli.running import run

    run(partial(get_asset, asset_id, is_json=json))


@assets.command("list")
def list_assets(
    *,
    phase: Annotated[
        str | None, typer.Option(help="Only those in this phase: uploading, ready, failed...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most assets to show, newest first.")] = 50,
    json: AsJson = False,
) -> None:
    """List assets, the newest first."""
    from livepeer_async.cli.assets import list_assets
    from livepeer_async.cli.running import run

    run(partial(list_assets, phase=phase, limit=limit, is_json=json))


@assets.command("wait")
def wait_for_asset(
    asset_id: AssetId,
    *,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds to wait at the most.")
    ] = READY_TIMEOUT,
    json: AsJson = False,
) -> None:
    """Wait until an asset is ready."""
    from livepeer_async.cli.assets import wait_for_asset
    from livepeer_async.cli.running import run

    run(partial(wait_for_asset, asset_id, timeout=timeout, is_json=json))


@assets.command("delete")
def delete_assets(
    asset_ids: Annotated[list[str], typer.Argument(metavar="ID", help="IDs of the assets.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete assets for good; asks before, on a terminal."""
    from livepeer_async.cli.assets import delete_assets, is_confirmed
    from livepeer_async.cli.running import run

    answer = True if yes else is_confirmed(len(asset_ids))
    if answer is None:
        raise typer.BadParameter("there is no terminal to ask on: say --yes to delete them")
    if not answer:
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit(1)
    run(partial(delete_assets, asset_ids))


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
    from livepeer_async.cli.output.error_messages import Status
    from livepeer_async.cli.running import run
    from livepeer_async.cli.sandbox import serve

    run(
        partial(serve, port=port, storage=storage),
        on_interrupt=lambda: "the sandbox has ended",
        interrupted=Status.OK,
    )


def _check_files(files: list[str], *, name: str | None) -> None:
    from livepeer_async.cli.stdin import STANDARD_INPUT, is_typed_by_hand

    if name is not None and len(files) > 1:
        raise typer.BadParameter("--name goes with one FILE: leave it out, and each has its own")
    if files.count(STANDARD_INPUT) > 1:
        raise typer.BadParameter("standard input can be read once: say - once")
    if STANDARD_INPUT in files and is_typed_by_hand():
        raise typer.BadParameter("standard input is a terminal: pipe a video into it, or name FILE")
