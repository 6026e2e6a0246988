"""Upload slots and the fair queue for them.

A client has one queue, so that two calls of `upload_many` share its slots.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from livepeer_async.scheduling.throttle import Budget

# Seconds between two looks at the budget, which may have been changed.
TICK = 0.25


class Turns:
    """The uploads of a client that send, and the line of the calls that would start one more.

    Args:
        budget: says how many may run.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._places: dict[Place, None] = {}
        # Who has started one stands behind all others.
        self._line: dict[Place, None] = {}
        self._news = anyio.Event()

    @property
    def lengths(self) -> tuple[int | None, ...]:
        """Bytes of each upload that sends; `None` where unknown."""
        return tuple(length for place in self._places for length in place.sending.values())

    @contextmanager
    def joined(self, *, is_patient: bool = True) -> Generator[Place]:
        """Give a place to a call; when the block ends, nothing of it sends any more.

        Args:
            is_patient: whether it asks `Place.has_come` before it starts an upload. One that
                somebody awaits by itself begins at once, and takes its slot from the others.
        """
        place = Place(self, is_patient=is_patient)
        self._places[place] = None
        try:
            yield place
        finally:
            del self._places[place]
            self._line.pop(place, None)
            self.tell()

    def has_come(self, place: Place) -> bool:
        """Whether a place is the first in the line, and one more upload may run."""
        self._line.setdefault(place)
        return next(iter(self._line)) is place and self._has_room()

    def step_out(self, place: Place) -> None:
        """Take a place out of the line."""
        if place in self._line:
            del self._line[place]
            self.tell()

    def measure(self) -> None:
        """Let the budget look what the slots bring; to be called often."""
        self.budget.measure(self.lengths)

    async def news(self) -> None:
        """Wait until something has begun or ended, or it is time to look at the budget again."""
        with anyio.move_on_after(TICK):
            await self._news.wait()

    def tell(self) -> None:
        """Wake all who wait for news."""
        news, self._news = self._news, anyio.Event()
        news.set()

    def _has_room(self) -> bool:
        is_alone = not any(place.is_patient and place.sending for place in self._places)
        if is_alone and self.budget.concurrency is None:
            # However many run that didn't ask, those that do go on, one at a time.
            return self.budget.has_room(())
        return self.budget.has_room(self.lengths)


class Place:
    """What one call has running.

    Attributes:
        is_patient: as `Turns.joined` was told.
        sending: bytes of each of its uploads that holds a slot.
        returning: uploads that gave theirs back and wait for another.
    """

    def __init__(self, turns: Turns, *, is_patient: bool) -> None:
        self._turns = turns
        self.is_patient = is_patient
        self.sending: dict[Slot, int | None] = {}
        self.returning = 0

    def has_come(self) -> bool:
        """Whether it may start one more; until then it stands in the line."""
        return self._turns.has_come(self)

    def step_out(self) -> None:
        """Leave the line: there is nothing that could start."""
        self._turns.step_out(self)

    def start(self, length: int | None) -> Slot:
        """Give an upload its slot, and let others have the next turn.

        Args:
            length: bytes; `None` where unknown.
        """
        slot = Slot(self._turns, self, length)
        slot.hold()
        return slot


class Slot:
    """What an upload holds while it sends.

    Args:
        turns: of the client.
        place: of the upload's call.
        length: bytes; `None` where unknown.
    """

    def __init__(self, turns: Turns, place: Place, length: int | None) -> None:
        self._turns = turns
        self._place = place
        self._length = length

    def leave(self) -> None:
        """Give it back, where it is held: no byte is left to send."""
        if self in self._place.sending:
            del self._place.sending[self]
            self._turns.tell()

    async def take(self) -> None:
        """Wait for the turn, where it was given back and bytes are to be sent all the same."""
        if self in self._place.sending:
            return
        self._place.returning += 1
        try:
            while self._place.is_patient and not self._place.has_come():
                await self._turns.news()
        finally:
            # Taken or cancelled: whoever else returns stands in the line anew.
            self._place.returning -= 1
            self._place.step_out()
        self.hold()

    def hold(self) -> None:
        """Count from here on."""
        self._place.sending[self] = self._length
        self._turns.step_out(self._place)
        self._turns.tell()
