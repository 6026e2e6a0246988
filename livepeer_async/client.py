"""The `AsyncLivepeer` client: wires the components together and owns their resources."""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from livepeer_async.api import requests
from livepeer_async.api.account import as_account
from livepeer_async.api.session import Session
from livepeer_async.errors import ConfigurationError, NotFound
from livepeer_async.http.client_pool import connection_limit
from livepeer_async.http.messages import Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts, as_timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.journal.journal import Journal
from livepeer_async.models import Asset, NewAsset
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.polling.waiter import Waiter
from livepeer_async.resources import Assets, Playback, Tasks
from livepeer_async.scheduling.slots import Slot, SlotQueue
from livepeer_async.scheduling.throttle import Throttle, ThrottledTransport
from livepeer_async.sources.download import Downloader
from livepeer_async.sources.source import SourceLike
from livepeer_async.tus.limits import ServerLimits, as_limits_for
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.leftovers import Leftover, find_leftovers
from livepeer_async.uploads.many import UploadJob, run_many
from livepeer_async.uploads.options import OnMismatch, UploadOptions, UploadResult, Verify
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.uploader import Engine, Uploader
from livepeer_async.uploads.url_import import UrlImporter

# Of a bounded pool, for calls of the API beside the uploads.
SPARE_CONNECTIONS = 2


