"""The state of one sandbox: settings, accounts, assets, and sources that arrived."""

from __future__ import annotations

import hashlib
import random
import string
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio.to_thread
from anyio.abc import TaskGroup
from msgspec import Struct

from livepeer_async.sandbox.accounts import Accounts, UploadTokens, User
from livepeer_async.sandbox.documents import Asset, Source, Task
from livepeer_async.sandbox.faults import FailProcessing, FaultBook, WrongSize
from livepeer_async.sandbox.lifecycle import (
    Failure,
    begin,
    end_processing,
    plan_processing,
    plan_retry,
)
from livepeer_async.sandbox.request_log import Watch
from livepeer_async.sandbox.responses import JsonObject, StudioError
from livepeer_async.sandbox.storage import FileStorage, Storage
from livepeer_async.sandbox.storage_s3 import S3Rules, S3Storage

KIB = 1024
MIB = 1024 * KIB


class Settings(Struct, frozen=True, kw_only=True):
    """The arguments of `Sandbox` that its rooms need; what each means stands there."""

    storage: str
    part_size: int
    min_piece: int
    visibility_seconds: float
    race: float
    storage_rate: float | None
    waiting_seconds: float
    processing_seconds: float
    hashes: bool
    max_pending_tasks: int
    request_seconds: float
    clock: Callable[[], float]


# The server queues the task after it has answered the last PATCH (measured: 10 to 15 ms).
FINISH_SECONDS = 0.012

NOTHING_STORED = Failure("failed to probe or open file, the source is empty")

READ_BLOCK = 1024 * 1024


