"""Progress of one upload: a value, and its distribution to a callback and to iterators."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from enum import StrEnum

import anyio
from msgspec.structs import replace

from livepeer_async.concurrency import Clock, Notifier
from livepeer_async.http.observers import RequestEvent, WaitEvent
from livepeer_async.http.retry import RetryEvent
from livepeer_async.models.model import Model

# A rate is the mean over this many seconds: a chunk of Livepeer's, 8 MiB, takes 8 s at 1 MiB/s.
RATE_WINDOW = 15.0
# Seconds from the first byte after which a rate says something, and between two samples.
MIN_RATE_SECONDS = 1.0
SAMPLE_SECONDS = 0.5


class Stage(StrEnum):
    """The stage of an upload.

    `starting` until its asset exists, `resuming` until the server has said how many bytes of an
    earlier run it has, `uploading` while bytes are sent, `processing` at Livepeer, and `ready`.
    """

    STARTING = "starting"
    RESUMING = "resuming"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"


class Progress(Model, frozen=True, kw_only=True):
    """Progress of one upload.

    Attributes:
        sent: bytes that the server has acknowledged; decreases only if the server has lost bytes.
            It is 0 in the stages `starting` and `resuming`, in which it isn't known.
        in_flight: further bytes that were sent, and that the server hasn't acknowledged yet.
        length: bytes of the source; 0 if unknown, as for a URL.
        stage: the stage of the upload.
        processed: progress of the server's processing in 0..1, if the server reports it.
        asset_id: ID of the asset; a restart creates another one.
        retry: the failure after which a request waits for its next attempt; None once it succeeds.
        waiting: what the upload has been waiting for without progress for several seconds.
        rate: bytes sent per second over the last `RATE_WINDOW` seconds; None while unknown.
        is_paused: whether `Upload.pause` has taken effect.
    """

    sent: int
    in_flight: int = 0
    length: int
    stage: Stage = Stage.UPLOADING
    processed: float | None = None
    asset_id: str | None = None
    retry: RetryEvent | None = None
    waiting: WaitEvent | None = None
    rate: float | None = None
    is_paused: bool = False

    @property
    def fraction(self) -> float | None:
        """The acknowledged part of the bytes in 0..1; None if it isn't known."""
        if not self.length or self.stage in {Stage.STARTING, Stage.RESUMING}:
            return None
        return min(1.0, self.sent / self.length)

    @property
    def setback(self) -> RetryEvent | None:
        """Deprecated name of `retry`."""
        warnings.warn("Progress.setback is now Progress.retry", DeprecationWarning, stacklevel=2)
        return self.retry


class RateMeter:
    """Measures bytes per second over the last `RATE_WINDOW` seconds.

    Args:
        now: returns seconds on a monotonic clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._total = 0
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        """Count bytes that were sent since the last call."""
        now, self._total = self._now(), self._total + count
        # The first bytes only mark the beginning: it isn't known how long they took.
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self._total))

    def reset(self) -> None:
        """Forget the past, because nothing could be sent."""
        self._samples.clear()

    @property
    def rate(self) -> float | None:
        """Bytes per second; None while unknown, or without a byte in the window."""
        now, samples = self._now(), self._samples
        while len(samples) > 1 and samples[1][0] <= now - RATE_WINDOW:
            samples.popleft()
        if not samples or now - samples[0][0] < MIN_RATE_SECONDS:
            return None
        since, total = samples[0]
        return (self._total - total) / (now - since) or None


class ProgressReporter:
    """Holds the latest progress, and passes changes to a callback and to async iterators.

    A slow iterator misses values, but always gets the last one.

    Args:
        length: bytes of the source.
        callback: called with each change.
        clock: measures the rate.
    """

    def __init__(
        self,
        length: int,
        callback: Callable[[Progress], None] | None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.latest = Progress(sent=0, length=length, stage=Stage.STARTING)
        self._callback = callback
        self._meter = RateMeter((clock or Clock()).now)
        self._notifier = Notifier()
        self._has_reported = False
        self._ended = anyio.Event()

    def begin(self, asset_id: str, *, is_resumed: bool) -> None:
        """Record the asset of a new or resumed upload, whose failures are over.

        Nothing is known of a resumed one yet, so it is only reported with the next event.
        """
        before, stage = self.latest, Stage.RESUMING if is_resumed else Stage.UPLOADING
        begun = Progress(sent=0, length=before.length, stage=stage, asset_id=asset_id)
        if is_resumed and not self._has_reported:
            self.latest = begun
        else:
            self._report(begun)

    def update_transfer(self, sent: int, in_flight: int) -> None:
        """Record the bytes that are acknowledged, and those in flight."""
        before = self.latest
        length = before.length
        sent = min(sent, length)
        moved = in_flight - before.in_flight
        if moved > 0:
            self._meter.add(moved)
        self._report(
            replace(
                before,
                sent=sent,
                in_flight=min(in_flight, length - sent),
                stage=Stage.UPLOADING,
                rate=self._meter.rate,
            )
        )

    def update_stage(self, stage: Stage, *, processed: float | None, asset_id: str) -> None:
        """Record the stage of the asset; the server has all bytes, unless it is `UPLOADING`."""
        before = self.latest
        if stage is Stage.UPLOADING:
            self._report(replace(before, processed=processed, asset_id=asset_id))
            return
        self._report(
            Progress(
                sent=before.length,
                length=before.length,
                stage=stage,
                processed=processed,
                asset_id=asset_id,
                retry=before.retry,
                waiting=before.waiting,
            )
        )

    def update_paused(self, *, is_paused: bool) -> None:
        """Record that a pause has taken effect, or is over."""
        self._meter.reset()
        self._report(replace(self.latest, is_paused=is_paused, rate=None))

    def observe(self, event: RequestEvent) -> None:
        """Record an event of a request of this upload."""
        before = self.latest
        match event:
            case RetryEvent():
                self._meter.reset()
                self._report(replace(before, retry=event, waiting=None, rate=None))
            case WaitEvent():
                waiting = event if event.seconds else None
                self._report(replace(before, waiting=waiting, rate=self._meter.rate))
            case None:
                self._report(replace(before, retry=None, waiting=None))

    def close(self) -> None:
        """End all iterators."""
        self._ended.set()
        self._notifier.notify()

    async def follow(self, every: float | None = None) -> AsyncGenerator[Progress, None]:
        """Iterate over the progress until the upload ends.

        Args:
            every: seconds between two values, except before the last one.
        """
        shown: Progress | None = None
        while True:
            if self._has_reported and self.latest is not shown:
                shown = self.latest
                yield shown
                if every is not None:
                    with anyio.move_on_after(every):
                        await self._ended.wait()
            elif self._ended.is_set():
                return
            else:
                await self._notifier.wait()

    def __aiter__(self) -> AsyncIterator[Progress]:
        return self.follow()

    def _report(self, progress: Progress) -> None:
        before = self.latest
        if self._has_reported and replace(progress, rate=before.rate) == before:
            return
        self.latest, self._has_reported = progress, True
        self._notifier.notify()
        if self._callback is not None:
            self._callback(progress)
