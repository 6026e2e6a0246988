"""Upload slots and the fair queue for them.

A client has one queue, so that concurrent calls of `upload_many` share its slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from livepeer_async.concurrency import LoopLocal, Notifier
from livepeer_async.scheduling.throttle import Throttle

# Seconds between two checks of the throttle, whose limits may have changed.
POLL_SECONDS = 0.25


class _LoopState:
    """What a queue has in one event loop.

    Attributes:
        participants: the calls that were registered.
        queue: those that wait, in order; one that started an upload queues up again at the end.
        notifier: wakes the tasks in `wait_for_change`.
    """

    def __init__(self) -> None:
        self.participants: list[Participant] = []
        self.queue: dict[Participant, None] = {}
        self.notifier = Notifier()


class SlotQueue:
    """The queue of a client's calls that want to start uploads, one in each event loop.

    Args:
        throttle: determines how many uploads may run.
    """

    def __init__(self, throttle: Throttle) -> None:
        self.throttle = throttle
        self._loops = LoopLocal(_LoopState)

    @property
    def lengths(self) -> tuple[int | None, ...]:
        """The length of each upload that holds a slot, in bytes; `None` if unknown."""
        return tuple(slot.length for call in self._loops.get().participants for slot in call.held)

    @contextmanager
    def register(self, *, waits_for_slot: bool = True) -> Generator[Participant]:
        """Register a call; its slots are released when the block ends.

        Args:
            waits_for_slot: whether the call asks `may_start` before it starts an upload. A single
                upload starts at once and reduces the slots of the others.
        """
        participant = Participant(self, waits_for_slot=waits_for_slot)
        loop_state = self._loops.get()
        loop_state.participants.append(participant)
        try:
            yield participant
        finally:
            loop_state.participants.remove(participant)
            loop_state.queue.pop(participant, None)
            loop_state.notifier.notify()

    def may_start(self, participant: Participant) -> bool:
        """Queue a participant; whether it is the first and there is room for one more upload."""
        queue = self._loops.get().queue
        queue.setdefault(participant)
        return next(iter(queue)) is participant and self._has_room()

    def leave_queue(self, participant: Participant) -> None:
        """Remove a participant from the queue, because it has nothing to start."""
        loop_state = self._loops.get()
        if participant in loop_state.queue:
            del loop_state.queue[participant]
            loop_state.notifier.notify()

    def sample(self) -> None:
        """Sample the throughput; call this often."""
        self.throttle.sample(self.lengths)

    async def wait_for_change(self) -> None:
        """Wait until an upload starts or ends, or it is time to check the throttle again."""
        notifier = self._loops.get().notifier
        timer = asyncio.get_running_loop().call_later(POLL_SECONDS, notifier.notify)
        try:
            await notifier.wait()
        finally:
            timer.cancel()

    def notify(self) -> None:
        """Wake all tasks in `wait_for_change`."""
        self._loops.get().notifier.notify()

    def _has_room(self) -> bool:
        if self.throttle.concurrency is None and not any(
            call.waits_for_slot and call.held for call in self._loops.get().participants
        ):
            # Single uploads leave at least one slot to the calls that wait.
            return self.throttle.has_room(())
        return self.throttle.has_room(self.lengths)


class Participant:
    """A call that starts uploads.

    Attributes:
        waits_for_slot: as in `SlotQueue.register`.
        held: the slots that its uploads hold.
        reacquiring: number of uploads that released their slot and wait for another.
    """

    def __init__(self, slot_queue: SlotQueue, *, waits_for_slot: bool) -> None:
        self.slot_queue = slot_queue
        self.waits_for_slot = waits_for_slot
        self.held: list[Slot] = []
        self.reacquiring = 0

    def start(self, length: int | None) -> Slot:
        """Assign a slot to an upload without waiting, and move to the end of the queue.

        Args:
            length: bytes; `None` if unknown.
        """
        slot = Slot(self, length)
        self.hold(slot)
        return slot

    def hold(self, slot: Slot) -> None:
        """Count a slot as held, and leave the queue."""
        self.held.append(slot)
        self.slot_queue.leave_queue(self)
        self.slot_queue.notify()


class Slot:
    """The permission of one upload to send.

    Args:
        participant: the call of the upload.
        length: bytes; `None` if unknown.
    """

    def __init__(self, participant: Participant, length: int | None) -> None:
        self._participant = participant
        self.length = length

    def release(self) -> None:
        """Release the slot if it is held, because no byte is left to send."""
        if self in self._participant.held:
            self._participant.held.remove(self)
            self._participant.slot_queue.notify()

    async def reacquire(self) -> None:
        """Give the slot to another upload if there are too many, and wait for a slot again."""
        self.release()
        await self.acquire()

    async def acquire(self) -> None:
        """Wait until the slot is held again, because there are bytes to send after all."""
        participant, slot_queue = self._participant, self._participant.slot_queue
        if self in participant.held:
            return
        participant.reacquiring += 1
        try:
            while participant.waits_for_slot and not slot_queue.may_start(participant):
                await slot_queue.wait_for_change()
        finally:
            # The next upload of this call that reacquires queues up again, at the end.
            participant.reacquiring -= 1
            slot_queue.leave_queue(participant)
        participant.hold(self)
