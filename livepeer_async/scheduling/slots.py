"""Upload slots and the fair queue for them.

A client has one queue, so that two calls of `upload_many` share its slots.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from livepeer_async.scheduling.throttle import Throttle

# Seconds between two looks at the budget, which may have been changed.
POLL_SECONDS = 0.25


class SlotQueue:
    """The uploads of a client that send, and the line of the calls that would start one more.

    Args:
        budget: says how many may run.
    """

    def __init__(self, throttle: Throttle) -> None:
        self.throttle = throttle
        self._places: dict[Participant, None] = {}
        # Who has started one stands behind all others.
        self._line: dict[Participant, None] = {}
        self._news = anyio.Event()

    @property
    def lengths(self) -> tuple[int | None, ...]:
        """Bytes of each upload that sends; `None` where unknown."""
        return tuple(length for place in self._places for length in place.sending.values())

    @contextmanager
    def register(self, *, waits_for_slot: bool = True) -> Generator[Participant]:
        """Give a place to a call; when the block ends, nothing of it sends any more.

        Args:
            waits_for_slot: whether it asks `Place.has_come` before it starts an upload. One that
                somebody awaits by itself begins at once, and takes its slot from the others.
        """
        place = Participant(self, waits_for_slot=waits_for_slot)
        self._places[place] = None
        try:
            yield place
        finally:
            del self._places[place]
            self._line.pop(place, None)
            self.notify()

    def may_start(self, place: Participant) -> bool:
        """Whether a place is the first in the line, and one more upload may run."""
        self._line.setdefault(place)
        return next(iter(self._line)) is place and self._has_room()

    def leave_queue(self, place: Participant) -> None:
        """Take a place out of the line."""
        if place in self._line:
            del self._line[place]
            self.notify()

    def sample(self) -> None:
        """Let the budget look what the slots bring; to be called often."""
        self.throttle.sample(self.lengths)

    async def wait_for_change(self) -> None:
        """Wait until something has begun or ended, or it is time to look at the budget again."""
        with anyio.move_on_after(POLL_SECONDS):
            await self._news.wait()

    def notify(self) -> None:
        """Wake all who wait for news."""
        news, self._news = self._news, anyio.Event()
        news.set()

    def _has_room(self) -> bool:
        is_alone = not any(place.waits_for_slot and place.sending for place in self._places)
        if is_alone and self.throttle.concurrency is None:
            # However many run that didn't ask, those that do go on, one at a time.
            return self.throttle.has_room(())
        return self.throttle.has_room(self.lengths)


class Participant:
    """What one call has running.

    Attributes:
        waits_for_slot: as `Turns.joined` was told.
        sending: bytes of each of its uploads that holds a slot.
        reacquiring: uploads that gave theirs back and wait for another.
    """

    def __init__(self, slot_queue: SlotQueue, *, waits_for_slot: bool) -> None:
        self._slot_queue = slot_queue
        self.waits_for_slot = waits_for_slot
        self.sending: dict[Slot, int | None] = {}
        self.reacquiring = 0

    def may_start(self) -> bool:
        """Whether it may start one more; until then it stands in the line."""
        return self._slot_queue.may_start(self)

    def leave_queue(self) -> None:
        """Leave the line: there is nothing that could start."""
        self._slot_queue.leave_queue(self)

    def start(self, length: int | None) -> Slot:
        """Give an upload its slot, and let others have the next turn.

        Args:
            length: bytes; `None` where unknown.
        """
        slot = Slot(self._slot_queue, self, length)
        slot.register()
        return slot


class Slot:
    """What an upload holds while it sends.

    Args:
        slot_queue: of the client.
        place: of the upload's call.
        length: bytes; `None` where unknown.
    """

    def __init__(self, slot_queue: SlotQueue, place: Participant, length: int | None) -> None:
        self._slot_queue = slot_queue
        self._place = place
        self._length = length

    def release(self) -> None:
        """Give it back, where it is held: no byte is left to send."""
        if self in self._place.sending:
            del self._place.sending[self]
            self._slot_queue.notify()

    async def acquire(self) -> None:
        """Wait for the turn, where it was given back and bytes are to be sent all the same."""
        if self in self._place.sending:
            return
        self._place.reacquiring += 1
        try:
            while self._place.waits_for_slot and not self._place.may_start():
                await self._slot_queue.wait_for_change()
        finally:
            # Taken or cancelled: whoever else returns stands in the line anew.
            self._place.reacquiring -= 1
            self._place.leave_queue()
        self.register()

    def register(self) -> None:
        """Count from here on."""
        self._place.sending[self] = self._length
        self._slot_queue.leave_queue(self._place)
        self._slot_queue.notify()
