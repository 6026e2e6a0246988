"""The sandbox as an async context manager, and its view for tests."""

import hashlib
import random
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import anyio.to_thread
from msgspec import Struct

from livepeer_async.sandbox.accounts import Access
from livepeer_async.sandbox.app import make_app
from livepeer_async.sandbox.documents import to_milliseconds
from livepeer_async.sandbox.faults import Fault, FaultSelector
from livepeer_async.sandbox.request_log import SeenRequest, Violation
from livepeer_async.sandbox.server_thread import ServerThread
from livepeer_async.sandbox.state import ServerState, Settings
from livepeer_async.sandbox.storage_s3 import S3Settings
from livepeer_async.sandbox.webhooks import EVENTS, Delivery, Webhook

MIB = 1024 * 1024

# Connections waiting to be accepted; a test may open hundreds at once.
BACKLOG = 1024


class SeenAsset(Struct, frozen=True):
    """An asset on the server.

    Attributes:
        phase: the current phase, such as `uploading` or `ready`.
        is_deleted: whether a client has deleted it.
        size: the size that the API reports, in bytes; None before processing has ended.
    """

    id: str
    playback_id: str
    task_id: str
    name: str
    phase: str
    is_deleted: bool
    size: int | None


class Sandbox:
    """An embedded Livepeer Studio on a loopback address, as an async context manager.

        async with Sandbox() as sandbox:
            client = AsyncLivepeer(api_key=sandbox.api_key, base_url=sandbox.base_url)

    A sandbox can be entered once. Leaving it raises the first error inside the server.

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
        directory: directory of the stored sources; a temporary one by default, deleted at the end.
        clock: clock of all phases and dates, in seconds since 1970. With a clock of its own, a test
            skips processing without waiting.
    """

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
        directory: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if storage not in ("file", "s3"):
            raise ValueError(f"storage is {storage!r}; wanted 'file' or 's3'")
        s3 = S3Settings(part_size, min_piece, visibility_seconds, race, storage_rate)
        self._settings = Settings(
            s3=s3 if storage == "s3" else None,
            waiting_seconds=waiting_seconds,
            processing_seconds=processing_seconds,
            hashes=hashes,
            max_pending_tasks=max_pending_tasks,
            request_seconds=request_seconds,
            webhook_retry_seconds=webhook_retry_seconds,
            webhook_timeout_seconds=webhook_timeout_seconds,
            clock=clock,
        )
        self._selector = FaultSelector(faults, random.Random(seed))  # noqa: S311 - faults, no secrets
        self._seed = seed
        self._address = (host, port)
        self._directory = directory
        self._api_key = api_key or str(uuid.uuid4())
        self._state: ServerState | None = None
        self._stop: Callable[[], None]

    async def __aenter__(self) -> Self:
        """Start the server."""
        if self._state is not None:
            raise RuntimeError("the sandbox has been started already; create another one")
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
            await anyio.to_thread.run_sync(self._stop)
        for found in self._server.errors:
            if error is None:
                raise found
            error.add_note(f"the sandbox also raised {found!r}")

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

    def clear_log(self) -> None:
        """Forget all requests and violations."""
        self._server.log.clear()

    @property
    def assets(self) -> list[SeenAsset]:
        """All assets, deleted ones included, oldest first."""
        now = self._server.now()
        return [
            SeenAsset(
                id=asset.id,
                playback_id=asset.playback_id,
                task_id=asset.task.id,
                name=asset.name,
                phase=asset.status(now).phase,
                is_deleted=asset.is_deleted,
                size=asset.source.size if asset.source else None,
            )
            for asset in list(self._server.assets.values())
        ]

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
        if self._state is None:
            raise RuntimeError("the sandbox is not running; enter it with `async with`")
        return self._state

    def _start(self) -> None:
        with ExitStack() as stack:
            listener = _listen(*self._address)
            host, port = listener.getsockname()[:2]
            directory = self._directory
            if directory is None:
                temporary = TemporaryDirectory(
                    prefix="livepeer-sandbox-", ignore_cleanup_errors=True
                )
                directory = Path(stack.enter_context(temporary))
            directory.mkdir(parents=True, exist_ok=True)
            state = ServerState(
                self._settings,
                directory,
                origin=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
                faults=self._selector,
                seed=self._seed,
            )
            state.accounts.add(self._api_key)
            thread = ServerThread(make_app(state), listener, on_start=state.use_task_group)
            thread.start()
            stack.callback(thread.stop)
            self._state, self._stop = state, stack.pop_all().close


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Accepted sockets inherit it. asyncio sets it only on sockets that name their protocol, and
    # without it every response in two writes waits 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
