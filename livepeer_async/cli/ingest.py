"""`livepeer-async ingest`: a manifest to ready assets, unattended, with a report."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from os.path import realpath
from pathlib import Path
from shlex import quote

import anyio

from livepeer_async.cli.options import INGEST_BUSY_SECONDS, IngestChoices
from livepeer_async.cli.output.console import say
from livepeer_async.cli.output.display import show
from livepeer_async.cli.output.error_messages import Status
from livepeer_async.cli.output.ingest_events import Following
from livepeer_async.cli.output.ingest_status import Standing
from livepeer_async.cli.output.ingest_summary import (
    print_check,
    print_table,
    tell_empty,
    tell_failures,
    tell_interruption,
    tell_next,
    tell_report,
)
from livepeer_async.cli.output.plain import summarise
from livepeer_async.cli.output.report_file import ReportFile, open_report, standard_output
from livepeer_async.cli.running import hear_signals
from livepeer_async.cli.session import open_client
from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.ingest import Ingestion, Manifest, check_manifest, ingest, open_manifest


class Ingesting:
    """The ingestion of one command.

    Args:
        place: of the manifest.
        choices: how.
    """

    def __init__(self, place: str, choices: IngestChoices) -> None:
        self._place = place
        self._choices = choices
        self.standing = Standing()
        self._note = say
        self._log = say
        self._following = Following(
            self.standing,
            note=self._tell,
            log=self._tell_log,
            write=self._write,
            has_report=choices.report is not None or choices.is_json,
        )
        self._report: ReportFile | None = None
        self._output: ReportFile | None = None
        self._ingestion: Ingestion | None = None
        self._scope: anyio.CancelScope | None = None
        self._is_interrupted = False

    async def run(self) -> Status:
        """Open the manifest and the report, ingest, and say what came of it."""
        choices = self._choices
        manifest = open_manifest(self._place, allow_outside=choices.allow_outside)
        _check_report(choices, self._place)
        with ExitStack() as stack:
            if choices.is_json:
                self._output = standard_output(self._tell_trouble)
            if choices.report is not None:
                opening = open_report(choices.report, on_trouble=self._tell_trouble)
                self._report = stack.enter_context(opening)
            if choices.is_checked_only:
                return await self._check(manifest)
            return await self._run(manifest)

    def explain_interruption(self) -> str:
        """Say what is left, and how to go on."""
        if self._choices.storage is not None:
            return "interrupted; what the embedded sandbox had is gone with it"
        return tell_interruption(self.standing)

    async def _check(self, manifest: Manifest) -> Status:
        async for event in check_manifest(manifest):
            self._following.take(event)
        self._sync()
        self._tell_reports()
        tally = self.standing.tally
        if tally.is_empty:
            tell_empty(self._place)
        elif tally.checked is not None and not self._choices.is_json:
            print_check(tally.checked, tally.bad, self._place)
        is_well = not (self._has_lost_lines or tally.bad or tally.is_empty)
        return Status.OK if is_well else Status.FAILED

    async def _run(self, manifest: Manifest) -> Status:
        self._scope = scope = anyio.CancelScope()
        async with plain_task_group() as tasks:
            tasks.start_soon(hear_signals, self._interrupt)
            try:
                with scope:
                    await self._ingest(manifest)
            except LivepeerError:
                self._conclude()
                raise
            self._conclude()
            tasks.cancel_scope.cancel()
        if self._is_interrupted:
            say(self.explain_interruption())
            return Status.INTERRUPTED
        status = self.standing.tally.status()
        return Status.FAILED if status is Status.OK and self._has_lost_lines else status

    async def _ingest(self, manifest: Manifest) -> None:
        choices, standing = self._choices, self.standing
        opening = open_client(
            storage=choices.storage,
            retry=RetryPolicy(attempts=choices.retries, busy_timeout=INGEST_BUSY_SECONDS),
            timeouts=choices.timeouts,
            journal=choices.journal,
            is_remembered=choices.is_remembered,
            is_knocking=False,
        )
        showing = show(standing.board, is_json=choices.is_json, standing=standing)
        async with opening as client, showing as display:
            self._note, self._log = display.note, display.log
            if client.journal is not None:
                standing.journal = f" --journal {quote(choices.journal)}" if choices.journal else ""
            standing.is_paused = lambda: client.throttle.is_paused
            standing.quiet = lambda: client.throttle.idle_seconds
            ingesting = ingest(
                client,
                manifest,
                strict=choices.is_strict,
                relay=choices.is_relayed,
                concurrency=choices.concurrency,
                max_rate=choices.max_rate,
                wait=choices.is_waited_for,
                verify=choices.verify,
                on_progress=self._following.follow,
                ready_timeout=choices.timeout,
            )
            try:
                async with ingesting as self._ingestion:
                    async for event in self._ingestion:
                        self._following.take(event)
                if client.journal is not None:
                    orphans, unconfirmed_requests = (
                        await client.journal.orphans(),
                        await client.journal.unconfirmed_requests(),
                    )
                    standing.leftovers = len(orphans) + len(unconfirmed_requests)
            finally:
                self._following.break_off()
                self._note = self._log = say

    def _interrupt(self) -> None:
        """Stop at the first signal, and cancel at the second, or where nothing runs."""
        is_first, self._is_interrupted = not self._is_interrupted, True
        if not is_first or self._ingestion is None or not self.standing.board.items:
            if self._scope is not None:
                self._scope.cancel()
            return
        self.standing.is_stopping = True
        self._tell(
            "interrupted: the chunks that run are sent to their ends, so that nothing of them is "
            "lost; Ctrl-C again ends at once"
        )
        self._ingestion.stop()

    def _conclude(self) -> None:
        """Say what the rows came to; what ended all of them is told after it."""
        choices, standing = self._choices, self.standing
        if not standing.tally.has_rows and not standing.tally.is_empty:
            return  # the server, the key or Ctrl-C has ended it before anything began
        self._sync()
        if standing.tally.checked is None:
            return
        if standing.tally.is_empty:
            tell_empty(self._place)
        elif self._is_refused and not choices.is_json:
            print_check(standing.tally.checked, standing.tally.bad, self._place)
        elif choices.is_json:
            say(summarise(standing.board, time.monotonic(), standing))
        else:
            print_table(standing, time.monotonic())
        tell_failures(standing)
        if self._is_refused:
            say("nothing was started, as --strict wants it")
        # What the embedded sandbox had is gone with it: there is nothing to go on with.
        if choices.storage is None:
            tell_next(standing, self._place)
        self._tell_reports()

    def _tell_reports(self) -> None:
        for place in (self._output, self._report):
            if place is not None and (place.missing or place is self._report):
                has_run = not (self._choices.is_checked_only or self._is_refused)
                tell_report(place, has_run=has_run)

    def _write(self, line: str) -> None:
        # The report first: nobody may read standard output any more, which ends the command.
        for place in (self._report, self._output):
            if place is not None:
                place.add(line)

    def _sync(self) -> None:
        if self._report is not None:
            if self.standing.tally.checked is not None:
                self._report.begin()
            self._report.sync()

    @property
    def _is_refused(self) -> bool:
        """Whether a bad row has kept all others from starting."""
        return self._choices.is_strict and self.standing.tally.bad > 0

    @property
    def _has_lost_lines(self) -> bool:
        return any(place is not None and place.missing for place in (self._output, self._report))

    def _tell(self, sentence: str) -> None:
        self._note(sentence)

    def _tell_log(self, sentence: str) -> None:
        self._log(sentence)

    def _tell_trouble(self, name: str, error: OSError) -> None:
        self._tell(
            f"{name} can't be written: {error.strerror or error}; the uploads go on, "
            "and the rows that end meanwhile are missing there"
        )


def _check_report(choices: IngestChoices, place: str) -> None:
    """Refuse a report that would take the place of the manifest or the journal."""
    if choices.report is None:
        return
    for what, path in (("manifest", place), ("journal", choices.journal)):
        if path is not None and _is_same(choices.report, path):
            raise ConfigurationError(
                f"the report would overwrite the {what} {path}: name another file with --report"
            )


def _is_same(one: str, other: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(one).samefile(other)
    return realpath(one) == realpath(other)
