"""`livepeer-async worker`: uploads rows of ingestions that run elsewhere."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from livepeer_async.cli import cluster_certificates, cluster_options
from livepeer_async.cli.command import Command
from livepeer_async.cli.extras import require
from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    from livepeer_async.cli import runner, worker_run
    from livepeer_async.cli.output import error_messages
else:
    # Imported by the command; its help needs none of them.
    error_messages = deferred_module("livepeer_async.cli.output.error_messages")
    runner = deferred_module("livepeer_async.cli.runner")
    worker_run = deferred_module("livepeer_async.cli.worker_run")

app = typer.Typer(rich_markup_mode=None, add_completion=False)

JournalUrl = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="URL",
        help="The ingestion's journal as this machine reaches it; by default LIVEPEER_JOURNAL, or "
        "else the same URL. The password is that of PGPASSWORD or ~/.pgpass.",
    ),
]


@app.command(cls=Command)
def worker(  # noqa: PLR0913 - the options of the command
    address: Annotated[
        str,
        typer.Argument(
            metavar="HOST:PORT", help="Where `livepeer-async ingest --listen`, or Dask, listens."
        ),
    ],
    *,
    journal: JournalUrl = None,
    threads: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Batches of rows at a time.")
    ] = 4,
    once: Annotated[
        bool, typer.Option("--once", help="End with the scheduler instead of waiting for the next.")
    ] = False,
    tls_ca: cluster_options.TlsCa = None,
    tls_cert: cluster_options.TlsCert = None,
    tls_key: cluster_options.TlsKey = None,
    insecure: cluster_options.Insecure = False,
) -> None:
    """Upload rows for ingestions that listen at HOST:PORT, one after the other, until Ctrl-C.

    The API key is this machine's LIVEPEER_API_KEY. Files must have the same absolute path as on
    the machine that reads the manifest.
    """
    require("worker", "distributed")
    tls = cluster_certificates.read_tls(tls_ca, tls_cert, tls_key)
    url = cluster_options.parse_address(address, "HOST:PORT", tls, insecure=insecure)
    if journal:
        os.environ["LIVEPEER_JOURNAL"] = journal
    runner.run_command(
        partial(worker_run.run_worker, url, threads=threads, tls=tls, once=once),
        on_interrupt=lambda: "the worker has stopped",
        interrupt_status=error_messages.ExitStatus.OK,
    )
