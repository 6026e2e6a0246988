"""The `AsyncLivepeer` client: wires the components together and owns their resources."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from livepeer_async.client_uploads import UploadCalls
from livepeer_async.deferred import deferred_module
from livepeer_async.errors import ConfigurationError
from livepeer_async.http.shortages import is_shortage, shortage_error
from livepeer_async.redaction import hides_variables

if TYPE_CHECKING:
    from livepeer_async import client_types as types
    from livepeer_async import components
else:
    # Imported by the first client.
    components = deferred_module("livepeer_async.components")
    # Imported when annotations are evaluated, as FastAPI, pydantic and typer do.
    types = deferred_module("livepeer_async.client_types")

__all__ = ["AsyncLivepeer"]


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
            doesn't exist, and readable by its owner alone. See `upload` for the keys. Several
            machines share one on PostgreSQL: `postgresql://USER@HOST/DATABASE`.
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
        retry, timeouts: the policy and the limits that were passed, or the defaults.

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
        timeout: types.Timeouts | float | None = None,
        retry: types.RetryPolicy | None = None,
        journal: str | os.PathLike[str] | None = None,
        upload_limits: types.ServerLimits | Callable[[int], types.ServerLimits] | None = None,
        speed: float = 1.0,
    ) -> None:
        try:
            made = components.Components(
                components.as_account(api_key, base_url),
                http_client=http_client,
                timeout=timeout,
                retry=retry,
                journal=journal,
                upload_limits=upload_limits,
                speed=speed,
            )
        except (ImportError, OSError) as error:
            # The first client imports its components.
            if is_shortage(error):
                raise shortage_error(error, "the client can't be created") from error
            raise
        self._transport, self._waiter = made.transport, made.waiter
        self._session, self._unpaused = made.session, made.unpaused
        self.retry: types.RetryPolicy = made.session.retry
        self.timeouts: types.Timeouts = components.as_timeouts(timeout)
        self.throttle: types.Throttle = made.throttle
        self.journal: types.Journal | None = made.journal
        self.assets: types.Assets = made.assets
        self.tasks: types.Tasks = made.tasks
        self.playback: types.Playback = made.playback
        self.webhooks: types.Webhooks = made.webhooks
        self.uploads: types.Uploader = made.uploads

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
            await components.run_shielded(self._close_connections, grace=components.CLOSE_GRACE)

    async def _close_connections(self) -> None:
        await self._transport.aclose()
        if self.journal is not None:
            await self.journal.aclose()

    def close(self) -> None:
        """Close the client in all its event loops; for code outside of them, such as a fixture.

        Raises:
            ConfigurationError: an event loop is running in this thread; await `aclose` there.
        """
        components.close_in_loops(self._transport.loops, self.aclose)

    @property
    def account_fingerprint(self) -> str:
        """A hash of the API key and base URL, to tell accounts apart."""
        return self._session.account.fingerprint

    @property
    def budget(self) -> types.Throttle:
        """Deprecated name of `throttle`."""
        warnings.warn("livepeer.budget is now livepeer.throttle", DeprecationWarning, stacklevel=2)
        return self.throttle

    def __repr__(self) -> str:
        return f"<AsyncLivepeer {self._session.account!r}>"

    def notice(self, event: types.WebhookEvent) -> None:
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
        await send(components.requests.check_key(self._session.account))

    async def check_permission(self, path: str) -> None:
        """Check that the API key may POST to a path, without creating anything.

        Raises:
            Forbidden: the key may not POST to this path, such as `/asset/request-upload`.
        """
        await self._unpaused.send_once(
            components.requests.check_permission(self._session.account, path)
        )

    @hides_variables
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> types.Response:
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
        call = components.requests.raw(
            self._session.account, method, path, params=params, json=json, headers=headers
        )
        return await self._session.send(call)