class AsyncLivepeer:
    """A client of Livepeer Studio.

    Args:
        api_key: a key of the account; `LIVEPEER_API_KEY` where it isn't given.
        base_url: of the API; `LIVEPEER_BASE_URL`, else Livepeer's own.
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient` to send through; it stays open.
        timeout: the network's time limits; a number sets the stall time-out, in seconds.
        retry: when to repeat what failed.
        journal: a file that remembers uploads beyond this process, made where there is none; see
            `upload` for its keys.
        upload_limits: what the tus server can take, or a function from the length to that; by
            default what was measured of Livepeer's.

    Attributes:
        assets: calls for assets.
        tasks: calls for tasks.
        playback: the call for playback.
        journal: what is remembered beyond this process; `None` without one.
        budget: how many uploads run, and the bytes per second of all; may be changed while they do.

    Raises:
        ConfigurationError: there is no key, or one of the arguments can't work, or the environment
            names a proxy or certificates that can't be used.
        JournalError: the journal can't be used; raised where the client's block is entered.
    """

    def __init__(  # noqa: PLR0913 - the options of a client, all with a default
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        http_client: Any = None,
        timeout: Timeouts | float | None = None,
        retry: RetryPolicy | None = None,
        journal: str | os.PathLike[str] | None = None,
        upload_limits: ServerLimits | Callable[[int], ServerLimits] | None = None,
    ) -> None:
        retry = retry or RetryPolicy()
        account = as_account(api_key, base_url)
        limits_for = as_limits_for(upload_limits)
        self._transport = Transport(http_client=http_client, timeouts=as_timeouts(timeout))
        connections = connection_limit(http_client)
        most = connections and connections - SPARE_CONNECTIONS
        self.throttle = Throttle(retry=retry, max_slots=most)
        paced = ThrottledTransport(self._transport, self.throttle)
        self._session = Session(account, paced, retry=retry)
        self.journal = Journal(journal, account=account.fingerprint) if journal else None
        self._waiter = waiter = Waiter(self._session)
        # A pause may be longer than a clean-up may take.
        deleter = Session(account, self._transport, retry=retry)
        asset_requests = AssetRequests(self._session, deleter, restarts=retry.restarts)
        processing = Processing(self._session, waiter)
        engine = Engine(
            waiter,
            asset_requests,
            processing,
            paced.send,
            wait_out_pause=self.throttle.wait_while_paused,
            retry=retry,
            limits_for=limits_for,
        )
        self.slot_queue = SlotQueue(self.throttle)
        self.uploader = Uploader(engine, self.journal, self.slot_queue, limits_for=limits_for)
        self.downloader = Downloader(self._transport, retry=retry)
        self.url_importer = UrlImporter(processing, asset_requests, self.journal)
        self.assets = Assets(self._session, waiter)
        self.tasks = Tasks(self._session)
        self.playback = Playback(self._session)

    async def __aenter__(self) -> Self:
        if self.journal is not None:
            await self.journal.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections and the journal; the client can't be used afterwards.

        Uploads that run are cancelled first, and end with `ConfigurationError`, as waits do.
        """
        await self.uploader.aclose()
        self._waiter.close()
        await self._transport.aclose()
        if self.journal is not None:
            await self.journal.aclose()

    @property
    def account_fingerprint(self) -> str:
        """What tells the account's key and base URL from others, and tells nothing of the key."""
        return self._session.account.fingerprint

    def __repr__(self) -> str:
        return f"<AsyncLivepeer {self._session.account!r}>"

    async def upload(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        source: SourceLike,
        new_asset: NewAsset | str | None = None,
        *,
        wait: bool = True,
        verify: Verify = "size",
        on_mismatch: OnMismatch = "raise",
        on_progress: Callable[[Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
        length: int | None = None,
        key: str | None = None,
    ) -> Asset:
        """Upload a video and wait until the asset is ready.

        Args:
            source: a path, bytes-like, an async iterable of bytes, or a binary file object.
            new_asset: what it shall become, or its name; by default the source's name.
            wait: whether to wait for `ready`; else return once the server has left `uploading`.
            verify: "size" compares the ready asset's size with the bytes read, "hash" its SHA-256
                too; `None` compares nothing.
            on_mismatch: "raise", or "reupload" to delete an asset that isn't what was read, and to
                try once more on a new one.
            on_progress: called in the event loop with each change; must not block.
            ready_timeout: seconds to wait for `ready`.
            length: bytes, for a stream that knows them; one that doesn't is spooled first.
            key: the upload's name in the journal, by default the absolute path of a file: a later
                call with the same key goes on with what was begun, and gives the asset that was
                made. Without a journal it has no effect.

        Raises:
            SourceError: the source can't be read, is empty, too large, or changed.
            ApiError: Livepeer refused.
            NetworkError: no answer came to a call, for longer than the retry policy allows.
            AmbiguousRequest: answers to requests for the upload were lost, again and again.
            DecodeError: an answer can't be used.
            TusError: the bytes couldn't be brought over.
            AssetError: the asset didn't become ready.
            IntegrityError: the stored bytes aren't those that were read.
            UploadInUse: another process, or another task, carries the upload of this key.
            JournalError: the journal can't be read or written.
        """
        options = UploadOptions(
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            on_progress=on_progress,
            ready_timeout=ready_timeout,
            length=length,
            key=key,
        )
        async with self.uploader.open(source, new_asset, options) as upload:
            pass
        return upload.asset

    def begin_upload(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        source: SourceLike,
        new_asset: NewAsset | str | None = None,
        *,
        wait: bool = True,
        verify: Verify = "size",
        on_mismatch: OnMismatch = "raise",
        on_progress: Callable[[Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
        length: int | None = None,
        key: str | None = None,
    ) -> AbstractAsyncContextManager[Upload]:
        """Begin an upload, and do something else while it runs; options and errors as `upload`.

        The block is entered once the asset exists and left when the upload has ended; then
        `upload.result` is there. An exception inside cancels it and leaves what can be resumed.
        """
        options = UploadOptions(
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            on_progress=on_progress,
            ready_timeout=ready_timeout,
            length=length,
            key=key,
            has_handle=True,
        )
        return self.uploader.open(source, new_asset, options)

    def upload_many(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        sources: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
        *,
        concurrency: int | None = None,
        max_rate: float | None = None,
        wait: bool = True,
        verify: Verify = "size",
        on_mismatch: OnMismatch = "raise",
        on_progress: Callable[[SourceLike, Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
    ) -> AbstractAsyncContextManager[AsyncIterator[UploadResult]]:
        """Upload many side by side; results come in the order in which the uploads end.

        A failure stands in its result's `error` and stops no other. The iterable may be endless or
        async; its sources are taken as there is room, and a few ahead. An error of its own comes
        behind the last result.

        Args:
            sources: sources as for `upload`, or `UploadJob`s with an asset to each. What isn't
                async is iterated in the event loop, and mustn't block.
            concurrency: uploads at the same time, of all calls of this client; sets
                `budget.concurrency`, which adapts to what the line brings until it is set. One by
                `upload` begins at once and counts too.
            max_rate: bytes per second, of all uploads of this client; sets `budget.max_rate`, which
                is no limit until it is set.
            wait: as for `upload`, like all that follows.
            verify: as for `upload`.
            on_mismatch: as for `upload`.
            on_progress: called with the source and its progress.
            ready_timeout: as for `upload`.
        """
        if concurrency is not None:
            self.throttle.concurrency = concurrency
        if max_rate is not None:
            self.throttle.max_rate = max_rate

        async def run_one(job: UploadJob, slot: Slot) -> UploadResult:
            options = partial(
                UploadOptions,
                wait=wait,
                verify=verify,
                on_mismatch=on_mismatch,
                on_progress=partial(on_progress, job.source) if on_progress else None,
                ready_timeout=ready_timeout,
                length=job.length,
                key=job.key,
                slot=slot,
            )
            return await self.uploader.run(job, options)

        return run_many(sources, run_one, slot_queue=self.slot_queue)

    async def leftovers(self) -> list[Leftover]:
        """List what is left on the server of uploads in the journal that came to nothing.

        Raises:
            ConfigurationError: the client has no journal.
            LivepeerError: the server can't be asked, or the journal not be read.
        """
        if self.journal is None:
            raise ConfigurationError("only a client with a journal knows what is left over")
        return await find_leftovers(self._session, self.journal)

    async def delete_leftover(self, asset_id: str) -> None:
        """Delete an asset that an upload left on the server, and the journal's note of it.

        Raises:
            LivepeerError: it couldn't be deleted, or the journal not be written; one that is there
                no more is no error.
        """
        with suppress(NotFound):
            await self.assets.delete(asset_id)
        if self.journal is not None:
            await self.journal.drop_orphan(asset_id)

    async def ping(self) -> None:
        """Ask once whether the server answers, and takes the key.

        Raises:
            NetworkError: it doesn't answer.
            ApiError: it doesn't take the key, or fails.
            DecodeError: what answers is no such server.
        """
        await self._session.send_once(requests.list_assets(self._session.account, limit=1))

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request to any path of the API, for what isn't modelled here.

        Args:
            method: as "GET"; only GET is repeated after a failure.
            path: below the base URL, as "/stream".
            params: the query.
            json: the body: anything that msgspec encodes.
            headers: beside the client's own, which they replace where a name, compared without
                case, is the same; the body's own (Content-Type of JSON, Content-Length) and Host
                can't be replaced.

        Raises:
            NetworkError: no answer came. An answer of 400 or above is handed on as it is.
            AmbiguousRequest: no answer came to anything but a GET; it may have been carried out.
        """
        call = requests.raw(
            self._session.account, method, path, params=params, json=json, headers=headers
        )
        return await self._session.send(call)
