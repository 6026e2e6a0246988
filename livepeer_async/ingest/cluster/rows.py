"""The rows of a run that aren't finished: handed out, or waiting to be handed out again.

Pure.
"""

from __future__ import annotations

from collections import deque
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import LivepeerError, SourceNotReadable, UploadInUse
from livepeer_async.ingest.events import RowEnded, RowState
from livepeer_async.ingest.rows import Row
from livepeer_async.uploads.progress import Progress, Stage

# Rows of a batch, and the bytes of their files: a worker shouldn't have days of work that others
# could do.
MAX_ROWS = 64
MAX_BYTES = 16 * 1024**3
# Characters of the sources, keys and fields in a batch.
MAX_TEXT = 512 * 1024
# Batches per thread of the workers that are handed out at a time.
WINDOW = 2
# Times that a row is handed out again after a worker has returned it unfinished. A row that another
# process has isn't counted if the journal is shared: that process may need hours.
MAX_RETURNS = 4
# Seconds before a row that another process has is handed out again, doubled each time up to a
# maximum. The workers of a killed coordinator end within 10 s.
IN_USE_DELAY = 10.0
MAX_IN_USE_DELAY = 60.0


class PendingRow(Struct, eq=False):
    """A row that isn't finished.

    Attributes:
        row: the row.
        number: its number in the run.
        has_started: whether a worker has started it.
        is_running: whether it has started, and wasn't deferred since.
        returns: how often a worker has returned it unfinished.
        waits: how often in a row it was returned because another process has it.
        error: why the last worker returned it, if it said so.
        is_missing: whether the last worker didn't have its file.
        missed: hosts that don't have it, by the addresses of their workers.
        progress: the latest progress.
    """

    row: Row
    number: int
    has_started: bool = False
    is_running: bool = False
    returns: int = 0
    waits: int = 0
    error: LivepeerError | None = None
    is_missing: bool = False
    missed: dict[str, str] = {}
    progress: Progress | None = None

    def return_unfinished(self, *, is_shared: bool) -> float | None:
        """Count a return; return the seconds until it is handed out again, None if it isn't.

        Args:
            is_shared: whether other machines use the journal.
        """
        is_in_use = isinstance(self.error, UploadInUse)
        self.waits = self.waits + 1 if is_in_use else 0
        self.returns += not (is_in_use and is_shared)
        if self.returns > MAX_RETURNS:
            return None
        return min(IN_USE_DELAY * 2 ** (self.waits - 1), MAX_IN_USE_DELAY) if is_in_use else 0.0

    def unfinished(self, error: LivepeerError | None = None) -> RowEnded:
        """Return the event of a row that was stopped."""
        length = self.row.length
        return RowEnded(row=self.row, state=RowState.UNFINISHED, length=length, error=error)

    def not_found(self, path: str) -> RowEnded:
        """Return the event of a row whose file, with an absolute path, no host has."""
        hosts = " and ".join(sorted(set(self.missed.values())))
        error = SourceNotReadable(
            f"{path!r} doesn't exist on {hosts}, where a worker needs it", source=self.row.source
        )
        return RowEnded(row=self.row, state=RowState.FAILED, error=error)


class RowGroup(Struct, eq=False):
    """Rows that are handed out together.

    Attributes:
        rows: the rows.
        workers: addresses of the workers that may run them; None for any.
        due: when they may be handed out, on the clock of the caller.
    """

    rows: list[PendingRow]
    workers: list[str] | None = None
    due: float = -inf


class RowQueue:
    """Rows that wait to be handed out."""

    def __init__(self) -> None:
        self._new: deque[PendingRow] = deque()
        self._again: list[RowGroup] = []

    def __len__(self) -> int:
        """Count the rows that were never handed out."""
        return len(self._new)

    def __bool__(self) -> bool:
        return bool(self._new or self._again)

    def add(self, row: PendingRow) -> None:
        """Add a row that was never handed out."""
        self._new.append(row)

    def add_again(self, group: RowGroup) -> None:
        """Add rows that were handed out before."""
        self._again.append(group)

    @property
    def due(self) -> float:
        """When the next rows may be handed out again; `inf` if there are none."""
        return min((group.due for group in self._again), default=inf)

    def take(self, now: float, parts: int) -> RowGroup | None:
        """Take the next rows; None if there are none now.

        Args:
            now: the time.
            parts: among how many groups the last rows are divided.
        """
        for group in self._again:
            if group.due <= now:
                self._again.remove(group)
                return group
        maximum = min(MAX_ROWS, -(-len(self._new) // max(parts, 1)))
        rows: list[PendingRow] = []
        size = text = 0
        while self._new and len(rows) < maximum and size < MAX_BYTES and text < MAX_TEXT:
            pending = self._new.popleft()
            rows.append(pending)
            size += pending.row.length or 0
            text += len(pending.row.source) + len(pending.row.key)
        return RowGroup(rows) if rows else None


def fill_gap(before: Progress | None, progress: Progress) -> list[Progress]:
    """Return the steps between two samples of a row's progress: first the bytes that were sent."""
    if before is None or before.stage is not Stage.UPLOADING:
        return [progress]
    in_flight = progress.sent + progress.in_flight - before.sent
    is_gap = in_flight > before.in_flight and progress.sent > before.sent
    return [replace(before, in_flight=in_flight), progress] if is_gap else [progress]


def find_other_hosts(missed: dict[str, str], hosts: dict[str, str]) -> list[str]:
    """Return the workers on which to look for a file next; empty if it isn't anywhere.

    Each host is asked once, and at least two workers if there are as many.

    Args:
        missed: hosts that don't have it, by the addresses of the workers that said so.
        hosts: the host of each worker.
    """
    tried = set(missed.values())
    others = [address for address, host in hosts.items() if host not in tried]
    if others or len(missed) > 1:
        return others
    return [address for address in hosts if address not in missed]
