"""Uploads in the background: their tasks belong to the client, not to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import anyio
import anyio.lowlevel

from livepeer_async.concurrency import BackgroundTasks, LoopLocal, join
from livepeer_async.errors import ClientClosed
from livepeer_async.http.loops import require_asyncio
from livepeer_async.http.observers import ignore_event, replace_observers
from livepeer_async.uploads.options import UploadJob, UploadOptions
from livepeer_async.uploads.upload import Upload

OpenUpload = Callable[[UploadJob, UploadOptions], AbstractAsyncContextManager[Upload]]


class _Running:
    """An upload in the background.

    Attributes:
        upload: set once its asset exists.
        error: that ended it before its asset existed.
        task: that runs it.
    """

    def __init__(self) -> None:
        self.upload: Upload | None = None
        self.error: Exception = ClientClosed("the client was closed before the upload started")
        self.task: asyncio.Task[None]
        self._on_failed: Callable[[], None] | None = None
        self._has_begun = anyio.Event()

    async def run(self, opening: AbstractAsyncContextManager[Upload]) -> None:
        """Run an upload to its end; its error is raised by the calls that wait for it."""
        try:
            async with opening as self.upload:
                self._has_begun.set()
        except Exception as error:  # noqa: BLE001 - raised by `Upload.wait`
            self.error = error
        finally:
            self._has_begun.set()
            self._report_failure()

    def call_if_failed(self, on_failed: Callable[[], None]) -> None:
        """Call a function once the upload has failed, which may be now."""
        self._on_failed = on_failed
        if self.task.done():
            self._report_failure()

    def _report_failure(self) -> None:
        if self._on_failed is not None and self.upload is not None and self.upload.has_failed:
            self._on_failed()

    async def wait_for_asset(self) -> Upload:
        """Wait until the asset exists; a cancellation cancels the upload.

        Raises:
            LivepeerError: the upload failed before.
        """
        try:
            await self._has_begun.wait()
        except asyncio.CancelledError:
            self.task.cancel()
            await join(self.task)
            raise
        if self.upload is None:
            await join(self.task)
            raise self.error
        return self.upload


class _Interruption:
    """Cancels the task that entered a block, as a failed task of a task group does.

    At the end of its own block it takes its request back with `Task.uncancel`, as `asyncio.timeout`
    does; otherwise outer time limits would raise CancelledError instead of TimeoutError.
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._is_sent = False
        self.is_enabled = True

    def send(self) -> None:
        """Cancel the task, unless it or its block has ended."""
        if self.is_enabled and self._task is not None and not self._task.done():
            self._is_sent = self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.is_enabled = False
        task = self._task
        if task is None or not self._is_sent or task is not asyncio.current_task():
            return False
        is_only_one = task.uncancel() <= self._cancelling
        return is_only_one and kind is asyncio.CancelledError


class BackgroundUploads:
    """The uploads in the background of one client.

    Args:
        open_upload: runs an upload in a block that is entered once its asset exists.
    """

    def __init__(self, open_upload: OpenUpload) -> None:
        self._open_upload = open_upload
        self._tasks = LoopLocal(BackgroundTasks)

    async def start(self, job: UploadJob, options: UploadOptions) -> Upload:
        """Start an upload, and return it once its asset exists; a cancellation cancels it.

        Raises:
            LivepeerError: the upload failed before.
        """
        # The observers belong to a block of the caller's, which the upload outlives.
        with replace_observers(ignore_event):
            running = self._start(job, options)
        return await running.wait_for_asset()

    @asynccontextmanager
    async def begin(self, job: UploadJob, options: UploadOptions) -> AsyncGenerator[Upload, None]:
        """Run an upload beside a block, which may be left in another task than it was entered in.

        Raises:
            LivepeerError: the upload failed; the block is cancelled.
        """
        running = self._start(job, options)
        upload = await running.wait_for_asset()
        with _Interruption() as interruption:
            running.call_if_failed(interruption.send)
            try:
                yield upload
                interruption.is_enabled = False
                await join(running.task)
                # A cancellation that the body didn't notice.
                await anyio.lowlevel.checkpoint()
            except BaseException:
                interruption.is_enabled = False
                running.task.cancel()
                await join(running.task)
                raise
        upload.raise_failure()

    def _start(self, job: UploadJob, options: UploadOptions) -> _Running:
        require_asyncio()
        running = _Running()
        opening = self._open_upload(job, options)
        running.task = self._tasks.get().start(running.run(opening))
        return running

    async def aclose(self) -> None:
        """Cancel the uploads of this event loop, and wait for their end."""
        await self._tasks.get().aclose()
