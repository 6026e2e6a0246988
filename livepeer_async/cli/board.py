"""How far all uploads of a command are, as plain state that the displays read.

In come the client's reports; out come numbers: bytes, rates, time left, and how many are where.
Time comes in as an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.retry import Setback
from livepeer_async.uploads.upload import UploadResult

# A rate over less time jumps, one over more follows too slowly.
RATE_WINDOW = 5.0
SHORTEST_WINDOW = 0.3


class Stage(StrEnum):
    """Where an upload is, from the command's view."""

    WAITING = "waiting"
    READING = "reading"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    HANDED_OVER = "handed over"
    FAILED = "failed"


OVER = frozenset({Stage.READY, Stage.HANDED_OVER, Stage.FAILED})


class Rate:
    """Bytes per second over the last few seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Take note of how many bytes there are; fewer than before begin a new measurement."""
        samples = self._samples
        if samples and count < samples[-1][1]:
            samples.clear()
        samples.append((now, count))
        # The last one outside of the window is kept: it is where the window begins.
        while len(samples) > 1 and samples[1][0] <= now - RATE_WINDOW:
            samples.popleft()

    def per_second(self, now: float) -> float | None:
        """Give the rate, which falls while nothing comes; `None` while there is none to tell."""
        if not self._samples:
            return None
        since, start = self._samples[0]
        seconds = now - since
        if seconds < SHORTEST_WINDOW:
            return None
        return (self._samples[-1][1] - start) / seconds


class Item:
    """One FILE of the command line on its way.

    Attributes:
        argument: as it was given.
        name: what the asset will be called, unclean.
        length: bytes, `None` while unknown.
        stage: where it is.
        sent: bytes that the socket has taken, or that were read while `stage` is READING.
        processed: 0 to 1 of the server's work, where it names it.
        asset_id: the asset that is being made, `None` before there is one.
        setback: why nothing moves, `None` while it does.
        rate: of the bytes; measured anew after a setback.
        result: how it ended, `None` while it runs.
    """

    def __init__(self, argument: str, name: str, length: int | None) -> None:
        self.argument = argument
        self.name = name
        self.length = length
        self.stage = Stage.WAITING
        self.sent = 0
        self.processed: float | None = None
        self.asset_id: str | None = None
        self.setback: Setback | None = None
        self._next_attempt = 0.0
        self.rate = Rate()
        self.result: UploadResult | None = None

    def read(self, count: int, now: float) -> None:
        """Take note of what was read of a source whose length isn't known yet."""
        self.stage, self.sent = Stage.READING, count
        self.rate.add(now, count)

    def follow(self, progress: Progress, now: float) -> None:
        """Take note of the client's report."""
        self.stage = Stage(progress.stage.value)
        self.sent, self.length = progress.sent, progress.length
        self.processed = progress.processed
        self.asset_id = progress.asset_id or self.asset_id
        self.setback = progress.setback
        if progress.setback is None:
            self.rate.add(now, progress.sent)
            return
        self.rate = Rate()
        self._next_attempt = now + progress.setback.delay

    def end(self, result: UploadResult) -> None:
        """Take note of how it ended."""
        self.result = result
        self.setback = None
        self.asset_id = result.asset.id if result.asset else self.asset_id
        self.length = result.length or self.length
        if result.error is not None:
            self.stage = Stage.FAILED
            return
        is_ready = result.asset is not None and result.asset.phase == "ready"
        self.stage = Stage.READY if is_ready else Stage.HANDED_OVER
        self.sent = self.length or 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.stage in OVER

    @property
    def was_uploaded_before(self) -> bool:
        """Whether an earlier run had brought everything over."""
        result = self.result
        return result is not None and result.error is None and result.attempts == 0

    def seconds_left(self, now: float) -> float | None:
        """Give the seconds until all bytes are sent, where they can be told."""
        return _seconds_left(self.length, self.sent, self.rate.per_second(now))

    def seconds_until_next(self, now: float) -> float:
        """Give the seconds until the next attempt after a setback; 0 while it runs."""
        return max(0.0, self._next_attempt - now)


class Board:
    """All items of a command.

    Args:
        items: in the order of the command line.

    Attributes:
        started: when the first upload began.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.started = 0.0
        self._rate = Rate()

    @property
    def sent(self) -> int:
        """Bytes sent, without those of uploads that failed."""
        return sum(item.sent for item in self._counted())

    @property
    def length(self) -> int:
        """Bytes to be sent, as far as they are known."""
        return sum(item.length or 0 for item in self._counted())

    @property
    def is_stalled(self) -> bool:
        """Whether all that are to move have met a setback."""
        moving = [item for item in self.items if item.stage is Stage.UPLOADING]
        return bool(moving) and all(item.setback is not None for item in moving)

    def tick(self, now: float) -> None:
        """Take note of the time; call it often."""
        if self.is_stalled:
            self._rate = Rate()
        else:
            self._rate.add(now, self.sent)

    def per_second(self, now: float) -> float | None:
        """Give the rate of all together."""
        return self._rate.per_second(now)

    def seconds_left(self, now: float) -> float | None:
        """Give the seconds until all bytes are sent, where they can be told."""
        return _seconds_left(self.length, self.sent, self.per_second(now))

    def count(self, *stages: Stage) -> int:
        """Count the items that are in one of the stages."""
        return sum(item.stage in stages for item in self.items)

    def summary(self) -> str:
        """Say how many are done, and how many failed."""
        done = self.count(Stage.READY, Stage.HANDED_OVER)
        word = "done" if self.count(Stage.HANDED_OVER) else "ready"
        failed = self.count(Stage.FAILED)
        return f"{done} of {len(self.items)} {word}" + (f", {failed} failed" if failed else "")

    def _counted(self) -> list[Item]:
        return [item for item in self.items if item.stage not in {Stage.FAILED, Stage.READING}]


def _seconds_left(length: int | None, sent: int, rate: float | None) -> float | None:
    if length is None or not rate or rate < 1:
        return None
    return (length - sent) / rate
