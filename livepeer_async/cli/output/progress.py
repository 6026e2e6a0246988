"""The progress of uploads as plain state: stages, bytes, rates and time left.

The displays read it. The time is an argument.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from enum import StrEnum

from livepeer_async.http.retry import RetryEvent
from livepeer_async.uploads.options import UploadResult
from livepeer_async.uploads.progress import Progress

# A rate over less time jumps, one over more follows too slowly.
RATE_WINDOW = 5.0
SHORTEST_WINDOW = 0.3
# So long without a byte, nothing moves: there is no rate to tell, nor a time that is left.
STILL = 10.0
# Reports come with each slice that the socket takes, and none is longer: a longer step is what an
# earlier run has brought over.
LONGEST_STEP = 1024 * 1024


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
MOVING = frozenset({Stage.READING, Stage.UPLOADING})


class Rate:
    """Bytes per second over the last few seconds.

    Args:
        window: how many seconds.
    """

    def __init__(self, window: float = RATE_WINDOW) -> None:
        self._window = window
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Take note of how many bytes there are.

        Fewer than before, and a long silence, begin a new measurement.
        """
        samples = self._samples
        if samples and (count < samples[-1][1] or now - samples[-1][0] >= STILL):
            samples.clear()
        samples.append((now, count))
        # The last one outside of the window is kept: it is where the window begins.
        while len(samples) > 1 and samples[1][0] <= now - self._window:
            samples.popleft()

    def begin_anew(self) -> None:
        """Forget what was measured."""
        self._samples.clear()

    def per_second(self, now: float) -> float | None:
        """Give the rate, which falls while nothing comes; `None` while there is none to tell."""
        try:
            since, start = self._samples[0]
            until, end = self._samples[-1]
        except IndexError:
            # There is none yet, or they were forgotten while the thread that draws reads them.
            return None
        if now - until >= STILL:
            return None
        seconds = now - since
        return (end - start) / seconds if seconds >= SHORTEST_WINDOW else None

    def seconds_for(self, count: int, now: float) -> float | None:
        """Give the seconds that so many bytes take, where they can be told."""
        rate = self.per_second(now)
        return count / rate if rate and rate >= 1 else None


class Item:
    """One upload: a FILE of the command line, or a row of a manifest.

    Attributes:
        argument: what names it on the command line or in the manifest.
        name: what the asset will be called, unclean.
        length: bytes, `None` while unknown.
        stage: where it is.
        sent: bytes that the socket has taken, or that were read while `stage` is READING.
        moved: bytes that the socket has taken in this run, each as often as it was sent.
        processed: 0 to 1 of the server's work, where it names it.
        asset_id: the asset that is being made, `None` before there is one.
        retry_event: why nothing moves, `None` while it does.
        has_met_setback: whether there was one already.
        rate: of the bytes; measured anew after a setback.
        result: how it ended, `None` while it runs.
    """

    def __init__(self, argument: str, name: str, length: int | None) -> None:
        self.argument = argument
        self.name = name
        self.length = length
        self.stage = Stage.WAITING
        self.sent = 0
        self.moved = 0
        self.processed: float | None = None
        self.asset_id: str | None = None
        self.retry: RetryEvent | None = None
        self.has_met_setback = False
        self._next_attempt = 0.0
        self.rate = Rate()
        self.result: UploadResult | None = None

    def read(self, count: int, now: float) -> None:
        """Take note of what was read of a source whose length isn't known yet."""
        self.stage, self.sent = Stage.READING, count
        self.rate.add(now, count)

    def follow(self, progress: Progress, now: float) -> None:
        """Take note of the client's report."""
        was_sent = 0 if self.stage is Stage.READING else self.sent
        self.stage = Stage(progress.stage.value)
        self.sent, self.length = progress.sent, progress.length
        self.processed = progress.processed
        self.asset_id = progress.asset_id or self.asset_id
        self.retry = progress.retry
        step = self.sent - was_sent
        if self.stage is Stage.UPLOADING and 0 < step <= LONGEST_STEP:
            self.moved += step
        elif step:
            self.rate.begin_anew()
        if progress.retry is None:
            self.rate.add(now, self.moved)
            return
        self.has_met_setback = True
        self.rate.begin_anew()
        self._next_attempt = now + progress.retry.delay

    def end(self, result: UploadResult) -> None:
        """Take note of how it ended."""
        self.result = result
        self.asset_id = result.asset.id if result.asset else self.asset_id
        is_ready = result.asset is not None and result.asset.phase == "ready"
        stage = Stage.READY if is_ready else Stage.HANDED_OVER
        self.finish(Stage.FAILED if result.error is not None else stage, length=result.length)

    def finish(self, stage: Stage, *, length: int | None) -> None:
        """Take note of where it ended, and of its bytes where they are known."""
        self.stage = stage
        self.retry = None
        self.length = length or self.length
        if stage is not Stage.FAILED:
            self.sent = self.length or 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.stage in OVER

    @property
    def is_counted(self) -> bool:
        """Whether its bytes count among those of all."""
        return self.stage not in {Stage.FAILED, Stage.READING}

    @property
    def is_sent(self) -> bool:
        """Whether all bytes are out, and what comes next is the server's answer."""
        return bool(self.length) and self.sent >= (self.length or 0)

    @property
    def was_uploaded_before(self) -> bool:
        """Whether an earlier run had brought everything over."""
        result = self.result
        return result is not None and result.error is None and result.attempts == 0

    def seconds_left(self, now: float) -> float | None:
        """Give the seconds until all bytes are sent, where they can be told."""
        if self.length is None or self.is_sent:
            return None
        return self.rate.seconds_for(self.length - self.sent, now)

    def seconds_until_next(self, now: float) -> float:
        """Give the seconds until the next attempt after a setback; 0 while it runs."""
        return max(0.0, self._next_attempt - now)


