"""`livepeer-async ingest`: uploads the videos of a manifest."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from livepeer_async.cli import cluster_options, options
from livepeer_async.cli.command import EXIT_STATUS_HELP, FilesCommand
from livepeer_async.defaults import CHUNK_RESPONSE_TIMEOUT, READY_TIMEOUT, STALL_TIMEOUT
from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    from livepeer_async.cli import client_options, ingest_run, runner, upload_files
else:
    # Imported by the command; its help needs none of them.
    client_options = deferred_module("livepeer_async.cli.client_options")
    ingest_run = deferred_module("livepeer_async.cli.ingest_run")
    runner = deferred_module("livepeer_async.cli.runner")
    upload_files = deferred_module("livepeer_async.cli.upload_files")

app = typer.Typer(rich_markup_mode=None, add_completion=False)

HELP = """Upload everything that a manifest lists, unattended, and wait until it is ready.

A journal records each row by its key: if a run ends early, the same command resumes it, skips
ready rows and retries failed ones. Ctrl-C finishes the chunks in flight; a second Ctrl-C quits
immediately.

\b
MANIFEST is one of
  videos.jsonl        JSON lines, one object per line (.jsonl, .ndjson)
  videos.csv          a table with a header (.csv, .tsv; separated by
                      commas, semicolons or tabs)
  shows/              all videos in a folder and its subfolders
  'shows/**/*.mp4'    all files that match a glob
A row has a path (relative to the manifest's folder), a url, or a
source, which is either. It may have a key (its name in the journal; by
default the absolute path, or the URL), name, playbackPolicy, creatorId
and the API's other fields for a new asset.

\b
Bad rows are printed as FILE:LINE before anything starts, and skipped;
with --strict they keep all others from starting. A row is bad if
  - its line isn't an object, isn't UTF-8, or is longer than 1 MiB
  - a column or field is unknown (in a header: all rows are bad)
  - an earlier row has its key
  - its path or a link leads out of the folder, without --allow-outside
  - its file is missing, empty, too long or unreadable
  - its URL isn't http or https
Hidden files in folders, files that aren't videos, and links to
folders are skipped. A manifest without rows ends with exit status 1.

\b
Several machines upload with one of
  --workers 4                processes on this machine
  --listen 10.0.0.5:8786     workers that join there, each started with
                             livepeer-async worker 10.0.0.5:8786
  --cluster tls://HOST:PORT  the workers of a Dask cluster
More machines help if files are spread over them or the account's quota
was raised: by default, Livepeer processes 5 videos at once.

The report, and standard output with --json, has a line for each row: key, place, state (ready,
arrived, failed, unfinished, bad), asset_id, playback_id, playerUrl (a page that plays it; also as
playbackUrl), bytes, seconds, attempts, verified, error {type, message}, is_earlier. Each run
replaces the report; with --check it has only the bad rows. --check and --json write a report only
if --report names it. If the disk fills up, the report keeps whole lines, the uploads continue, and
the exit status is 1.
"""

ManifestArgument = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="A file, a folder, or a glob in quotes.")
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Only check the manifest; needs no API key.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Start nothing if a row is bad.")]
RelayOption = Annotated[
    bool,
    typer.Option("--relay", help="Fetch URLs and upload them; by default the server fetches them."),
]
OutsideOption = Annotated[
    bool, typer.Option("--allow-outside", help="Accept files outside the manifest's folder.")
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a line of JSON for each row that ends; by default to a file beside the "
        "journal, which is named at the start and at the end.",
    ),
]
NoReportOption = Annotated[bool, typer.Option("--no-report", help="Write no report.")]
RetriesOption = Annotated[
    int,
    typer.Option(
        metavar="NUMBER",
        min=0,
        help="Retries since the last progress; 20 survive about seven minutes. A full queue is "
        "retried for a day.",
    ),
]


# The signature has two options in a line.
# fmt: off
@app.command(
    help=HELP,
    epilog=EXIT_STATUS_HELP,
    cls=FilesCommand,
    # The command reports an unquoted glob, which the shell has expanded.
    context_settings={"allow_extra_args": True},
)
def ingest(  # noqa: PLR0913 - the options of the command
    context: typer.Context,
    manifest: ManifestArgument,
    *,
    check: CheckOption = False, strict: StrictOption = False,
    relay: RelayOption = False, allow_outside: OutsideOption = False,
    name_template: options.NameTemplate = None, report: ReportOption = None,
    no_report: NoReportOption = False, journal: options.JournalPath = None,
    no_journal: options.NoJournal = False, concurrency: options.Concurrency = None,
    max_rate: options.MaxRate = None, retries: RetriesOption = options.INGEST_RETRIES,
    no_wait: options.NoWait = False, verify: options.Verify = "size",
    probe: options.UseProbe = False, probe_ignore: options.ProbeIgnore = None,
    ready_timeout: options.ReadyTimeout = READY_TIMEOUT, stall: options.Stall = STALL_TIMEOUT,
    chunk_response: options.ChunkResponse = CHUNK_RESPONSE_TIMEOUT,
    sandbox: options.UseSandbox = False, storage: options.SandboxStorage = None,
    ignore_mtime: options.IgnoreMtime = False, method: options.Method = "tus",
    cluster: cluster_options.Cluster = None, listen: cluster_options.Listen = None,
    workers: cluster_options.Workers = None, tls_ca: cluster_options.TlsCa = None,
    tls_cert: cluster_options.TlsCert = None, tls_key: cluster_options.TlsKey = None,
    insecure: cluster_options.Insecure = False, json: options.Json = False,
) -> None:
    """Run the command; `HELP` describes it."""
    _check_arguments(manifest, context.args, report, no_report=no_report)
    machines = cluster_options.build_cluster_options(
        cluster, listen, workers, (tls_ca, tls_cert, tls_key), insecure=insecure
    )
    cluster_options.check_journal(machines, journal, no_journal=no_journal, is_sandbox=sandbox)
    retry = client_options.RetryPolicy(attempts=retries, busy_timeout=options.INGEST_BUSY_TIMEOUT)
    limits = client_options.Timeouts(stall=stall, chunk_response=chunk_response)
    client = client_options.build_client_options(
        retry, limits, sandbox=sandbox, storage=storage, journal=journal, no_journal=no_journal
    )
    rules = client_options.build_probe(probe=probe, ignore=probe_ignore)
    rows = client_options.build_upload_options(
        verify, rules, method, ready_timeout, no_wait=no_wait, ignore_mtime=ignore_mtime
    )
    rows |= {"concurrency": concurrency, "max_rate": max_rate, "strict": strict, "relay": relay}
    command = ingest_run.IngestRun(
        manifest, client, rows, report=report, use_report=not no_report, json=json, cluster=machines
    )
    run = partial(command.run, check=check, allow_outside=allow_outside, template=name_template)
    runner.run_command(run, on_interrupt=command.describe_interruption)
# fmt: on


def _check_arguments(
    manifest: str, others: list[str], report: str | None, *, no_report: bool
) -> None:
    if report and no_report:
        raise typer.BadParameter("--no-report can't be combined with --report")
    if others:
        raise typer.BadParameter(
            f"wanted one MANIFEST, found {others[0]!r} too: put a glob in quotes, such "
            "as 'shows/*.mp4', or use livepeer-async upload for files"
        )
    upload_files.check_manifest(manifest)
    options.check_report(report)
