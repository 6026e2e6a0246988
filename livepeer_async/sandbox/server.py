"""The sandbox as a context manager, and its view for tests."""

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import anyio.to_thread
from msgspec import Struct

from livepeer_async.sandbox.accounts import Access
from livepeer_async.sandbox.connection import App
from livepeer_async.sandbox.deliveries import post
from livepeer_async.sandbox.direct_delivery import call_app, read_event, sign_event
from livepeer_async.sandbox.documents import SeenAsset, see_asset, to_milliseconds
from livepeer_async.sandbox.faults import Fault, FaultSelector
from livepeer_async.sandbox.request_log import SeenRequest, Violation
from livepeer_async.sandbox.running import RunningServer
from livepeer_async.sandbox.state import QUEUE_DELAY_SECONDS, ServerState, Settings
from livepeer_async.sandbox.storage_s3 import S3Settings
from livepeer_async.sandbox.webhooks import EVENTS, Delivery, Webhook

MIB = 1024 * 1024

Phase = Literal["uploading", "waiting", "processing", "ready", "failed", "deleted"]


class Sandbox:
    """An embedded Livepeer Studio on a loopback address, as a sync or async context manager.

        async with Sandbox() as sandbox:
            client = AsyncLivepeer(api_key=sandbox.api_key, base_url=sandbox.base_url)

    A sandbox can be entered once. Leaving it raises the first error inside the server.

    Attributes:
        speed, webhook_secret: as passed.

    Args:
        storage: `file` stores every byte received; `s3` is the storage of production, with the
            faults that can corrupt or block an upload.
        faults: the faults to inject; `sandbox.faults` may be changed while the server runs.
        seed: seed of the generator behind probabilities.
        api_key: the valid API key; a new one by default.
        host: address to listen on.
        port: port to listen on, 0 for a free one.
        waiting_seconds: how long a task is queued after its upload.
        processing_seconds: how long the task then runs.
        hashes: whether ready assets have hashes. The pipelines of the real server differ in this.
        max_pending_tasks: queued and running tasks at which new uploads are refused with 429.
        part_size: (`s3`) bytes of a part; smaller values make tests faster.
        min_piece: (`s3`) bytes below which the rest of a PATCH that does not end the file is
            invisible to HEAD.
        visibility_seconds: (`s3`) how long the last part of an interrupted PATCH stays invisible.
        race: (`s3`) probability that the short end of a PATCH of several parts is lost.
        storage_rate: (`s3`) bytes per second that the storage takes, over all uploads. The server
            reads bodies at full speed and responds once they are stored; an abandoned body is
            stored to its end.
        request_seconds: how long a request may take to arrive before the response is 408.
        webhook_retry_seconds: delay before the first retry of a delivery; doubled up to 720 times
            as much.
        webhook_timeout_seconds: time limit for the response to a delivery.
        webhook_secret: the shared secret that signs the events of `deliver`; a new one by default.
        directory: directory of the stored sources; a temporary one by default, deleted at the end.
        clock: clock of all phases and dates, in seconds since 1970. With a clock of its own, a test
            skips processing without waiting.
        speed: how many times shorter all delays of the server are. Pass it to the client too:
            `AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url, speed=sandbox.speed)`.
    """

    speed: float
    _running: RunningServer | None = None

    def __init__(  # noqa: PLR0913 - the options of a sandbox, all with a default
        self,
        *,
        storage: Literal["file", "s3"] = "file",
        faults: Sequence[Fault] = (),
        seed: int = 0,
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        waiting_seconds: float = 0.05,
        processing_seconds: float = 0.25,
        hashes: bool = True,
        max_pending_tasks: int = 100,
        part_size: int = 8 * MIB,
        min_piece: int = 5 * MIB,
        visibility_seconds: float = 0.3,
        race: float = 0.1,
        storage_rate: float | None = None,
        request_seconds: float = 300.0,
        webhook_retry_seconds: float = 5.0,
        webhook_timeout_seconds: float = 30.0,
        webhook_secret: str | None = None,
        directory: Path | None = None,
        clock: Callable[[], float] = time.time,
        speed: float = 1.0,
    ) -> None:
        _check(storage, speed)
        s3 = S3Settings(part_size, min_piece, visibility_seconds / speed, race, storage_rate)
        self._settings = Settings(
            s3=s3 if storage == "s3" else None,
            waiting_seconds=waiting_seconds / speed,
            processing_seconds=processing_seconds / speed,
            queue_delay_seconds=QUEUE_DELAY_SECONDS / speed,
            hashes=hashes,
            max_pending_tasks=max_pending_tasks,
            request_seconds=request_seconds,
            webhook_retry_seconds=webhook_retry_seconds / speed,
            webhook_timeout_seconds=webhook_timeout_seconds,
            clock=clock,
        )
        self._first_faults, self._seed = list(faults), seed
        self._selector, self.speed = self._make_selector(), speed
        self._api_key = api_key or str(uuid.uuid4())
        self.webhook_secret: str = webhook_secret or str(uuid.uuid4())
        self._address, self._directory = (host, port), directory

    def __enter__(self) -> Self:
        """Start the server."""
        self._check_unused()
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server, close all connections and delete the stored files.

        Raises:
            Exception: the first error inside the server.
        """
        self._running_server.stop()
        self._raise_errors(error)

    async def __aenter__(self) -> Self:
        """Start the server."""
        self._check_unused()
        # In a worker thread, because it waits for the server's thread.
        await anyio.to_thread.run_sync(self._start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server, close all connections and delete the stored files.

        Raises:
            Exception: the first error inside the server.
        """
        # Shielded: a cancelled test must not leave a listening thread and its files behind.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._running_server.stop)
        self._raise_errors(error)

    @property
    def api_key(self) -> str:
        """The valid API key."""
        return self._api_key

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self._server.origin

    @property
    def base_url(self) -> str:
        """The base URL of the API, for `AsyncLivepeer(base_url=...)`."""
        return f"{self.origin}/api"

    @property
    def faults(self) -> list[Fault]:
        """The faults, in the order in which they are tried; the list may be changed."""
        return self._selector.faults

    def add_fault(self, fault: Fault) -> Fault:
        """Append a fault to the list and return it."""
        self._selector.faults.append(fault)
        return fault

    def add_user(self, *, is_suspended: bool = False) -> str:
        """Add another user and return the API key."""
        return self._server.accounts.add(is_suspended=is_suspended).api_key

    def add_key(self, *allowed: str, is_cors: bool = False) -> str:
        """Add another API key of the same user, with restricted access, and return it.

        Args:
            allowed: the requests that it may send, such as `POST /asset/request-upload` and
                `GET /asset/:id`. All others are refused with 403.
            is_cors: whether it is a key for browsers, which are refused with another message.
        """
        accounts = self._server.accounts
        return accounts.add_key(accounts.find(self._api_key), Access(allowed, is_cors))

    def add_webhook(
        self,
        url: str,
        *,
        secret: str | None = None,
        events: Sequence[str] = EVENTS,
        created_at: float | None = None,
    ) -> str:
        """Have events of the account sent to a URL, as `POST /webhook` does; return the ID.

        Args:
            url: of the receiver, also on another machine. Webhooks that a client creates reach
                this machine only.
            secret: signs the events; without it, they have no signature, as the real server's.
            events: names of the events; by default all.
            created_at: seconds since 1970, by default now. Webhooks created up to 2024-07-28 get
                `asset.ready` and `asset.failed` in an older shape.
        """
        state = self._server
        webhook = Webhook(
            id=str(uuid.uuid4()),
            user=state.accounts.find(self._api_key),
            created_at=to_milliseconds(state.now() if created_at is None else created_at),
            name=url,
            url=url,
            events=tuple(events),
            shared_secret=secret,
            is_trusted=True,
        )
        state.deliveries.webhooks[webhook.id] = webhook
        return webhook.id

    @property
    def deliveries(self) -> list[Delivery]:
        """The last 20,000 tries to deliver events to webhooks, oldest first."""
        return list(self._server.deliveries.log)

    @property
    def requests(self) -> list[SeenRequest]:
        """The last 20,000 requests, oldest first."""
        return self._server.log.requests

    @property
    def violations(self) -> list[Violation]:
        """The protocol rules that clients broke, oldest first."""
        return self._server.log.violations

    @property
    def is_running(self) -> bool:
        """Whether it has been entered and not been left."""
        return self._running is not None and self._running.is_running

    def reset(self) -> None:
        """Forget all assets, users, tickets, requests and violations, and delete the stored files.

        The API key stays, and the faults become those passed to the constructor. Requests in
        flight end without an effect. May be called in any thread; errors inside the server are
        still raised at the end.
        """
        server = self._running_server
        server.check_running()
        self._selector = self._make_selector()
        server.reset()

    def finish(
        self, asset_id: str, phase: Phase | str = "ready", *, error: str | None = None
    ) -> None:
        """Move an asset to a phase at once, instead of what was planned for it.

        Args:
            asset_id: ID of the asset.
            phase: the phase; `deleted` for an asset that another client has deleted.
            error: the error message of the phase `failed`.

        Raises:
            ValueError: there is no such asset or phase.
        """
        server = self._running_server
        server.call(lambda: server.state.finish(asset_id, phase, error))

    async def deliver(
        self,
        event: str | Mapping[str, Any] | Struct,
        asset_id: str | None = None,
        *,
        to: str | App,
        path: str = "/",
        secret: str | None = None,
    ) -> int:
        """Send a signed event to an application, and return the status of its response.

        Args:
            event: the name of an event of an asset or its task, such as `asset.ready`, with
                `asset_id`; or the document of an event, with `event` and `payload`; or an event of
                `livepeer_async.webhooks`.
            asset_id: ID of the asset, whose present state is sent.
            to: an ASGI application, which is called in the running event loop and without its
                lifespan, or the URL of the handler.
            path: path of the handler in the application.
            secret: the shared secret; by default `webhook_secret`.

        Raises:
            ValueError: there is no such asset, or the event has no name.
            OSError: no connection to the URL.
            Exception: of the application.
        """
        state = self._server
        if isinstance(event, str):
            made = self._running_server.call(lambda: state.make_event(event, asset_id))
        else:
            made = read_event(event, state.now())
        user = state.accounts.find(self._api_key)
        headers, body = sign_event(made, user, self.webhook_secret if secret is None else secret)
        if isinstance(to, str):
            return await post(to, headers, body)
        return await call_app(to, path, headers, body)

    def clear_log(self) -> None:
        """Forget all requests and violations."""
        self._server.log.clear()

    @property
    def assets(self) -> list[SeenAsset]:
        """All assets, deleted ones included, oldest first."""
        now = self._server.now()
        return [see_asset(asset, now) for asset in list(self._server.assets.values())]

    def stored(self, playback_id: str) -> Path | Any:
        """Return the file stored for an asset, None if there is none.

        The type is `Any` in place of None, for tests like `stored(...).read_bytes() == video`.
        """
        return self._server.find_file(playback_id)

    def stored_sha256(self, playback_id: str) -> str | None:
        """Return the SHA-256 of the file stored for an asset, in hexadecimal."""
        path = self.stored(playback_id)
        if path is None:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def _server(self) -> ServerState:
        return self._running_server.state

    @property
    def _running_server(self) -> RunningServer:
        if self._running is None:
            raise RuntimeError("the sandbox is not running; enter it with `with` or `async with`")
        return self._running

    def _check_unused(self) -> None:
        if self._running is not None:
            raise RuntimeError("the sandbox has been started already; create another one")

    def _start(self) -> None:
        self._running = RunningServer(
            self._make_state, address=self._address, directory=self._directory
        )

    def _make_state(self, directory: Path, origin: str) -> ServerState:
        state = ServerState(
            self._settings, directory, origin=origin, faults=self._selector, seed=self._seed
        )
        state.accounts.add(self._api_key)
        return state

    def _make_selector(self) -> FaultSelector:
        return FaultSelector(self._first_faults, random.Random(self._seed))  # noqa: S311 - faults, no secrets

    def _raise_errors(self, error: BaseException | None) -> None:
        """Raise the first error inside the server, or add them to the error of the block."""
        for found in self._server.errors:
            if error is None:
                raise found
            error.add_note(f"the sandbox also raised {found!r}")


def _check(storage: str, speed: float) -> None:
    if storage not in ("file", "s3"):
        raise ValueError(f"storage is {storage!r}; wanted 'file' or 's3'")
    if not 0 < speed < inf:
        raise ValueError(f"speed is {speed!r}; wanted a number above 0")
