"""The `AsyncLivepeer` client: wires the components together and owns their resources."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from livepeer_async.api import requests
from livepeer_async.api.account import as_account, check_speed
from livepeer_async.api.session import Session
from livepeer_async.client_uploads import UploadCalls
from livepeer_async.concurrency import CLOSE_GRACE, Clock, make_clock, run_shielded
from livepeer_async.errors import ConfigurationError
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.loops import close_in_loops
from livepeer_async.http.messages import Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts, as_timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.http.user_client import max_uploads
from livepeer_async.journal.journal import Journal
from livepeer_async.polling.waiter import Waiter
from livepeer_async.redaction import hides_variables
from livepeer_async.resources import Assets, Playback, Tasks, Webhooks
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.scheduling.throttled_transport import ThrottledTransport, UnpausedTransport
from livepeer_async.sources.download import Downloader
from livepeer_async.tus.limits import ServerLimits, as_limits_for
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.transfer import Transfers
from livepeer_async.uploads.uploader import Uploader
from livepeer_async.webhooks.events import WebhookEvent


class AsyncLivepeer(UploadCalls):
    """Client of Livepeer Studio, and an async context manager that closes it.

    A client may be used in several event loops, also at once in threads. Each has its own
    connections, closed at the end of the loop; they share the journal, options and `throttle`.

    Args:
        api_key: an API key of the account; by default the environment's `LIVEPEER_API_KEY`.
        base_url: URL of the API; by default `LIVEPEER_BASE_URL`, or else Livepeer's own.
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient` to use; it isn't closed. Its
            connections belong to one event loop.
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
        TooManyOpenFiles: no file descriptor is free for the certificates.
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
        self._descriptors = Descriptors()
        account = as_account(api_key, base_url)
        clock = make_clock(check_speed(speed, account))
        self._transport = Transport(
            http_client=http_client,
            timeouts=as_timeouts(timeout),
            descriptors=self._descriptors,
            clock=clock,
            uses_tls=account.base_url.startswith("https:"),
        )
        self.throttle: Throttle = Throttle(
            retry=retry,
            max_slots=max_uploads(http_client),
            descriptors=self._descriptors,
            clock=clock,
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
        limits_for = as_limits_for(upload_limits)
        self.uploads: Uploader = self._make_uploader(throttled, limits_for, retry, clock)

    def _make_uploader(
        self,
        throttled: ThrottledTransport,
        limits_for: Callable[[int], ServerLimits],
        retry: RetryPolicy,
        clock: Clock,
    ) -> Uploader:
        asset_requests = AssetRequests(self._session, self._unpaused, restarts=retry.restarts)
        transfers = Transfers(
            self._waiter, asset_requests, throttled, retry=retry, limits_for=limits_for, clock=clock
        )
        return Uploader(
            transfers,
            Processing(self._session, self._waiter, clock),
            asset_requests,
            Downloader(self._transport, retry=retry, clock=clock, recovery=throttled.recovery),
            journal=self.journal,
            slot_queue=SlotQueue(self.throttle),
            descriptors=self._descriptors,
        )

    async def __aenter__(self) -> Self:
        self._transport.open()
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

    async def aclose(self, *, stop_within: float = 0.0) -> None:
        """Close the connections of this event loop, and the journal unless another loop uses it.

        Running uploads are ended first and, like waits, raise `ClientClosed`, as do later calls in
        this loop. `error.can_resume` tells which uploads a later process can go on with. Entering
        the client's block opens it again. A cancellation ends uploads at once; the client is closed
        nevertheless.

        Args:
            stop_within: seconds for the chunks in flight, so that they needn't be sent again.
                Uploads start no other requests meanwhile, and are cancelled afterwards.

        Raises:
            ConfigurationError: `stop_within` is negative.
        """
        if not stop_within >= 0:
            raise ConfigurationError(f"stop_within is {stop_within!r}; wanted 0 or more seconds")
        try:
            await self.uploads.aclose(stop_within=stop_within)
        finally:
            self._waiter.close()
            await run_shielded(self._close_connections, grace=CLOSE_GRACE)

    async def _close_connections(self) -> None:
        await self._transport.aclose()
        if self.journal is not None:
            await self.journal.aclose()

    def close(self) -> None:
        """Close the client in all its event loops; for code outside of them, such as a fixture.

        Raises:
            ConfigurationError: an event loop is running in this thread; await `aclose` there.
        """
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

    def notice(self, event: WebhookEvent) -> None:
        """End waits for the asset of a webhook's event, which `webhooks.unwrap` returns.

        `asset.ready`, `.failed` and `.deleted` end waits at once, without a request; other events
        of assets and tasks report progress and make polls rarer. Events that are repeated, out of
        order, or of assets that nothing waits for are ignored. May be called in any thread.
        """
        self._waiter.notice(event)

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
