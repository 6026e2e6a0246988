"""`livepeer-async upload`: files to ready assets, with progress meanwhile, a report at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from livepeer_async.cli.options import UploadChoices
from livepeer_async.cli.output.console import emit, say
from livepeer_async.cli.output.display import Display, show
from livepeer_async.cli.output.error_messages import Status, status_of
from livepeer_async.cli.output.formatting import count, shorten
from livepeer_async.cli.output.progress import Board, Item, Stage
from livepeer_async.cli.output.report import (
    LONGEST_NAME,
    interruption_line,
    print_failures,
    print_results,
    print_summary,
    result_line,
)
from livepeer_async.cli.session import open_client
from livepeer_async.cli.stdin import STANDARD_INPUT, FilePath, StandardInput
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sources.source import source_key, source_name
from livepeer_async.uploads.options import UploadJob, UploadResult
from livepeer_async.uploads.progress import Progress


class Batch:
    """The uploads of one command.

    Args:
        arguments: paths, and `-` for standard input.
        choices: how.
    """

    def __init__(self, arguments: Sequence[str], choices: UploadChoices) -> None:
        self._choices = choices
        self._jobs: list[UploadJob] = []
        self._items: dict[object, Item] = {}
        for argument in arguments:
            self._add(argument)
        self.board = Board(list(self._items.values()))
        self._display: Display | None = None
        self._is_remembered = False

    async def upload(self, client: AsyncLivepeer, display: Display) -> None:
        """Upload all, and write a line of JSON for each that ends where that is wanted."""
        self._display = display
        self.board.started = time.monotonic()
        choices = self._choices
        uploading = client.upload_many(
            self._jobs,
            concurrency=choices.concurrency,
            wait=choices.is_waited_for,
            verify=choices.verify,
            on_progress=self._follow,
            ready_timeout=choices.timeout,
        )
        async with uploading as results:
            async for result in results:
                item = self._items[result.source]
                item.end(result)
                display.changed(item)
                if choices.is_json:
                    emit(result_line(item, is_remembered=self._is_remembered))
        self.board.tick(time.monotonic())

    async def run(self) -> Status:
        """Open a client, upload all and report."""
        choices = self._choices
        opening = open_client(
            storage=choices.storage,
            retry=RetryPolicy(attempts=choices.retries),
            timeouts=choices.timeouts,
            journal=choices.journal,
            is_remembered=choices.is_remembered,
        )
        try:
            async with opening as client, show(self.board, is_json=choices.is_json) as display:
                self._is_remembered = client.journal is not None
                if choices.is_again:
                    await self._forget_arrived(client)
                await self.upload(client, display)
        except LivepeerError as error:
            self._end_all(error)
            raise
        if not choices.is_json:
            print_results(self.board, choices)
        print_failures(self.board, is_remembered=self._is_remembered)
        print_summary(self.board, time.monotonic())
        return status_of(item.result.error for item in self.board.items if item.result)

    def explain_interruption(self) -> str:
        """Say what is where after Ctrl-C: all in one sentence, each unfinished asset before it."""
        unfinished = [item for item in self.board.items if not item.is_over]
        if self._choices.is_json:
            for item in unfinished:
                emit(interruption_line(item))
        if self._choices.storage is not None:
            return "interrupted; what the embedded sandbox had is gone with it"
        for item in unfinished:
            if item.asset_id is not None:
                say(f"{shorten(item.name, LONGEST_NAME)}: {item.stage}, asset {item.asset_id}")
        return self._summarise_interruption()

    def _summarise_interruption(self) -> str:
        board = self.board
        said = f"interrupted: {board.summary()}"
        processing, uploading = board.count(Stage.PROCESSING), board.count(Stage.UPLOADING)
        if processing:
            said += (
                f"; {count(processing, 'file')} arrived and will become ready: "
                "livepeer-async assets list"
            )
        if uploading:
            said += f"; {count(uploading, 'upload')} left unfinished: "
            if self._is_remembered:
                said += "the same command goes on from there"
            else:
                said += "livepeer-async assets list --phase uploading"
        return said

    async def _forget_arrived(self, client: AsyncLivepeer) -> None:
        for job in self._jobs:
            if client.journal is not None and job.key is not None:
                await client.journal.forget_uploaded(job.key)

    def _end_all(self, error: LivepeerError) -> None:
        """Let what stops everything be the end of each file for which none was told yet."""
        for item in self.board.items:
            if not item.is_over:
                item.end(UploadResult(source=item.argument, error=error))
                if self._choices.is_json:
                    emit(result_line(item))

    def _add(self, argument: str) -> None:
        source: FilePath | StandardInput
        length: int | None = None
        if argument == STANDARD_INPUT:
            source = StandardInput(lambda read: self._read(source, read))
        else:
            source = FilePath(argument)
            length = source.measure()
        wanted = self._choices.name
        self._jobs.append(UploadJob(source, wanted, key=self._key_of(source)))
        self._items[source] = Item(argument, wanted or source_name(source), length)

    def _key_of(self, source: object) -> str | None:
        """Name the upload in the journal; a file that is named twice becomes two assets."""
        key = source_key(source)
        times = sum(source_key(job.source) == key for job in self._jobs)
        # No path holds a NUL.
        return f"{key}\0{times + 1}" if key and times else key

    def _read(self, source: object, read: int) -> None:
        self._items[source].read(read, time.monotonic())
        self._tell(self._items[source])

    def _follow(self, source: object, progress: Progress) -> None:
        self._items[source].follow(progress, time.monotonic())
        self._tell(self._items[source])

    def _tell(self, item: Item) -> None:
        if self._display is not None:
            self._display.changed(item)
