"""The embedded Livepeer Studio as an async context manager, and the judge's view of it."""

import hashlib
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import anyio
import anyio.to_thread
from msgspec import Struct

from livepeer_async.sandbox.app import make_app
from livepeer_async.sandbox.faults import Fault, FaultBook
from livepeer_async.sandbox.request_log import SeenRequest, Violation
from livepeer_async.sandbox.server_thread import ServerThread
from livepeer_async.sandbox.state import MIB, Settings, Studio

# Connections that wait to be accepted; a test may open hundreds at once.
BACKLOG = 1024


class SeenAsset(Struct, frozen=True):
    """An asset as the judge sees it, deleted ones included.

    Attributes:
        size: What the asset claims to be, in bytes; None before it was processed.
    """

    id: str
    playback_id: str
    task_id: str
    name: str
    phase: str
    is_deleted: bool
    size: int | None


class Sandbox:
    """A Livepeer Studio on loopback that behaves as the real one was recorded to behave.

    Use it as an async context manager; leaving it raises what went wrong inside the server.

        async with Sandbox() as sandbox:
            client = AsyncLivepeer(api_key=sandbox.api_key, base_url=sandbox.base_url)

    Args:
        storage: `file` keeps every byte received; `s3` is production's wiring with all that can
            corrupt or hang an upload.
        faults: What shall go wrong on the way; may be changed while the server runs.
        seed: Of the generator behind probabilities.
        api_key: The key that is valid; a fresh one by default.
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
        waiting_seconds: How long a task is queued after its upload.
        processing_seconds: How long it then runs.
        hashes: Whether ready assets show hashes, as those of older days do.
        max_pending_tasks: Queued and running tasks from which on uploads are refused with 429.
        part_size: (`s3`) Bytes of a part; a test may shrink it.
        min_piece: (`s3`) Bytes under which a piece that doesn't end the file is put aside.
        visibility_seconds: (`s3`) How long after a broken PATCH its last part stays unseen.
        race: (`s3`) Probability that a short last piece of a PATCH of several is lost.
        storage_rate: (`s3`) Bytes per second that the storage takes, all uploads together. The
            server reads bodies at full speed and responds once they are stored; an abandoned body
            goes on being stored.
        request_seconds: How long a request may take to arrive before it is answered 408.
        directory: Where the stored sources lie; a temporary one by default, removed at the end.
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
        directory: Path | None = None,
    ) -> None:
        if storage not in ("file", "s3"):
            raise ValueError(f"storage is {storage!r}; wanted 'file' or 's3'")
        self._settings = Settings(
            storage=storage,
            part_size=part_size,
            min_piece=min_piece,
            visibility_seconds=visibility_seconds,
            race=race,
            storage_rate=storage_rate,
            waiting_seconds=waiting_seconds,
            processing_seconds=processing_seconds,
            hashes=hashes,
            max_pending_tasks=max_pending_tasks,
            request_seconds=request_seconds,
            clock=time.time,
        )
        self._book = FaultBook(faults, random.Random(seed))  # noqa: S311 - faults, no secrets
        self._seed = seed
        self._address = (host, port)
        self._directory = directory
        self._api_key = api_key
        self._running: _Running | None = None

    async def __aenter__(self) -> Self:
        """Start to listen."""
        if self._running is not None:
            raise RuntimeError("the sandbox runs already; make another one")
        # In a worker thread: it waits for the server's thread, and makes a directory.
        self._running = await anyio.to_thread.run_sync(self._start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, close every socket and remove what was stored.

        Raises:
            Exception: The first thing that went wrong inside the server.
        """
        running = self._state
        # Shielded: a cancelled test must not leave a listening thread and its files behind.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(running.stop)
        for found in running.studio.errors:
            if error is None:
                raise found
            error.add_note(f"and the sandbox raised {found!r}")

    @property
    def api_key(self) -> str:
        """The key that is valid."""
        return self._state.api_key

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self._state.studio.origin

    @property
    def base_url(self) -> str:
        """What a client takes as the base URL of the API."""
        return f"{self.origin}/api"

    @property
    def faults(self) -> list[Fault]:
        """The faults in force, in the order in which they are tried; change it at will."""
        return self._book.faults

    def add_fault(self, fault: Fault) -> Fault:
        """Put another fault at the end of the list."""
        self._book.faults.append(fault)
        return fault

    def add_user(self, *, is_suspended: bool = False) -> str:
        """Add another user and return the API key."""
        return self._state.studio.accounts.add(is_suspended=is_suspended).api_key

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests that came, oldest first (the last 20,000)."""
        return self._state.studio.watch.requests

    @property
    def violations(self) -> list[Violation]:
        """What no client may do and one did."""
        return self._state.studio.watch.violations

    def clear_log(self) -> None:
        """Forget the requests and violations so far."""
        self._state.studio.watch.clear()

    @property
    def assets(self) -> list[SeenAsset]:
        """All assets ever made, oldest first."""
        now = self._state.studio.now()
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
            for asset in list(self._state.studio.assets.values())
        ]

    def stored(self, playback_id: str) -> Path | None:
        """Return the file with what is stored for an asset, None when nothing is."""
        return self._state.studio.find_stored(playback_id)

    def stored_sha256(self, playback_id: str) -> str | None:
        """Return the SHA-256 of what is stored for an asset, in hexadecimal."""
        path = self.stored(playback_id)
        if path is None:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def _state(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("the sandbox does not run; enter it with `async with`")
        return self._running

    def _start(self) -> "_Running":
        listener = _listen(*self._address)
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        directory = self._directory or Path(tempfile.mkdtemp(prefix="livepeer-sandbox-"))
        directory.mkdir(parents=True, exist_ok=True)
        studio = Studio(
            self._settings,
            directory,
            origin=f"http://{name}:{port}",
            faults=self._book,
            seed=self._seed,
        )
        user = studio.accounts.add(self._api_key)
        thread = ServerThread(make_app(studio), listener, on_start=studio.run_in_background)
        running = _Running(studio, thread, user.api_key, is_temporary=self._directory is None)
        try:
            thread.start()
        except RuntimeError:
            running.remove_files()
            raise
        return running


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Inherited by what is accepted. asyncio sets it only on sockets that name their protocol,
    # and without it every answer in two writes waits 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Running:
    """What there is only while a sandbox runs, and after it for a last look."""

    def __init__(
        self, studio: Studio, thread: ServerThread, api_key: str, *, is_temporary: bool
    ) -> None:
        self.studio = studio
        self.api_key = api_key
        self._thread = thread
        self._is_temporary = is_temporary

    def stop(self) -> None:
        """End the thread, then remove its files."""
        try:
            self._thread.stop()
        finally:
            self.remove_files()

    def remove_files(self) -> None:
        """Delete what was stored, unless the caller named the directory."""
        if self._is_temporary:
            shutil.rmtree(self.studio.directory, ignore_errors=True)