class Board:
    """All items of a command: those on it, those that were taken off, and those to come.

    Args:
        items: in the order of the command line.
        window: seconds over which the rate of all is measured.

    Attributes:
        started: when the first upload began.
        is_measured: whether the bytes of all items are known; else the items are what is counted.
    """

    def __init__(self, items: Iterable[Item] = (), *, window: float = RATE_WINDOW) -> None:
        self._items: dict[Item, None] = dict.fromkeys(items)
        self.started = 0.0
        self.is_measured = True
        self._rate = Rate(window)
        self._to_come = 0
        self._length_to_come = 0
        self._taken_off = Counter(dict.fromkeys(Stage, 0))
        self._length_taken_off = 0
        self._moved_taken_off = 0
        self._most_moved = 0
        self._moved_at: float | None = None

    @property
    def items(self) -> list[Item]:
        """The items on the board, the first first."""
        return list(self._items)

    @property
    def number(self) -> int:
        """How many items there are: on the board, taken off and to come."""
        return len(self._items) + self._taken_off.total() + self._to_come

    @property
    def has_more(self) -> bool:
        """Whether items are to come."""
        return self._to_come > 0

    @property
    def sent(self) -> int:
        """Bytes sent, without those of uploads that failed."""
        return self._length_taken_off + sum(item.sent for item in self._counted())

    @property
    def length(self) -> int:
        """Bytes to be sent, as far as they are known."""
        there = sum(item.length or 0 for item in self._counted())
        return self._length_taken_off + there + self._length_to_come

    @property
    def moved(self) -> int:
        """Bytes that went over the line in this run."""
        return self._moved_taken_off + sum(item.moved for item in self.items)

    @property
    def done(self) -> int:
        """How many items have ended well."""
        return self.count(Stage.READY, Stage.HANDED_OVER)

    @property
    def is_stalled(self) -> bool:
        """Whether all that are to move have met a setback."""
        moving = [item for item in self.items if item.stage is Stage.UPLOADING]
        return bool(moving) and all(item.retry is not None for item in moving)

    def expect(self, number: int, *, length: int, is_measured: bool = True) -> None:
        """Take note of how many items are to come, and of the bytes of all."""
        self._to_come, self._length_to_come = number, length
        self.is_measured = is_measured

    def add(self, item: Item) -> None:
        """Put up an item that was to come."""
        self._items[item] = None
        self._expect_less(item, 1)

    def put_back(self, item: Item) -> None:
        """Take off an item that comes again later."""
        self._take_off(item)
        self._expect_less(item, -1)

    def leave(self, item: Item) -> None:
        """Take off an item that doesn't come again in this run; what was sent of it counts on."""
        self.put_back(item)
        self._length_taken_off += item.sent
        self._length_to_come -= item.sent

    def retire(self, item: Item) -> None:
        """Take off an item that has ended; one that never was on the board counts as well."""
        if item in self._items:
            self._take_off(item)
        else:
            self._expect_less(item, 1)
        self._taken_off[item.stage] += 1
        if item.is_counted:
            self._length_taken_off += item.length or 0

    def tick(self, now: float) -> None:
        """Take note of the time; call it often."""
        if self.is_stalled:
            self._rate.begin_anew()
        else:
            # Fewer than before are those of an item that is just being taken off.
            moved = max(self._most_moved, self.moved)
            if self._moved_at is None or moved > self._most_moved:
                if self.is_still(now):
                    self._rate.begin_anew()
                self._moved_at = now
            self._most_moved = moved
            self._rate.add(now, moved)

    def per_second(self, now: float) -> float | None:
        """Give the rate of all together."""
        return None if self.is_still(now) else self._rate.per_second(now)

    def seconds_left(self, now: float) -> float | None:
        """Give the seconds until all bytes are sent, where they can be told."""
        left = self.length - self.sent
        if left <= 0 or self.is_still(now):
            return None
        return self._rate.seconds_for(left, now)

    def is_still(self, now: float) -> bool:
        """Whether no byte has moved for a while."""
        return self._moved_at is not None and now - self._moved_at >= STILL

    def count(self, *stages: Stage) -> int:
        """Count the items that are in one of the stages, or were when they were taken off."""
        there = sum(item.stage in stages for item in self.items)
        return there + sum(self._taken_off[stage] for stage in stages)

    def summary(self) -> str:
        """Say how many are done, and how many failed."""
        word = "done" if self.count(Stage.HANDED_OVER) else "ready"
        failed = self.count(Stage.FAILED)
        said = f"{self.done:,} of {self.number:,} {word}"
        return said + (f", {failed:,} failed" if failed else "")

    def _counted(self) -> list[Item]:
        return [item for item in self.items if item.is_counted]

    def _take_off(self, item: Item) -> None:
        del self._items[item]
        self._moved_taken_off += item.moved

    def _expect_less(self, item: Item, number: int) -> None:
        self._to_come = max(0, self._to_come - number)
        self._length_to_come = max(0, self._length_to_come - number * (item.length or 0))
