"""Events on their way to who takes them.

Whoever tells one waits until it is taken, so that memory has a bound. Only a row that begins
doesn't wait: it holds a slot, and who takes the events may wait for that very slot.
"""

from __future__ import annotations

from math import inf

import anyio

from livepeer_async.ingest.events import Event


class Channel:
    """Events in the order in which they were told."""

    def __init__(self) -> None:
        self._put, self._events = anyio.create_memory_object_stream[
            tuple[Event, anyio.Event | None]
        ](inf)

    async def tell(self, event: Event) -> None:
        """Tell of something, and wait until that is taken."""
        taken = anyio.Event()
        self._put.send_nowait((event, taken))
        await taken.wait()

    def mention(self, event: Event) -> None:
        """Tell of something without waiting; another event of the same row must wait."""
        self._put.send_nowait((event, None))

    async def take(self) -> Event:
        """Wait for the next event.

        Raises:
            anyio.EndOfStream: there is none.
        """
        event, taken = await self._events.receive()
        if taken is not None:
            taken.set()
        return event

    def end(self) -> None:
        """Say that no more will come."""
        self._put.close()

    def close(self) -> None:
        """Let no more be taken."""
        self._put.close()
        self._events.close()
