"""The `AsyncLivepeer` client: wires the components together and owns their resources."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from livepeer_async.api import requests
from livepeer_async.api.account import as_account, check_speed
from livepeer_async.api.arguments import NewAssetLike
from livepeer_async.api.session import Session
from livepeer_async.concurrency import make_clock
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.loops import close_in_loops
from livepeer_async.http.messages import Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts, as_timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.http.user_client import max_uploads
from livepeer_async.journal.journal import Journal
from livepeer_async.models import Asset
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.polling.waiter import Waiter
from livepeer_async.probing.probe import Probe, as_probe
from livepeer_async.redaction import hides_variables
from livepeer_async.resources import Assets, Playback, Tasks, Webhooks
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.scheduling.throttled_transport import ThrottledTransport, UnpausedTransport
from livepeer_async.sources.download import Downloader
from livepeer_async.sources.source import SourceLike
from livepeer_async.tus.limits import ServerLimits, as_limits_for
from livepeer_async.uploads import leftovers as left
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.options import (
    OnMismatch,
    UploadJob,
    UploadOptions,
    UploadOutcome,
    Verify,
)
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.transfer import Transfers
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.uploader import Uploader
from livepeer_async.webhooks.events import WebhookEvent


class AsyncLivepeer:
    """Client of Livepeer Studio, and an async context manager that closes it.

    A client may be used in several event loops, one after the other or at once in threads. Each has
    its own connections, which are closed at the end of the loop; the journal, the options and the
    settings of `throttle` are shared.

    Args:
        api_key: an API key of the account; by default the environment's `LIVEPEER_API_KEY`.
        base_url: URL of the API; by default `LIVEPEER_BASE_URL`, or else Livepeer's own.
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient` of one event loop; never closed.
        timeout: time limits of the network; a number is the stall timeout in seconds.
        retry: the retry policy.
        journal: file that records uploads, to resume them in later processes. It is created if it
            doesn't exist, and readable by its owner alone. See `upload` for the keys.
        upload_limits: limits of the tus server, or a function from the length of an upload to its
            limits; by default `livepeer_limits`.
        speed: how many times shorter all delays before requests are, for tests with a sandbox.

    Attributes:
        assets: calls for assets: `get`, `list`, `update`, `delete`, `retry`, `wait`, `wait_many`,
            `request_upload` and `upload_from_url`.
        tasks, playback, webhooks: calls for tasks, for playback information, and for webhooks.
        uploads: runs uploads, imports and relays as jobs; the basis of `livepeer_async.ingest`.
        throttle: `max_rate` of all uploads, and their `concurrency` in each event loop; both may be
            changed while they run.
        journal: the records of uploads; None without a journal.

    Raises:
        ConfigurationError: an argument, or the environment's key, proxies or certificates fail.
        JournalError: the journal can't be used; raised on entering the client's block.
    """

    @hides_variables
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
        speed: float = 1.0,
    ) -> None:
        retry = retry or RetryPolicy()
        account = as_account(api_key, base_url)
        clock = make_clock(check_speed(speed, account))
        descriptors = Descriptors()
        self._transport = Transport(
            http_client=http_client,
            timeouts=as_timeouts(timeout),
            descriptors=descriptors,
            clock=clock,
            uses_tls=account.base_url.startswith("https:"),
        )
        self.throttle: Throttle = Throttle(
            retry=retry, max_slots=max_uploads(http_client), descriptors=descriptors, clock=clock
        )
        throttled = ThrottledTransport(self._transport, self.throttle)
        recovery = throttled.recovery
        self._session = Session(account, throttled, retry=retry, clock=clock, recovery=recovery)
        # For checks, and for deletions: a pause may last longer than a clean-up may take.
        unpaused = UnpausedTransport(self._transport, self.throttle)
        self._unpaused = Session(account, unpaused, retry=retry, clock=clock)
        self._waiter = Waiter(self._session, clock=clock)
        self.journal = Journal(journal, account=account.fingerprint) if journal else None
        self.assets: Assets = Assets(self._session, self._waiter)
        self.tasks: Tasks = Tasks(self._session)
        self.playback: Playback = Playback(self._session)
        self.webhooks: Webhooks = Webhooks(self._session)
        asset_requests = AssetRequests(self._session, self._unpaused, restarts=retry.restarts)
        limits_for = as_limits_for(upload_limits)
        transfers = Transfers(
            self._waiter, asset_requests, throttled, retry=retry, limits_for=limits_for, clock=clock
        )
        self.uploads: Uploader = Uploader(
            transfers,
            Processing(self._session, self._waiter, clock),
            asset_requests,
            Downloader(self._transport, retry=retry, clock=clock, recovery=recovery),
            journal=self.journal,
            slot_queue=SlotQueue(self.throttle),
            descriptors=descriptors,
        )

    async def __aenter__(self) -> Self:
        self._transport.open()
        if self.journal is not None:
            await self.journal.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and the journal unless another loop uses it.

        Running uploads are cancelled first and, like waits, raise `ConfigurationError`, as do later
        calls in this loop. Entering the client's block opens it again.
        """
        await self.uploads.aclose()
        self._waiter.close()
        await self._transport.aclose()
        if self.journal is not None:
            await self.journal.aclose()

    def close(self) -> None:
        """Close the client in all its event loops; for code outside of them, such as a fixture."""
        close_in_loops(self._transport.loops, self.aclose)

    @property
    def account_fingerprint(self) -> str:
        """A hash of the API key and base URL, to tell accounts apart."""
        return self._session.account.fingerprint

    @property
    def budget(self) -> Throttle:
        """Deprecated name of `throttle`."""
        warnings.warn("livepeer.budget is now livepeer.throttle", DeprecationWarning, stacklevel=2)
        return self.throttle

    def __repr__(self) -> str:
        return f"<AsyncLivepeer {self._session.account!r}>"

    @hides_variables
    async def upload(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        source: SourceLike,
        new_asset: NewAssetLike | None = None,
        *,
        wait: bool = True,
        verify: Verify = "size",
        on_mismatch: OnMismatch = "raise",
        on_progress: Callable[[Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
        length: int | None = None,
        key: str | None = None,
        ignore_mtime: bool = False,
        probe: Probe | bool = False,
    ) -> Asset:
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

        Raises:
            SourceError: the source can't be read, is empty, too large, unsupported or changed.
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
        options = UploadOptions(
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            on_progress=on_progress,
            ready_timeout=ready_timeout,
            ignore_mtime=ignore_mtime,
            probe=as_probe(probe),
        )
        job = UploadJob(source, new_asset, length, key)
        del key
        async with self.uploads.open(job, options) as upload:
            pass
        return upload.asset

    def begin_upload(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        source: SourceLike,
        new_asset: NewAssetLike | None = None,
        *,
        wait: bool = True,
        verify: Verify = "size",
        on_mismatch: OnMismatch = "raise",
        on_progress: Callable[[Progress], None] | None = None,
        ready_timeout: float = READY_TIMEOUT,
        length: int | None = None,
        key: str | None = None,
        ignore_mtime: bool = False,
        probe: Probe | bool = False,
    ) -> AbstractAsyncContextManager[Upload]:
        """Start an upload that runs beside the block; arguments and errors as for `upload`.

        The block is entered once the asset exists and ends with the upload; then `upload.result`
        is available. An exception inside the block cancels the upload, which can then be resumed.
        """
        options = UploadOptions(
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            on_progress=on_progress,
            ready_timeout=ready_timeout,
            ignore_mtime=ignore_mtime,
            probe=as_probe(probe),
        )
        job = UploadJob(source, new_asset, length, key)
        return self.uploads.open(job, options, has_handle=True)

    def upload_many(  # noqa: D417, PLR0913 - the options of an upload, all with a default
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
        ignore_mtime: bool = False,
        probe: Probe | bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[UploadOutcome]]:
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
            on_progress: called with the source and its progress.
        """
        if concurrency is not None:
            self.throttle.concurrency = concurrency
        if max_rate is not None:
            self.throttle.max_rate = max_rate
        options = UploadOptions(
            wait=wait,
            verify=verify,
            on_mismatch=on_mismatch,
            ready_timeout=ready_timeout,
            ignore_mtime=ignore_mtime,
            probe=as_probe(probe),
        )
        return self.uploads.run_many(sources, options, on_progress=on_progress)

    def notice(self, event: WebhookEvent) -> None:
        """End waits for the asset of a webhook's event, which `webhooks.unwrap` returns.

        `asset.ready`, `.failed` and `.deleted` end waits at once, without a request; other events
        of assets and tasks report progress and make polls rarer. Events that are repeated, out of
        order, or of assets that nothing waits for are ignored. May be called in any thread.
        """
        self._waiter.notice(event)

    async def leftovers(self) -> list[left.Leftover]:
        """List the assets that failed uploads in the journal have left on the server.

        Raises:
            ConfigurationError: the client has no journal.
            LivepeerError: the server or the journal can't be read.
        """
        return await left.find_all(self._session, self.journal)

    async def clean_up(self) -> left.LeftoverReport:
        """Delete leftovers that certainly are useless; return the others, each only once."""
        return await left.clean_up(self._session, self._unpaused, self.journal)

    async def dismiss_leftovers(self, leftovers: Iterable[left.Leftover] | None = None) -> int:
        """Forget leftovers, by default all uncertain ones, whose assets stay; return how many."""
        return await left.dismiss(self.journal, leftovers)

    async def delete_leftover(self, asset_id: str) -> None:
        """Delete a leftover asset, unless it is already gone, and its record in the journal.

        Raises:
            LivepeerError: the asset or the record can't be deleted.
        """
        await left.delete(self._session, self.journal, asset_id)

    async def ping(self, *, retry: bool = False) -> None:
        """Check, with retries if `retry`, that the server responds and the key may look at assets.

        Raises:
            NetworkError: the server doesn't respond.
            ApiError: the server rejects the key, or fails.
            DecodeError: the response isn't from Livepeer's API.
        """
        send = self._unpaused.send if retry else self._unpaused.send_once
        await send(requests.check_key(self._session.account))

    async def check_permission(self, path: str) -> None:
        """Check that the API key may POST to a path, without creating anything.

        Raises:
            Forbidden: the key may not POST to this path, such as `/asset/request-upload`.
        """
        await self._unpaused.send_once(requests.check_permission(self._session.account, path))

    @hides_variables
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request to any path of the API; error statuses are returned, not raised.

        Args:
            method: the HTTP method; only `GET` is retried after a failure.
            path: the path below the base URL, such as `/stream`, or a URL of the same origin.
            params: the query.
            json: the body; anything that msgspec can encode.
            headers: headers to add or replace, except `Host` and those that describe the body.

        Raises:
            ConfigurationError: `path` is a URL of another origin, or leaves the base URL.
            NetworkError: no response arrived; other methods than GET raise `AmbiguousRequest`.
        """
        call = requests.raw(
            self._session.account, method, path, params=params, json=json, headers=headers
        )
        return await self._session.send(call)
