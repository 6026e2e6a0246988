"""The calls of `AsyncLivepeer` for uploads, and for what failed uploads have left on the server."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Unpack

from livepeer_async.defaults import READY_TIMEOUT, SOURCE_TIMEOUT
from livepeer_async.deferred import deferred_module
from livepeer_async.errors import ConfigurationError, NotFound
from livepeer_async.redaction import hides_variables

if TYPE_CHECKING:
    from livepeer_async import client_types as types
    from livepeer_async import components
else:
    # Imported by the first client.
    components = deferred_module("livepeer_async.components")
    # Imported when annotations are evaluated, as FastAPI, pydantic and typer do.
    types = deferred_module("livepeer_async.client_types")


class UploadCalls:
    """The calls of `AsyncLivepeer` for uploads, which sets the attributes."""

    assets: types.Assets
    journal: types.Journal | None
    throttle: types.Throttle
    uploads: types.Uploader
    _session: types.Session
    _unpaused: types.Session

    @hides_variables
    async def upload(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        source: types.SourceLike,
        new_asset: types.NewAssetLike | None = None,
        *,
        wait: bool = True,
        verify: types.Verify = "size",
        on_mismatch: types.OnMismatch = "raise",
        on_progress: Callable[[types.Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
        length: int | None = None,
        key: str | None = None,
        ignore_mtime: bool = False,
        probe: types.Probe | bool = False,
        method: types.Method = "tus",
        max_length: int | None = None,
        source_timeout: float | None = SOURCE_TIMEOUT,
    ) -> types.Asset:
        """Upload a video and wait until its asset is ready.

        Args:
            source: a path, a bytes-like object, an async iterable of bytes, or a binary file
                object.
            new_asset: fields of the asset, or its name; by default the name of the source.
            wait: whether to wait for `ready`; otherwise return when the asset has left
                `uploading`.
            verify: `size` compares the size of the ready asset with the bytes read, `hash` also
                its SHA-256; None compares nothing.
            on_mismatch: what to do if they differ: `raise`, or `reupload` to delete the asset and
                try once more with a new one.
            on_progress: called in the event loop with each change; must not block.
            ready_timeout: seconds to wait for `ready`.
            length: bytes of a stream. A stream of unknown length is spooled first.
            key: name of the upload in the journal; by default the absolute path of a file. A later
                call with the key resumes the upload, or returns the asset that it created. Without
                a journal it has no effect.
            ignore_mtime: whether a file that the journal knows is the same if its length is, even
                if its modification time or inode differ, as after `touch` or in a restored backup.
                Without it, the SHA-256 decides, if the journal knows it from `verify="hash"`; else
                a finished upload raises `SourceChanged`, and an unfinished one restarts.
            probe: whether to refuse what the pipeline can't process; a `Probe` switches rules off.
            method: `tus`, or `direct` for one PUT of all bytes, for networks that block tus. It
                can't be resumed: after a failure, all bytes are sent again, and a stream can't be.
                A file that needs more than the server's 300 s is refused: over 1.2 GB, or what the
                rate of an earlier PUT allows; a slower PUT is ended after 15 s.
            max_length: maximum bytes of the source, besides the server's own limit. A source with
                a known length is refused before any request. A stream of unknown length is cut off
                there, and nothing beyond is spooled.
            source_timeout: seconds without a byte of a stream after which the upload fails, while
                it wants one; time in which the server is slower doesn't count. It concerns async
                iterables, and file objects that can't seek or are async. The default, 60, is that
                of nginx for request bodies; a visitor who goes silent would otherwise hold the
                upload for ever. None for no limit.

        Raises:
            SourceError: the source can't be read, is empty, too large, too slow, unsupported or
                changed.
            ApiError: Livepeer refused a request.
            NetworkError: an API call got no response within the retry policy.
            AmbiguousRequest: too many responses to requests for an upload were lost.
            DecodeError: a response can't be decoded.
            TusError: the bytes couldn't be transferred.
            AssetError: the asset didn't become ready.
            IntegrityError: the stored bytes differ from those read.
            KeyTaken: the key has an asset with another playback policy or encryption.
            UploadInUse: another process or task is running the upload of this key.
            JournalError: the journal can't be read or written.
        """
        job, options = components.as_job(
            source,
            new_asset,
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            on_progress=on_progress,
            ready_timeout=ready_timeout,
            length=length,
            key=key,
            ignore_mtime=ignore_mtime,
            probe=probe,
            method=method,
            max_length=max_length,
            source_timeout=source_timeout,
        )
        del key
        async with self.uploads.open(job, options) as upload:
            pass
        return upload.asset

    def begin_upload(
        self,
        source: types.SourceLike,
        new_asset: types.NewAssetLike | None = None,
        **arguments: Unpack[types.UploadArguments],
    ) -> AbstractAsyncContextManager[types.Upload]:
        """Start an upload that runs beside the block; arguments and errors as for `upload`.

        The block is entered once the asset exists and ends with the upload; then `upload.result`
        is available. An exception inside the block cancels the upload, which can then be resumed.
        """
        job, options = components.as_job(source, new_asset, **arguments)
        return self.uploads.begin(job, options)

    @hides_variables
    async def start_upload(
        self,
        source: types.SourceLike,
        new_asset: types.NewAssetLike | None = None,
        **arguments: Unpack[types.UploadArguments],
    ) -> types.Upload:
        """Start an upload in the background; arguments as for `upload`.

        Returns once the asset exists. The upload then runs in a task of the client until it ends
        or the client is closed, and neither the end nor a cancellation of the caller ends it.
        `upload.progress()` and `upload.wait()` follow it, and raise its error. The source must stay
        readable meanwhile: a web framework closes an uploaded form file with the response.

        The ID of the asset can change: an upload that the server has lost begins again with a new
        asset, and the old one is deleted. The event of it is a `Progress` with another `asset_id`,
        in `upload.latest` and for each reader; `upload.asset` is the new one.

        Raises:
            LivepeerError: the upload failed before its asset existed; errors as for `upload`.
        """
        job, options = components.as_job(source, new_asset, **arguments)
        del source, new_asset, arguments
        return await self.uploads.start(job, options)

    async def unfinished(self) -> list[types.UnfinishedUpload]:
        """List the uploads in the journal that can go on, the oldest first.

        These are the uploads with a key that were stopped, cancelled or killed, and those that are
        running. The rest of a stream is lost with its process: such an upload is listed only if the
        server has all bytes.

        Raises:
            ConfigurationError: the client has no journal.
            JournalError: the journal can't be read.
        """
        return await components.find_unfinished(self._require_journal("unfinished"))

    @hides_variables
    async def resume_upload(
        self,
        key: str,
        source: types.SourceLike | None = None,
        **arguments: Unpack[types.ResumeArguments],
    ) -> types.Upload:
        """Go on with the upload of a key in the background, as `start_upload` does.

        The journal has the fields of its asset, but for keys and contexts that may be secrets.

        Args:
            key: of the upload, as `unfinished` returns it.
            source: its bytes; by default the file at the key, if it is an absolute path. It isn't
                needed once the server has all bytes.
            arguments: as for `upload`, whose defaults apply.

        Raises:
            ConfigurationError: the client has no journal, the journal has no such key, the source
                is required, or a new asset is and the journal doesn't have all its fields.
            LivepeerError: as for `start_upload`.
        """
        journal = self._require_journal("resume_upload")
        job, options = components.as_job("", **arguments)
        job = await components.find_job(
            journal, key, source, length=job.length, verify=options.verify
        )
        return await self.uploads.start(job, options)

    async def discard(self, key: str) -> bool:
        """Delete the upload of a key and its asset, and forget the key.

        A ready asset stays: delete it with `assets.delete`.

        Returns:
            Whether an asset was deleted.

        Raises:
            ConfigurationError: the client has no journal.
            UploadInUse: the upload is running; `upload.abort` does the same for it.
            LivepeerError: the asset can't be deleted, and is among the `leftovers`.
        """
        self._require_journal("discard")
        return await self.uploads.discard_unfinished(key)

    def _require_journal(self, method: str) -> types.Journal:
        if self.journal is None:
            raise ConfigurationError(f"{method}() needs a journal; pass journal= to AsyncLivepeer")
        return self.journal

    def upload_many(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        sources: Iterable[types.UploadJob | types.SourceLike]
        | AsyncIterable[types.UploadJob | types.SourceLike],
        *,
        concurrency: int | None = None,
        max_rate: float | None = None,
        wait: bool = True,
        verify: types.Verify = "size",
        on_mismatch: types.OnMismatch = "raise",
        on_progress: Callable[[types.SourceLike, types.Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
        ignore_mtime: bool = False,
        probe: types.Probe | bool = False,
        method: types.Method = "tus",
        max_length: int | None = None,
        source_timeout: float | None = SOURCE_TIMEOUT,
    ) -> AbstractAsyncContextManager[AsyncIterator[types.UploadOutcome]]:
        """Upload many sources concurrently; iterate over the results in completion order.

        A failed upload has its error in `result.error` and doesn't affect the others. A file that
        is named twice is one upload with one result: the journal's key decides, the absolute path
        or `UploadJob.key`; links are names of their own. `sources` may be endless or async; a few
        are read ahead. If iterating them fails, that error is raised after the last result. Other
        arguments as for `upload`.

        Args:
            sources: sources, or `UploadJob`s; an iterable that isn't async must not block.
            concurrency: sets `throttle.concurrency`; by default it adapts to the throughput.
            max_rate: sets `throttle.max_rate`, in bytes per second; by default it is unlimited.
            wait: whether to wait for `ready`.
            verify: as for `upload`.
            on_mismatch: as for `upload`.
            on_progress: called with the source and its progress.
            ready_timeout: seconds to wait for `ready`.
            ignore_mtime: as for `upload`.
            probe: as for `upload`.
            method: as for `upload`.
            max_length: as for `upload`, for each source.
            source_timeout: as for `upload`.
        """
        self.throttle.set_limits(concurrency, max_rate)
        options = components.UploadOptions(
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            ready_timeout=ready_timeout,
            ignore_mtime=ignore_mtime,
            probe=components.as_probe(probe),
            method=method,
            max_length=max_length,
            source_timeout=source_timeout,
        )
        return self.uploads.run_many(sources, options, on_progress=on_progress)

    async def leftovers(self) -> list[types.Leftover]:
        """List the assets that failed uploads in the journal have left on the server.

        Raises:
            ConfigurationError: the client has no journal.
            LivepeerError: the server or the journal can't be read.
        """
        return await components.find_leftovers(self._session, self._require_journal("leftovers"))

    async def clean_up(self) -> types.LeftoverReport:
        """Delete leftovers that certainly are useless; return the others, each only once."""
        return await components.clean_up(self._session, self._unpaused, self.journal)

    async def dismiss_leftovers(self, leftovers: Iterable[types.Leftover] | None = None) -> int:
        """Forget leftovers, by default all uncertain ones, whose assets stay; return how many."""
        return await components.dismiss(self.journal, leftovers)

    async def delete_leftover(self, asset_id: str) -> None:
        """Delete a leftover asset, unless it is already gone, and its record in the journal.

        Raises:
            UploadInUse: an upload of the asset is running, here or in another process.
            LivepeerError: the asset or the record can't be deleted.
        """
        journal = self.journal
        if journal is None:
            with suppress(NotFound):
                await self.assets.delete(asset_id)
            return
        async with journal.acquire_asset(asset_id) as records:
            with suppress(NotFound):
                await self.assets.delete(asset_id)
            for record in records:
                if record.is_unresumable:
                    await journal.abandon(record, is_useless=True)
            await journal.drop_orphan(asset_id)
