"""The state of one sandbox: settings, accounts, assets and tasks."""

from __future__ import annotations

import hashlib
import random
import secrets
import string
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from msgspec import Struct

from livepeer_async.sandbox.accounts import Accounts, UploadTokens, User
from livepeer_async.sandbox.announcements import Announcer
from livepeer_async.sandbox.deliveries import Deliveries
from livepeer_async.sandbox.documents import Asset, Source, Task
from livepeer_async.sandbox.faults import FailProcessing, FaultSelector, WrongSize
from livepeer_async.sandbox.lifecycle import (
    Status,
    find_step,
    make_final_step,
    make_first_step,
    make_step,
    plan_processing,
)
from livepeer_async.sandbox.request_log import RequestLog
from livepeer_async.sandbox.responses import ApiError, JsonObject
from livepeer_async.sandbox.storage import FileStorage, FileUpload
from livepeer_async.sandbox.storage_s3 import S3Settings, S3Storage, S3Upload
from livepeer_async.sandbox.webhooks import Event

Storage = FileStorage | S3Storage
Upload = FileUpload | S3Upload

# The server queues the task after it has responded to the last PATCH (measured: 10 to 15 ms).
QUEUE_DELAY_SECONDS = 0.012

EMPTY_SOURCE = FailProcessing("failed to probe or open file, the source is empty")

READ_BLOCK = 1024 * 1024
PLAYBACK_ID_CHARACTERS = string.ascii_lowercase + string.digits


class Settings(Struct, frozen=True, kw_only=True):
    """The arguments of `Sandbox` that the server needs; `s3` is None for the storage `file`."""

    s3: S3Settings | None
    waiting_seconds: float
    processing_seconds: float
    hashes: bool
    max_pending_tasks: int
    request_seconds: float
    queue_delay_seconds: float
    webhook_retry_seconds: float
    webhook_timeout_seconds: float
    clock: Callable[[], float]


