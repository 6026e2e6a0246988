"""How far an upload is, as values, and a way to follow them without falling behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum

import anyio
from msgspec import Struct

from livepeer_async.http.retry import RetryEvent


class Stage(StrEnum):
    """What is being waited for: bytes, then Livepeer."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"


class Progress(Struct, frozen=True, kw_only=True):
    """How far one upload is.

    Attributes:
        sent: bytes that the socket has taken; falls back where some have to be sent again.
        length: bytes of the whole.
        stage: what is being waited for.
        processed: 0 to 1 of the server's work, where it names it.
        asset_id: the asset that is being made; another one after a new beginning.
        retry_event: why nothing moves at the moment; `None` while it does.
    """

    sent: int
    length: int
    stage: Stage = Stage.UPLOADING
    processed: float | None = None
    asset_id: str | None = None
    retry: RetryEvent | None = None


class Latest:
    """Hands the latest value to each who follows; one who is slow misses the ones between."""

    def __init__(self, value: Progress) -> None:
        self.value = value
        self._changed = anyio.Event()
        self._is_closed = False

    def set(self, value: Progress) -> None:
        """Replace the value, and wake who follows."""
        if value != self.value:
            self.value = value
            self._wake()

    def close(self) -> None:
        """Let all iterators end."""
        self._is_closed = True
        self._wake()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        shown: Progress | None = None
        while True:
            changed = self._changed
            if self.value != shown:
                shown = self.value
                yield shown
            elif self._is_closed:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
