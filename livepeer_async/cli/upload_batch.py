"""The uploads of one `livepeer-async upload` command, and the report of their results."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)
from typing import Any

import anyio

from livepeer_async.cli.file_names import name_files
from livepeer_async.cli.journal_places import journal_file, journal_option
from livepeer_async.cli.output.console import print_json, print_note, print_problem
from livepeer_async.cli.output.display import Display, show_progress
from livepeer_async.cli.output.error_messages import ExitStatus, Scope, exit_status_for
from livepeer_async.cli.output.formatting import (
    MAX_NAME_WIDTH,
    json_line,
    pluralize,
    shorten,
)
from livepeer_async.cli.output.ingest_summary import print_report_state
from livepeer_async.cli.output.leftovers import print_leftovers
from livepeer_async.cli.output.names import shorten_names
from livepeer_async.cli.output.progress import BatchProgress, FileProgress
from livepeer_async.cli.output.report import (
    interruption_document,
    print_failures,
    print_results,
    print_summary,
    result_document,
    upload_row_document,
)
from livepeer_async.cli.output.report_file import ReportFile, check_report_path, open_report
from livepeer_async.cli.output.request_status import StatusLog
from livepeer_async.cli.stdin import STANDARD_INPUT, FilePath, StandardInput
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError, TooManyOpenFiles
from livepeer_async.http.observers import observe_requests
from livepeer_async.ingest.naming import NameTemplate
from livepeer_async.sources.source import source_key, source_name
from livepeer_async.uploads.leftovers import LeftoverReport
from livepeer_async.uploads.options import UploadJob, UploadOptions, UploadResult
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.uploader import CLEANUP_TIMEOUT


class UploadBatch:
    """The uploads of one command.

    Args:
        arguments: paths, and "-" for standard input.
        upload_options: options of `AsyncLivepeer.upload_many`.
        name: the asset's name; by default the file's.
        fields: other fields of the assets, by the API's names.
        json: whether to write JSON instead of a table.
        template: of the assets' names.
        journal: the file of the journal, if it isn't the default one.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        upload_options: Mapping[str, Any],
        *,
        name: str | None = None,
        fields: Mapping[str, object] | None = None,
        json: bool = False,
        template: NameTemplate | None = None,
        journal: str | None = None,
    ) -> None:
        self._options = upload_options
        self._names = {} if name else name_files(arguments, template)
        self._name = name
        self._fields = dict(fields or {})
        self._json = json
        self._journal = journal
        self._journal_option = journal_option(journal)
        self._jobs: list[UploadJob] = []
        self._files: dict[object, FileProgress] = {}
        # How often each file is named, by the journal's key.
        self._named: dict[str, int] = {}
        for argument in arguments:
            self._add(argument)
        self.progress = BatchProgress(self._files.values())
        self.progress.waits = self._options.get("wait", True)
        self._display: Display | None = None
        self._report: ReportFile | None = None
        self._scope = Scope(is_upload=True)

    async def run(
        self,
        opening: AbstractAsyncContextManager[AsyncLivepeer],
        *,
        force: bool,
        report: str | None = None,
    ) -> ExitStatus:
        """Open the client, upload all files and report the results.

        Args:
            opening: opens the client.
            force: whether to upload again what an earlier run has finished.
            report: the file of the report.
        """
        with self._open_report(report):
            try:
                return await self._run(opening, force=force)
            finally:
                self._finish_report()

    async def _run(
        self, opening: AbstractAsyncContextManager[AsyncLivepeer], *, force: bool
    ) -> ExitStatus:
        showing = show_progress(self.progress, json=self._json)
        self._print_repeated()
        try:
            async with opening as client, showing as display:
                if client.journal is not None:
                    self._scope = Scope(is_upload=True, journal_option="")
                await self.upload(client, display, force=force)
                # The failures of all uploads are shown; this may take several seconds more.
                with observe_requests(StatusLog(display.print).observe):
                    leftovers = await self._clean_up(client)
        except LivepeerError as error:
            self._fail_remaining(error)
            self._print_results()
            raise
        self._print_results()
        print_failures(self.progress, self._scope)
        print_summary(self.progress, time.monotonic() - self.progress.started)
        print_leftovers(leftovers, self._journal_option)
        results = [file.result for file in self.progress.files]
        status = exit_status_for(result.error for result in results if result)
        is_incomplete = self._report is not None and self._report.missing > 0
        return ExitStatus.FAILED if is_incomplete and status is ExitStatus.OK else status

    async def upload(self, client: AsyncLivepeer, display: Display, *, force: bool = False) -> None:
        """Upload all files; with --json write a line for each that ends."""
        self._display = display
        self.progress.started = time.monotonic()
        # The program that writes to standard input may pause as long as the user lets it.
        options: dict[str, Any] = {"source_timeout": None, **self._options}
        concurrency, max_rate = (options.pop(name, None) for name in ("concurrency", "max_rate"))
        client.throttle.set_limits(concurrency, max_rate)
        uploading = client.uploads.run_many(
            self._jobs, UploadOptions(force=force, **options), on_progress=self._update
        )
        async with uploading as results:
            async for result in results:
                file = self._files[result.source]
                file.set_result(result)
                display.update(file)
                self._write(file, self._scope)
                if isinstance(result.error, TooManyOpenFiles):
                    # The others would wait for as long, and fail as well.
                    raise result.error

    def report_interruption(self, *, is_lost: bool) -> str:
        """Report each unfinished file and return a summary; if `is_lost`, none can be resumed."""
        progress = self.progress
        unfinished = [file for file in progress.files if file.outcome is None]
        if self._json:
            for file in unfinished:
                print_json(interruption_document(file))
        if is_lost:
            return "interrupted; the embedded sandbox is deleted"
        self._print_results()
        names = shorten_names([file.name for file in progress.files], MAX_NAME_WIDTH)
        for file in unfinished:
            if file.asset_id is not None:
                print_note(f"{names[file.name]}: {file.status}, asset {file.asset_id}")
        return self._summarize_interruption(unfinished)

    def _print_results(self) -> None:
        if not self._json:
            print_results(self.progress, self._options)

    def _summarize_interruption(self, unfinished: Sequence[FileProgress]) -> str:
        message = f"interrupted: {self.progress.summarize()}"
        processing = sum(file.is_processing for file in unfinished)
        uploading = sum(file.is_uploading for file in unfinished)
        if processing:
            files = pluralize(processing, "file")
            message += f"; {files} arrived and will become ready: livepeer-async assets list"
        if uploading:
            has_journal = self._scope.journal_option is not None
            listing = "livepeer-async assets list --phase uploading"
            advice = "run the same command to resume" if has_journal else listing
            message += f"; {pluralize(uploading, 'upload')} unfinished: {advice}"
        return message

    async def _clean_up(self, client: AsyncLivepeer) -> LeftoverReport:
        """Delete certain leftovers; return those that no earlier command has reported."""
        with anyio.move_on_after(CLEANUP_TIMEOUT), suppress(LivepeerError):
            return await client.clean_up()
        return LeftoverReport()

    def _fail_remaining(self, error: LivepeerError) -> None:
        """Report an error that ends the command for each unfinished file."""
        for file in self.progress.files:
            if file.outcome is None:
                file.set_result(UploadResult(source=file.argument, error=error))
                self._write(file, Scope(is_upload=True))

    def _write(self, file: FileProgress, scope: Scope) -> None:
        """Write the lines of a file that ended."""
        # The report first: a closed pipe on standard output ends the command.
        if self._report is not None:
            self._report.write(json_line(upload_row_document(file, scope)))
        if self._json:
            print_json(result_document(file, scope))

    def _open_report(self, path: str | None) -> AbstractContextManager[None]:
        if path is None:
            return nullcontext()
        others = [("video", file.argument) for file in self.progress.files]
        check_report_path(path, [*others, ("journal", journal_file(self._journal))])
        return self._keep_report(path)

    @contextmanager
    def _keep_report(self, path: str) -> Generator[None]:
        with open_report(path, on_error=self._print_report_error) as self._report:
            yield

    def _finish_report(self) -> None:
        """Write the lines of unfinished files, and save the report."""
        if self._report is None:
            return
        for file in self.progress.files:
            if file.outcome is None:
                self._report.write(json_line(upload_row_document(file, self._scope)))
        self._report.sync()
        if self._report.missing:
            print_report_state(self._report, has_run=True)

    def _print_report_error(self, name: str, error: OSError) -> None:
        message = f"{name} can't be written: {error.strerror or error}; the uploads continue"
        if self._display is None:
            print_problem(message)
        else:
            self._display.print_problem(message)

    def _add(self, argument: str) -> None:
        source: FilePath | StandardInput
        length: int | None = None
        if argument == STANDARD_INPUT:
            source = StandardInput(lambda count: self._update_read(source, count))
        else:
            source = FilePath(argument)
            length = source.length()
        name = self._name or self._names.get(argument)
        new_asset = {**self._fields, "name": name or source_name(source)} if self._fields else name
        key = source_key(source)
        if key is not None and key in self._named:
            self._named[key] += 1
            return
        if key is not None:
            self._named[key] = 1
        self._jobs.append(UploadJob(source, new_asset, key=key))
        self._files[source] = FileProgress(argument, name or source_name(source), length)

    def _print_repeated(self) -> None:
        """Tell which files are named several times; by their paths, they are one upload."""
        for job in self._jobs:
            number = self._named.get(job.key or "", 1)
            if number > 1:
                name = shorten(self._files[job.source].argument, MAX_NAME_WIDTH)
                print_note(f"{name} is named {number} times, and is one upload")

    def _update_read(self, source: object, count: int) -> None:
        file = self._files[source]
        file.sent = count
        self._show(file)

    def _update(self, source: object, progress: Progress) -> None:
        file = self._files[source]
        file.update(progress, time.monotonic())
        self._show(file)

    def _show(self, file: FileProgress) -> None:
        if self._display is not None:
            self._display.update(file)