class ServerState:
    """The mutable state of the server.

    It is changed in the server's event loop only; other threads read it.
    """

    def __init__(
        self, settings: Settings, directory: Path, *, origin: str, faults: FaultSelector, seed: int
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.origin = origin
        self.faults = faults
        self.accounts = Accounts()
        self.tokens = UploadTokens()
        self.log = RequestLog()
        self.storage: Storage = FileStorage(directory)
        if settings.s3 is not None:
            self.storage = S3Storage(directory, settings.s3, random.Random(seed))  # noqa: S311 - faults, no secrets
        self.errors: list[Exception] = []
        self.assets: dict[str, Asset] = {}
        self.assets_by_playback_id: dict[str, Asset] = {}
        self.tasks: dict[str, Task] = {}
        self.deliveries = Deliveries(
            self.start,
            self.now,
            retry_seconds=settings.webhook_retry_seconds,
            timeout_seconds=settings.webhook_timeout_seconds,
        )
        self.announcer = Announcer(self.deliveries, self.now, origin=origin)
        self._task_group: TaskGroup
        self._work: set[anyio.CancelScope] = set()

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self.settings.clock()

    def use_task_group(self, task_group: TaskGroup) -> None:
        """Set the task group for work that continues after a response."""
        self._task_group = task_group

    def start(self, work: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> None:
        """Start work in that task group; its errors are raised when the sandbox is left."""
        self._task_group.start_soon(self._run, work, *args)

    async def _run(self, work: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> None:
        with anyio.CancelScope() as scope:
            self._work.add(scope)
            try:
                await work(*args)
            except Exception as error:  # noqa: BLE001 - the server continues, as a real one would
                self.errors.append(error)
            finally:
                self._work.discard(scope)

    def discard(self) -> None:
        """End all work, and delete the files, because another state is served from now on."""
        self.errors = []  # of requests that still run
        for scope in list(self._work):
            scope.cancel()
        for asset in self.assets.values():
            for path in self.directory.glob(f"{asset.playback_id}*"):
                path.unlink(missing_ok=True)

    def add_asset(self, user: User, kind: str, fields: JsonObject, params: JsonObject) -> Asset:
        """Add an asset and its task of the type `upload` or `import`."""
        now = self.now()
        asset_id = str(uuid.uuid4())
        task = self.add_task(user, kind, params, asset_id=asset_id)
        task.steps[:] = [make_first_step(now, is_queued=kind == "import")]
        asset = Asset(
            id=asset_id,
            # The server's playback IDs begin with the first four characters of the asset ID.
            playback_id=asset_id[:4]
            + "".join(secrets.choice(PLAYBACK_ID_CHARACTERS) for _ in range(12)),
            user=user,
            created_at=now,
            fields=fields,
            steps=task.steps,
            task=task,
        )
        self.assets[asset.id] = asset
        self.assets_by_playback_id[asset.playback_id] = asset
        self.announcer.announce_new(asset)
        return asset

    def add_task(self, user: User, kind: str, params: JsonObject, *, asset_id: str) -> Task:
        """Add a queued task."""
        now = self.now()
        task = Task(
            id=str(uuid.uuid4()),
            kind=kind,
            params=params,
            user=user,
            created_at=now,
            asset_id=asset_id,
            steps=[make_first_step(now, is_queued=True)],
        )
        self.tasks[task.id] = task
        return task

    def find_file(self, playback_id: str) -> Path | None:
        """Return the file stored for an asset, complete or not; None if there is none."""
        asset = self.assets_by_playback_id.get(playback_id)
        if asset is not None and asset.path is not None:
            return asset.path if asset.path.exists() else None
        upload = self.storage.find(self.storage.make_upload_id(playback_id))
        return upload.find_file() if upload is not None else None

    def find_asset_name(self, path: str, query: str) -> str | None:
        """Return the name of the asset that a request's path or upload token refers to."""
        for part in unquote(path).split("/"):
            asset = self.assets.get(part) or self.assets_by_playback_id.get(part)
            if asset is not None:
                return asset.name
        for token in parse_qs(query).get("token", []):
            try:
                return self.assets_by_playback_id[self.tokens.verify(token)].name
            except ApiError:
                continue
        return None

    def check_queue(self, user: User) -> None:
        """Refuse new uploads while the user's queue is full.

        Raises:
            ApiError: 429.
        """
        now = self.now()
        pending = sum(
            task.user == user
            and task.kind != "export"
            and task.status(now).phase in ("waiting", "running")
            for task in list(self.tasks.values())
        )
        if pending >= self.settings.max_pending_tasks:
            raise ApiError(429, f"user {user.id} has reached the maximum number of pending tasks")

    def complete_upload(
        self, asset: Asset, path: Path | None, failure: FailProcessing | None = None
    ) -> None:
        """Queue the task of an asset whose source has arrived, once and unless it is deleted.

        `failure` is the reason for which nothing arrived, if it is known.
        """
        if asset.is_deleted or asset.is_complete:
            return
        asset.is_complete = True
        asset.path = path
        scripted, size_error = self._draw_outcome(asset)
        start = self.now() + self.settings.queue_delay_seconds
        self._process(asset, start, failure or scripted, size_error)

    def retry(self, asset: Asset) -> None:
        """Run the task of a failed asset again; a source that is missing stays missing."""
        now = self.now()
        failed = asset.status(now)
        failure, size_error = self._draw_outcome(asset)
        if asset.path is None:
            failure = FailProcessing(failed.error or EMPTY_SOURCE.message)
        self._process(asset, now, failure, size_error, retried=failed)

    def _draw_outcome(self, asset: Asset) -> tuple[FailProcessing | None, int]:
        action = self.faults.select_for_source(asset.name)
        if isinstance(action, WrongSize):
            return None, action.by
        return action, 0

    def _process(
        self,
        asset: Asset,
        start: float,
        failure: FailProcessing | None,
        size_error: int,
        *,
        retried: Status | None = None,
    ) -> None:
        waiting, processing = self.settings.waiting_seconds, self.settings.processing_seconds
        asset.runs += 1
        self.start(self.announcer.follow, asset, list(asset.steps))
        asset.steps += plan_processing(
            start,
            waiting=waiting,
            processing=processing,
            failure=None if retried else failure,
            retried=retried,
        )
        asset.task.scheduled_at = start
        due = start + waiting + processing
        self.start(self._finish_processing, asset, failure, size_error, due, asset.runs)

    async def _finish_processing(
        self,
        asset: Asset,
        failure: FailProcessing | None,
        size_error: int,
        due: float,
        run: int,
    ) -> None:
        """Measure the stored source, and end processing when it is due and measured.

        A source that is empty, or was deleted meanwhile, can't be processed.
        """
        source = await anyio.to_thread.run_sync(_measure, asset.path, self.settings.hashes)
        if source is None:
            failure = failure or EMPTY_SOURCE
        else:
            asset.source = Source(source.path, source.size + size_error, source.sha256, source.md5)
            asset.task.source = asset.source
        if asset.runs == run:
            asset.steps.append(make_final_step(max(due, self.now()), failure))

    def make_event(self, name: str, asset_id: str | None) -> Event:
        """Return an event with the present state of an asset or its task.

        Raises:
            ValueError: there is no such asset.
        """
        asset = self.assets.get(asset_id or "")
        if asset is None:
            raise ValueError(f"no asset {asset_id!r} in the sandbox")
        return self.announcer.make_event(asset, name)

    def finish(self, asset_id: str, phase: str, error: str | None) -> None:
        """Move an asset to a phase now, and forget what was planned for it.

        Raises:
            ValueError: there is no such asset or phase.
        """
        asset = self.assets.get(asset_id)
        if asset is None or asset.is_deleted:
            raise ValueError(f"no asset {asset_id!r} in the sandbox")
        if phase == "deleted":
            asset.is_deleted = True
            self.announcer.announce_asset(asset, "asset.deleted")
            return
        now = self.now()
        step = make_step(phase, now, error)
        current = find_step(asset.steps, now)
        if not asset.runs or current.task.phase in ("completed", "failed"):
            self.start(self.announcer.follow, asset, list(asset.steps))
        asset.runs += 1
        asset.is_complete = phase != "uploading"
        asset.steps[:] = [it for it in asset.steps if it.at <= now] + [step]
        if phase == "ready" and asset.source is None:
            asset.source = asset.task.source = _measure(asset.path, self.settings.hashes)


def _measure(path: Path | None, hashes: bool) -> Source | None:  # noqa: FBT001 - by position, as anyio calls it
    """Describe a stored source; None if it is empty or was deleted."""
    if path is None:
        return None
    try:
        size = path.stat().st_size
        digests = _hash_file(path) if hashes and size else ()
    except FileNotFoundError:
        return None
    return Source(path, size, *digests) if size else None


def _hash_file(path: Path) -> tuple[str, str]:
    """Return SHA-256 and MD5 of a file, which is read once."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()
