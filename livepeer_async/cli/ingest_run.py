"""Runs an ingestion with a display, a report and a summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from os.path import realpath
from pathlib import Path
from typing import Any

import anyio

from livepeer_async.cli.client_options import ClientOptions
from livepeer_async.cli.cluster import open_cluster
from livepeer_async.cli.cluster_options import ClusterOptions
from livepeer_async.cli.journal_places import journal_file, journal_option
from livepeer_async.cli.output.console import print_note, print_problem
from livepeer_async.cli.output.display import show_progress
from livepeer_async.cli.output.error_messages import ExitStatus
from livepeer_async.cli.output.formatting import json_line
from livepeer_async.cli.output.ingest_events import IngestEvents
from livepeer_async.cli.output.ingest_status import IngestStatus
from livepeer_async.cli.output.ingest_summary import (
    describe_interruption,
    print_check,
    print_counts,
    print_empty,
    print_failure_kinds,
    print_name,
    print_next_steps,
    print_ready,
    print_report_state,
)
from livepeer_async.cli.output.plain import PlainLines
from livepeer_async.cli.output.report_file import (
    ReportFile,
    check_report_path,
    default_report_name,
    open_report,
    standard_output,
)
from livepeer_async.cli.runner import handle_signals
from livepeer_async.cli.session import open_client, state_folder
from livepeer_async.client import AsyncLivepeer
from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.http.observers import observe_requests
from livepeer_async.ingest import (
    Checked,
    Ingestion,
    Manifest,
    Row,
    check_manifest,
    ingest,
    open_manifest,
)
from livepeer_async.journal.location import is_postgres_url


class IngestRun:
    """One run of `livepeer-async ingest`.

    Args:
        manifest: the manifest's path.
        client: options of the client.
        options: options of `ingest`.
        report: the file of the report; `None` for the default one.
        use_report: whether to write a report.
        json: whether the report goes to standard output, instead of a table.
        cluster: the cluster that uploads; None for this process.
    """

    def __init__(
        self,
        manifest: str,
        client: ClientOptions,
        options: Mapping[str, Any],
        *,
        report: str | None,
        use_report: bool = True,
        json: bool,
        cluster: ClusterOptions | None = None,
    ) -> None:
        self._cluster = cluster
        self._environment: dict[str, str] = {}
        self._path = manifest
        self._client = client
        self._options = dict(options)
        self._report_path = report
        self._use_default_report = use_report and report is None and not json
        self._json = json
        self.status = IngestStatus()
        has_report = report is not None or json
        self._events = IngestEvents(self.status, write=self._write, has_report=has_report)
        self._stack = ExitStack()
        self._report: ReportFile | None = None
        self._output: ReportFile | None = None
        self._ingestion: Ingestion | None = None
        self._scope: anyio.CancelScope | None = None
        self._is_interrupted = False

    async def run(
        self, *, check: bool, allow_outside: bool, template: str | None = None
    ) -> ExitStatus:
        """Open the manifest and the report, check or ingest, and print the summary."""
        manifest = open_manifest(self._path, allow_outside=allow_outside, name_template=template)
        others = (("manifest", self._path), ("journal", journal_file(self._client.journal)))
        check_report_path(self._report_path, others)
        with self._stack:
            if self._json:
                self._output = standard_output(self._print_report_error)
            if self._report_path is not None:
                writing = open_report(self._report_path, on_error=self._print_report_error)
                self._report = self._stack.enter_context(writing)
            if check:
                return await self._check(manifest, with_names=template is not None)
            # An ingestion checks the connection itself, and waits for the server.
            opening = open_client(
                self._client,
                check_connection=False,
                is_upload=True,
                on_sandbox=self._environment.update if self._cluster is not None else None,
            )
            return await self._run(opening, manifest)

    def describe_interruption(self) -> str:
        """Describe the unfinished rows, and how to continue."""
        if self._client.sandbox is not None:
            return "interrupted; the embedded sandbox is deleted"
        return describe_interruption(self.status)

    async def _check(self, manifest: Manifest, *, with_names: bool) -> ExitStatus:
        status, probe = self.status, self._options["probe"]
        good: list[Row] = []
        checking = check_manifest(
            manifest,
            probe=probe,
            on_probed=status.count_probed,
            on_row=good.append if with_names and not self._json else None,
            # Other machines may have the files.
            allow_missing=self._cluster is not None,
        )
        async with AsyncExitStack() as stack:
            if probe is not None:
                showing = show_progress(status.batch, json=self._json, status=status)
                self._events.display = await stack.enter_async_context(showing)
            async for event in checking:
                self._events.apply(event)
        self._events.display = PlainLines(status.batch)
        for row in good:
            print_name(row)
        self._sync_report()
        self._print_reports(has_run=False)
        stats = self.status.stats
        if stats.is_empty:
            print_empty(self._path)
        elif stats.checked is not None and not self._json:
            print_check(stats.checked, stats.bad, self._path)
        is_ok = not (self._missing_lines or stats.bad or stats.is_empty)
        return ExitStatus.OK if is_ok else ExitStatus.FAILED

    async def _run(
        self, opening: AbstractAsyncContextManager[AsyncLivepeer], manifest: Manifest
    ) -> ExitStatus:
        self._scope = scope = anyio.CancelScope()
        async with plain_task_group() as tasks:
            tasks.start_soon(handle_signals, self._interrupt)
            try:
                with scope:
                    await self._ingest(opening, manifest)
            except LivepeerError:
                self._print_summary()
                raise
            self._print_summary()
            tasks.cancel_scope.cancel()
        if self._is_interrupted:
            print_note(self.describe_interruption())
            return ExitStatus.INTERRUPTED
        status = self.status.stats.exit_status()
        return ExitStatus.FAILED if status is ExitStatus.OK and self._missing_lines else status

    async def _ingest(
        self, opening: AbstractAsyncContextManager[AsyncLivepeer], manifest: Manifest
    ) -> None:
        async with opening as client:
            if self._use_default_report:
                self._open_default_report(client)
            if self._cluster is None:
                await self._ingest_rows(client, manifest)
                return
            url = None if client.journal is None else client.journal.location.value
            if is_postgres_url(url):
                # With its password, which others' workers don't get.
                self._environment["LIVEPEER_JOURNAL"] = url
            opening_cluster = open_cluster(self._cluster, self._environment, print_note)
            async with opening_cluster as self._options["cluster"]:
                await self._ingest_rows(client, manifest)

    async def _ingest_rows(self, client: AsyncLivepeer, manifest: Manifest) -> None:
        status = self.status
        async with show_progress(status.batch, json=self._json, status=status) as display:
            self._events.display = display
            if client.journal is not None:
                status.journal_option = journal_option(self._client.journal)
            status.is_paused = lambda: client.throttle.is_paused
            status.idle_seconds = lambda: client.throttle.idle_seconds
            try:
                await self._apply_events(client, manifest)
                if self._ingestion is not None:
                    status.leftovers = self._ingestion.leftovers
            finally:
                self._events.abort()
                self._events.display = PlainLines(status.batch)

    async def _apply_events(self, client: AsyncLivepeer, manifest: Manifest) -> None:
        ingesting = ingest(client, manifest, on_progress=self._events.update, **self._options)
        with observe_requests(self.status.observe):
            async with ingesting as self._ingestion:
                async for event in self._ingestion:
                    self._events.apply(event)
                    if isinstance(event, Checked) and event.rows and not self._is_refused:
                        self._name_default_report()

    def _open_default_report(self, client: AsyncLivepeer) -> None:
        """Open the default report; the run continues without one if that fails."""
        is_sandbox = self._client.sandbox is not None
        account = "sandbox" if is_sandbox else client.account_fingerprint
        try:
            folder = state_folder()
            journal = journal_file(self._client.journal)
            if client.journal is not None and journal is not None:
                folder = Path(journal).absolute().parent
            folder.mkdir(0o700, parents=True, exist_ok=True)
            path = folder / default_report_name(realpath(self._path), account)
            writing = open_report(str(path), on_error=self._print_report_error)
            self._report = self._stack.enter_context(writing)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}; name a file with --report"
            print_problem(f"running without a report: {reason}")
        except (ConfigurationError, RuntimeError) as error:
            print_problem(f"running without a report: {error}")
        else:
            self._events.has_report = True

    def _name_default_report(self) -> None:
        if self._use_default_report and self._report is not None:
            self._events.display.print(f"report: {self._report.name}")

    def _interrupt(self) -> None:
        """Stop at the first signal; cancel at the second, or if no row is running."""
        is_first, self._is_interrupted = not self._is_interrupted, True
        # A cluster reports its rows with a delay.
        is_running = self._cluster is not None or bool(self.status.batch.files)
        if not is_first or self._ingestion is None or not is_running:
            if self._scope is not None:
                self._scope.cancel()
            return
        self.status.is_stopping = True
        # Below bars, the status says so.
        self._events.display.log(
            "interrupted: finishing chunks in flight; press Ctrl-C again to quit immediately"
        )
        self._ingestion.stop()

    def _print_summary(self) -> None:
        """Print a summary of the rows; an error that ended the run is printed after it."""
        status = self.status
        stats = status.stats
        if stats.has_rows or (stats.is_empty and not self._use_default_report):
            self._sync_report()
        if stats.checked is None or not (stats.has_rows or stats.is_empty):
            return
        self._print_rows(stats.checked)
        if self._use_default_report and stats.has_rows:
            self._print_reports(has_run=not self._is_refused)
        print_failure_kinds(status)
        if self._is_refused:
            print_problem("nothing was started, because of --strict")
        # The embedded sandbox is deleted: the next run can't continue.
        if self._client.sandbox is None:
            print_next_steps(status, self._path)
        if not self._use_default_report:
            self._print_reports(has_run=not self._is_refused)

    def _print_rows(self, checked: Checked) -> None:
        """Print how many rows are in which state, and after an interruption what is ready."""
        status = self.status
        if status.stats.is_empty:
            print_empty(self._path)
        elif self._json:
            print_note(PlainLines(status.batch, status).summarize())
        elif self._is_refused:
            print_check(checked, status.stats.bad, self._path)
        else:
            print_counts(status, time.monotonic() - status.batch.started)
            if self._is_interrupted and self._client.sandbox is None:
                print_ready(status, has_report=self._report is not None)

    def _print_reports(self, *, has_run: bool) -> None:
        for report in (self._output, self._report):
            if report is not None and (report.missing or report is self._report):
                has_errors = self.status.stats.exit_status() is not ExitStatus.OK
                print_report_state(report, has_run=has_run, has_errors=has_errors)

    def _write(self, document: dict[str, Any]) -> None:
        # The report first: a closed pipe on standard output ends the command.
        for report in (self._report, self._output):
            if report is not None:
                report.write(json_line(document))

    def _sync_report(self) -> None:
        if self._report is not None:
            if self.status.stats.checked is not None:
                self._report.begin()
            self._report.sync()

    @property
    def _is_refused(self) -> bool:
        """Whether nothing was started because of a bad row."""
        return self._options["strict"] and self.status.stats.bad > 0

    @property
    def _missing_lines(self) -> int:
        return sum(report.missing for report in (self._output, self._report) if report is not None)

    def _print_report_error(self, name: str, error: OSError) -> None:
        self._events.display.print_problem(
            f"{name} can't be written: {error.strerror or error}; the uploads continue, but rows "
            "that end in the meantime are missing from it"
        )