class Studio:
    """The server's memory.

    Everything here runs in the server's own event loop; other threads only read.
    """

    def __init__(
        self, settings: Settings, directory: Path, *, origin: str, faults: FaultBook, seed: int
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.origin = origin
        self.faults = faults
        self.accounts = Accounts()
        self.tokens = UploadTokens()
        self.watch = Watch()
        self.storage = _make_storage(settings, directory, random.Random(seed))  # noqa: S311 - faults, no secrets
        self.errors: list[Exception] = []
        self.assets: dict[str, Asset] = {}
        self.tasks: dict[str, Task] = {}
        self._by_playback_id: dict[str, Asset] = {}
        self._background: TaskGroup

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self.settings.clock()

    def run_in_background(self, tasks: TaskGroup) -> None:
        """Name the task group for work that goes on after an answer."""
        self._background = tasks

    def start(self, work: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> None:
        """Start such work; its errors are raised to whoever leaves the sandbox."""
        self._background.start_soon(self._run, work, *args)

    async def _run(self, work: Callable[..., Coroutine[Any, Any, Any]], *args: object) -> None:
        try:
            await work(*args)
        except Exception as error:  # noqa: BLE001 - the server goes on, as a real one would
            self.errors.append(error)

    def add_asset(self, user: User, kind: str, fields: JsonObject, params: JsonObject) -> Asset:
        """Make an asset and its task, of the type `upload` or `import`."""
        now = self.now()
        asset_id = str(uuid.uuid4())
        steps = [begin(now, is_queued=kind == "import")]
        task = self.add_task(user, kind, params, asset_id=asset_id)
        task.steps = steps
        asset = Asset(
            id=asset_id,
            playback_id=_make_playback_id(asset_id),
            user=user,
            created_at=now,
            fields=fields,
            steps=steps,
            task=task,
        )
        self.assets[asset.id] = asset
        self._by_playback_id[asset.playback_id] = asset
        return asset

    def add_task(self, user: User, kind: str, params: JsonObject, *, asset_id: str) -> Task:
        """Make a task."""
        now = self.now()
        task = Task(
            id=str(uuid.uuid4()),
            kind=kind,
            params=params,
            user=user,
            created_at=now,
            asset_id=asset_id,
            steps=[begin(now, is_queued=True)],
        )
        self.tasks[task.id] = task
        return task

    def find_playback(self, playback_id: str) -> Asset | None:
        """Return the asset with this playback ID."""
        return self._by_playback_id.get(playback_id)

    def get_playback(self, playback_id: str) -> Asset:
        """Return the asset with this playback ID, which is known to be one."""
        return self._by_playback_id[playback_id]

    def find_stored(self, playback_id: str) -> Path | None:
        """Return the file with what is stored for an asset, complete or not."""
        asset = self.find_playback(playback_id)
        if asset is not None and asset.path is not None:
            return asset.path if asset.path.exists() else None
        upload = self.storage.find(self.storage.name_upload(playback_id))
        return upload.stored() if upload is not None else None

    def find_asset_name(self, path: str, query: str) -> str | None:
        """Return the name of the asset that a request is about: by its path, or by its token."""
        for part in unquote(path).split("/"):
            asset = self.assets.get(part) or self.find_playback(part)
            if asset is not None:
                return asset.name
        for token in parse_qs(query).get("token", []):
            try:
                asset = self.find_playback(self.tokens.verify(token))
            except StudioError:
                continue
            return asset.name if asset else None
        return None

    def refuse_if_full(self, user: User) -> None:
        """Refuse new uploads while the user's queue is full.

        Raises:
            StudioError: It is.
        """
        now = self.now()
        busy = sum(
            task.user == user
            and task.kind != "export"
            and task.status(now).phase in ("waiting", "running")
            for task in list(self.tasks.values())
        )
        if busy >= self.settings.max_pending_tasks:
            raise StudioError(
                429, f"user {user.id} has reached the maximum number of pending tasks"
            )

    def complete_upload(
        self, asset: Asset, path: Path | None, failure: Failure | None = None
    ) -> None:
        """Queue the task of an asset whose source has arrived; once, and not if it is deleted.

        `failure` is why nothing arrived, where that is known already.
        """
        if asset.is_deleted or asset.is_complete:
            return
        asset.is_complete = True
        asset.path = path
        scripted, shift = self._draw_outcome(asset)
        failure = failure or scripted
        start = self.now() + FINISH_SECONDS
        settings = self.settings
        asset.steps.extend(
            plan_processing(
                start,
                waiting=settings.waiting_seconds,
                processing=settings.processing_seconds,
                failure=failure,
            )
        )
        asset.task.scheduled_at = start
        due = start + settings.waiting_seconds + settings.processing_seconds
        self.start(self._end_processing, asset, failure, shift, due)

    def retry(self, asset: Asset) -> None:
        """Run the task of a failed asset again; what it lacked it still lacks."""
        now = self.now()
        failure, shift = self._draw_outcome(asset)
        if asset.path is None:
            failure = Failure(asset.status(now).error or NOTHING_STORED.message)
        settings = self.settings
        asset.steps.extend(
            plan_retry(
                now,
                asset.status(now),
                waiting=settings.waiting_seconds,
                processing=settings.processing_seconds,
            )
        )
        asset.task.scheduled_at = now
        due = now + settings.waiting_seconds + settings.processing_seconds
        self.start(self._end_processing, asset, failure, shift, due)

    def _draw_outcome(self, asset: Asset) -> tuple[Failure | None, int]:
        match self.faults.draw_for_source(asset.name):
            case FailProcessing(message, retriable):
                return Failure(message, retriable), 0
            case WrongSize(by):
                return None, by
            case None:
                return None, 0

    async def _end_processing(
        self, asset: Asset, failure: Failure | None, shift: int, due: float
    ) -> None:
        """Describe what arrived, and let processing end when it is due, or later if that is slow.

        A source that is empty or was deleted meanwhile can't be processed.
        """
        source = await anyio.to_thread.run_sync(_measure, asset.path, self.settings.hashes)
        if source is None:
            failure = failure or NOTHING_STORED
        else:
            asset.source = Source(source.path, source.size + shift, source.sha256, source.md5)
            asset.task.source = asset.source
        asset.steps.append(end_processing(max(due, self.now()), failure))


def _make_storage(settings: Settings, directory: Path, rng: random.Random) -> Storage:
    if settings.storage == "file":
        return FileStorage(directory)
    rules = S3Rules(
        part_size=settings.part_size,
        min_piece=settings.min_piece,
        visibility_seconds=settings.visibility_seconds,
        race=settings.race,
        rate=settings.storage_rate,
    )
    return S3Storage(directory, rules, rng)


def _make_playback_id(asset_id: str) -> str:
    """Make 16 characters, of which the first four are the asset ID's, as the server does."""
    letters = string.ascii_lowercase + string.digits
    number = uuid.uuid4().int
    tail: list[str] = []
    for _ in range(12):
        number, digit = divmod(number, len(letters))
        tail.append(letters[digit])
    return asset_id[:4] + "".join(tail)


def _measure(path: Path | None, hashes: bool) -> Source | None:  # noqa: FBT001 - by position, as anyio calls it
    """Describe what is stored; None where nothing is, or where it is deleted meanwhile."""
    if path is None:
        return None
    try:
        size = path.stat().st_size
        digests = _digests(path) if hashes and size else ()
    except FileNotFoundError:
        return None
    return Source(path, size, *digests) if size else None


def _digests(path: Path) -> tuple[str, str]:
    """Give SHA-256 and MD5 of a file, read once."""
    digests: list[Any] = [hashlib.sha256(), hashlib.md5(usedforsecurity=False)]
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK):
            for digest in digests:
                digest.update(block)
    return digests[0].hexdigest(), digests[1].hexdigest()
