"""How far all uploads of a command are, as plain state that the displays read.

In come items; out come numbers: bytes, a rate, the time left, and how many are where. Of an item
that is taken off only sums are kept, so that a board of 100,000 rows is as small as what runs.
Time comes in as an argument. The thread that draws reads while the event loop writes: it sees a
copy of what is on the board, and sums that may be one item ahead of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from livepeer_async.cli.item import RATE_WINDOW, STILL, Item, Rate, Stage


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
        return bool(moving) and all(item.setback is not None for item in moving)

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
