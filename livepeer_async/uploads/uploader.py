"""Opens single uploads of a client: the source, the claim, and the task that carries it.

In come a source and options; out comes an `Upload` that runs, or the result of one that ran. It
knows what is running, so that all of it can be ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
from msgspec.structs import replace

from livepeer_async.api.assets import as_new_asset
from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.models import NewAsset
from livepeer_async.taskgroups import plain_task_group
from livepeer_async.tus.limits import ServerLimits
from livepeer_async.uploads.claim import claim
from livepeer_async.uploads.engine import Engine
from livepeer_async.uploads.journal import Journal
from livepeer_async.uploads.opening import SourcesInUse, open_source
from livepeer_async.uploads.records import access_of
from livepeer_async.uploads.scheduler import UploadJob, length_of
from livepeer_async.uploads.source import SourceLike, source_key, source_name
from livepeer_async.uploads.turns import Turns
from livepeer_async.uploads.upload import Upload, UploadOptions, UploadResult


class Uploader:
    """Runs uploads of one client.

    Args:
        engine: carries them.
        journal: where they are written; `None` for none.
        turns: where single uploads take their slots.
        limits_for: gives the server's limits for an upload of so many bytes.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal | None,
        turns: Turns,
        *,
        limits_for: Callable[[int], ServerLimits],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._turns = turns
        self._limits_for = limits_for
        self._sources = SourcesInUse()
        self._running: dict[anyio.CancelScope, anyio.Event] = {}

    async def aclose(self) -> None:
        """Cancel what runs, and wait for its end."""
        running = dict(self._running)
        for scope in running:
            scope.cancel()
        for ended in running.values():
            await ended.wait()

    @asynccontextmanager
    async def open(
        self, source: SourceLike, new_asset: NewAsset | str | None, options: UploadOptions
    ) -> AsyncGenerator[Upload, None]:
        """Begin an upload; the block is entered once its asset exists, and left at its end.

        It waits for no slot, and takes one from those of `upload_many` while it sends.

        Raises:
            LivepeerError: the one thing that ended it.
        """
        length = await length_of(UploadJob(source, length=options.length))
        with self._turns.joined(is_patient=False) as place:
            options = replace(options, slot=place.start(length))
            async with self._open(source, new_asset, options) as upload:
                yield upload

    @asynccontextmanager
    async def _open(
        self, source: SourceLike, new_asset: NewAsset | str | None, options: UploadOptions
    ) -> AsyncGenerator[Upload, None]:
        wanted = as_new_asset(source_name(source) if new_asset is None else new_asset)
        most = self._limits_for(options.length or 1).max_length
        opening = open_source(source, length=options.length, max_length=most)
        key = options.key
        if key is None and self._journal is not None:
            key = source_key(source)
        async with (
            self._sources.reserve(source),
            opening as opened,
            claim(self._journal, key, opened, access=access_of(wanted), url=options.url) as claimed,
        ):
            upload = Upload(source, opened.name, opened.length, options)
            async with self.closable(opened.name), plain_task_group() as tasks:
                tasks.start_soon(self._engine.run, upload, opened, wanted, claimed)
                await upload.has_begun.wait()
                yield upload

    async def run(
        self,
        job: UploadJob,
        options: Callable[[], UploadOptions],
        *,
        on_begun: Callable[[Upload], None] | None = None,
    ) -> UploadResult:
        """Run one upload of many: an error is its result.

        Args:
            job: what to upload.
            options: makes them; what the job says of its length and its key stands in them.
            on_begun: called with the upload once its asset exists.
        """
        started = time.monotonic()
        upload: Upload | None = None
        failure: LivepeerError | None = None
        try:
            async with self._open(job.source, job.new_asset, options()) as upload:
                if on_begun is not None:
                    on_begun(upload)
        except LivepeerError as error:
            failure = error
        if upload is not None and upload.is_done:
            return upload.result
        return UploadResult(
            source=job.source,
            asset=upload.last_asset if upload else None,
            error=failure,
            length=upload.length if upload else None,
            seconds=time.monotonic() - started,
            attempts=upload.attempts if upload else 0,
        )

    @asynccontextmanager
    async def closable(self, name: str) -> AsyncGenerator[None, None]:
        """Let `aclose` cancel what is within, and wait for its end.

        Raises:
            ConfigurationError: it did.
        """
        scope = anyio.CancelScope()
        ended = self._running[scope] = anyio.Event()
        try:
            with scope:
                yield
        finally:
            del self._running[scope]
            ended.set()
        if scope.cancelled_caught:
            raise ConfigurationError(f"the client was closed while {name} was uploaded")
