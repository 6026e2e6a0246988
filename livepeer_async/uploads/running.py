"""The uploads that run in each event loop, which the end of the client stops or cancels."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from livepeer_async.concurrency import CLOSE_GRACE, LoopLocal, run_shielded
from livepeer_async.errors import ClientClosed, UploadStopped
from livepeer_async.uploads.upload import Upload


class RunningUpload:
    """An upload from the opening of its source to the release of its lease.

    Args:
        name: of its source.

    Attributes:
        upload: set once its source is open.
        scope: cancels it.
        ended: set at its end.
        is_closed: whether `stop` was called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_closed = False
        self.upload: Upload | None = None
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()

    def stop(self) -> None:
        """Stop it after its current request, or cancel it if nothing was sent."""
        if self.upload is None:
            self.scope.cancel()
        else:
            self.is_closed = True
            self.upload.stop()

    def closed_error(self) -> ClientClosed:
        """Return the error for an upload that the end of the client has ended."""
        if self.upload is not None:
            return self.upload.closed_error()
        return ClientClosed(f"the client was closed during the upload of {self._name}")


class _LoopState:
    def __init__(self) -> None:
        self.running: set[RunningUpload] = set()
        self.is_closing = False


class RunningUploads:
    """The uploads of one client, in each event loop."""

    def __init__(self) -> None:
        self._loops = LoopLocal(_LoopState)

    def __len__(self) -> int:
        """How many uploads run in this event loop."""
        return len(self._loops.get().running)

    @asynccontextmanager
    async def register(self, name: str) -> AsyncGenerator[RunningUpload, None]:
        """Register an upload that runs in a block.

        Raises:
            ClientClosed: `aclose` was called before, or has cancelled the block.
        """
        loop_state, running = self._loops.get(), RunningUpload(name)
        if loop_state.is_closing:
            raise running.closed_error()
        loop_state.running.add(running)
        try:
            with running.scope:
                yield running
        except UploadStopped:
            if not running.is_closed:
                raise
            raise running.closed_error() from None
        finally:
            loop_state.running.remove(running)
            running.ended.set()
        if running.scope.cancelled_caught:
            raise running.closed_error()

    async def aclose(self, *, stop_within: float) -> None:
        """End all uploads of this event loop, and wait for their end.

        A cancellation ends them at once, and waits for at most `CLOSE_GRACE` seconds.

        Args:
            stop_within: seconds for the current requests; what runs afterwards is cancelled.
        """
        loop_state = self._loops.get()
        loop_state.is_closing = True
        try:
            if stop_within > 0:
                for running in list(loop_state.running):
                    running.stop()
                with anyio.move_on_after(stop_within):
                    await _wait_for_end(loop_state.running)
        finally:
            try:
                for running in list(loop_state.running):
                    running.scope.cancel()
                await run_shielded(partial(_wait_for_end, loop_state.running), grace=CLOSE_GRACE)
            finally:
                loop_state.is_closing = False


async def _wait_for_end(running: set[RunningUpload]) -> None:
    while running:
        await next(iter(running)).ended.wait()
