"""`livepeer-async upload`: uploads files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from livepeer_async.cli import options
from livepeer_async.cli.command import EXIT_STATUS_HELP, FilesCommand
from livepeer_async.defaults import CHUNK_RESPONSE_TIMEOUT, READY_TIMEOUT, STALL_TIMEOUT
from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    from livepeer_async.cli import client_options, runner, session, upload_batch, upload_files
    from livepeer_async.ingest.naming import NameTemplate
else:
    # Imported by the command; its help needs none of them.
    client_options = deferred_module("livepeer_async.cli.client_options")
    runner = deferred_module("livepeer_async.cli.runner")
    session = deferred_module("livepeer_async.cli.session")
    upload_batch = deferred_module("livepeer_async.cli.upload_batch")
    upload_files = deferred_module("livepeer_async.cli.upload_files")

app = typer.Typer(rich_markup_mode=None, add_completion=False)

FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE", help="Videos; - is standard input.")
]
NameOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Name of the asset, with one FILE; by default the file's name."
    ),
]
RetriesOption = Annotated[
    int,
    typer.Option(
        metavar="NUMBER",
        min=0,
        help="Retries since the last progress; 8 survive an outage of about a minute. Before the "
        "first upload there are at most 2.",
    ),
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a line of JSON for each file, as ingest does for each row.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Re-upload files that an earlier run already finished; its assets stay on the server.",
    ),
]


@app.command(epilog=EXIT_STATUS_HELP, cls=FilesCommand)
def upload(  # noqa: PLR0913 - the options of the command
    files: FilesArgument,
    *,
    name: NameOption = None,
    name_template: options.NameTemplate = None,
    sandbox: options.UseSandbox = False,
    storage: options.SandboxStorage = None,
    no_wait: options.NoWait = False,
    verify: options.Verify = "size",
    probe: options.UseProbe = False,
    probe_ignore: options.ProbeIgnore = None,
    concurrency: options.Concurrency = None,
    max_rate: options.MaxRate = None,
    playback_policy: options.PlaybackPolicy = None,
    creator_id: options.CreatorId = None,
    report: ReportOption = None,
    ready_timeout: options.ReadyTimeout = READY_TIMEOUT,
    stall: options.Stall = STALL_TIMEOUT,
    chunk_response: options.ChunkResponse = CHUNK_RESPONSE_TIMEOUT,
    retries: RetriesOption = options.RETRIES,
    journal: options.JournalPath = None,
    no_journal: options.NoJournal = False,
    force: ForceOption = False,
    ignore_mtime: options.IgnoreMtime = False,
    method: options.Method = "tus",
    json: options.Json = False,
) -> None:
    """Upload videos and wait until they are ready.

    A journal records each file by its path: if a run ends early, the same command resumes it, and
    files that are ready aren't uploaded again.

    With --json, each file gets a line when it ends: source, asset_id, playback_id, playerUrl (a
    page that plays it; also as playbackUrl), phase, size, verified, sha256, seconds, attempts,
    error {type, message}. Progress goes to standard error. After Ctrl-C each unfinished file gets a
    line with the phase "interrupted".

    The lines of --report have the fields that `livepeer-async ingest --help` lists.
    """
    options.check_report(report)
    template = _check_arguments(files, name, name_template, is_unrecorded=force and no_journal)
    limits = client_options.Timeouts(stall=stall, chunk_response=chunk_response)
    retry = client_options.RetryPolicy(attempts=retries)
    client = client_options.build_client_options(
        retry, limits, sandbox=sandbox, storage=storage, journal=journal, no_journal=no_journal
    )
    rules = client_options.build_probe(probe=probe, ignore=probe_ignore)
    more = client_options.build_upload_options(
        verify, rules, method, ready_timeout, no_wait=no_wait, ignore_mtime=ignore_mtime
    )
    more |= {"concurrency": concurrency, "max_rate": max_rate}
    fields = client_options.read_asset_fields(playback_policy, creator_id)
    job = upload_batch.UploadBatch(
        files, more, name=name, fields=fields, json=json, template=template, journal=journal
    )
    run = partial(job.run, session.open_client(client, is_upload=True), force=force, report=report)
    runner.run_command(run, on_interrupt=partial(job.report_interruption, is_lost=sandbox))


def _check_arguments(
    files: list[str], name: str | None, text: str | None, *, is_unrecorded: bool
) -> NameTemplate | None:
    """Check the files and their names; return the template, if there is one."""
    if is_unrecorded:
        raise typer.BadParameter("--force can't be combined with --no-journal")
    upload_files.check_files(files, name=name)
    return upload_files.read_template(text, name=name)
