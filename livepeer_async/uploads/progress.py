"""Progress of one upload: a value, and its distribution to a callback and to iterators."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.concurrency import Notifier
from livepeer_async.http.retry import RetryEvent


class Stage(StrEnum):
    """The stage of an upload: sending its bytes, processing at Livepeer, or ready."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"


class Progress(Struct, frozen=True, kw_only=True):
    """Progress of one upload.

    Attributes:
        sent: bytes accepted by the socket; decreases if bytes have to be sent again.
        length: bytes of the source.
        stage: the stage of the upload.
        processed: progress of the server's processing in 0..1, if the server reports it.
        asset_id: ID of the asset; a restart creates another one.
        retry: the failure after which the upload waits for its next attempt; None while it
            makes progress.
    """

    sent: int
    length: int
    stage: Stage = Stage.UPLOADING
    processed: float | None = None
    asset_id: str | None = None
    retry: RetryEvent | None = None

    @property
    def setback(self) -> RetryEvent | None:
        """Deprecated name of `retry`."""
        warnings.warn("Progress.setback is now Progress.retry", DeprecationWarning, stacklevel=2)
        return self.retry


class ProgressReporter:
    """Holds the latest progress, and passes changes to a callback and to async iterators.

    A slow iterator misses values, but always gets the last one.

    Args:
        length: bytes of the source.
        callback: called with each change.
    """

    def __init__(self, length: int, callback: Callable[[Progress], None] | None) -> None:
        self.latest = Progress(sent=0, length=length)
        self._callback = callback
        self._notifier = Notifier()
        self._is_closed = False

    def report(
        self,
        *,
        sent: int | None = None,
        stage: Stage | None = None,
        processed: float | None = None,
        asset_id: str | None,
        retry: RetryEvent | None = None,
    ) -> None:
        """Replace the latest progress; bytes and stage stay as they are by default."""
        before = self.latest
        self.latest = replace(
            before,
            sent=before.sent if sent is None else sent,
            stage=stage or before.stage,
            processed=processed,
            asset_id=asset_id,
            retry=retry,
        )
        if self.latest == before:
            return
        self._notifier.notify()
        if self._callback is not None:
            self._callback(self.latest)

    def close(self) -> None:
        """End all iterators."""
        self._is_closed = True
        self._notifier.notify()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        shown: Progress | None = None
        while True:
            if self.latest != shown:
                shown = self.latest
                yield shown
            elif self._is_closed:
                return
            else:
                await self._notifier.wait()
