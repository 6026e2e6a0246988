"""Storage `s3`: @tus/s3-store 1.0.0 on an S3 bucket, the wiring of production.

A PATCH's body is cut into pieces of the part size. A piece is closed by the first byte after it,
or by the end of the body, and a closed piece is uploaded as the next part of an S3 multipart
upload. HEAD and the offset check see parts only. From that follow, all on purpose:

- A rest that is shorter than `min_piece` and does not end the file is no legal S3 part. It is put
  aside under a key of its own, and the 204 counts it. But the store looks for it under the wrong
  key, so that neither HEAD nor the next PATCH's offset check see it, while the next PATCH prepends
  it to its first piece: the bytes that the client sends again are stored twice.
- The upload completes when a PATCH's offset plus its bytes equal the length. Nobody compares the
  parts with the length.
- A PATCH of several pieces may take its last one, if that is short, for no end of the file (the
  store compares an offset that another piece moves meanwhile): the multipart upload is completed
  without it.
- A part becomes visible once S3 took it. A client that comes back sooner is told the old offset,
  and the part that it sends again gets the next number.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from livepeer_async.sandbox.storage import NO_SUCH_KEY, NO_SUCH_UPLOAD, StorageError

Extent = tuple[int, int]

COPY_BLOCK = 1024 * 1024


def merge(extents: Iterable[Extent]) -> list[Extent]:
    """Join extents that follow on each other, keeping their order."""
    merged: list[Extent] = []
    for start, end in extents:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        elif end > start:
            merged.append((start, end))
    return merged


def measure(extents: Iterable[Extent]) -> int:
    """Add up the bytes of some extents."""
    return sum(end - start for start, end in extents)


class Scratch:
    """One growing file, shared by all writers of an upload."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        path.touch()

    def open(self) -> BinaryIO:
        """Open the file for one writer, who closes it."""
        return self._path.open("r+b", buffering=0)

    def append(self, file: BinaryIO, block: bytes | memoryview) -> Extent:
        """Write a block behind everything that is there."""
        start = self._end
        file.seek(start)
        file.write(block)
        self._end = start + len(block)
        return (start, self._end)

    def release(self, extents: Iterable[Extent]) -> None:
        """Give discarded bytes back; those at the end are overwritten by the next block."""
        for start, end in reversed(merge(extents)):
            if end == self._end:
                self._end = start

    def assemble(self, extents: Iterable[Extent], target: Path) -> None:
        """Make the object that consists of these extents; the scratch file is gone after it."""
        wanted = merge(extents)
        if len(wanted) == 1 and wanted[0][0] == 0:
            with self.open() as file:
                file.truncate(wanted[0][1])
            self._path.replace(target)
            return
        with self._path.open("rb") as source, target.open("wb") as copy:
            for start, end in wanted:
                _copy(source, copy, start, end)
        self.remove()

    def remove(self) -> None:
        """Delete the file, if it is still there."""
        self._path.unlink(missing_ok=True)


def _copy(source: BinaryIO, copy: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    while start < end:
        block = source.read(min(COPY_BLOCK, end - start))
        copy.write(block)
        start += len(block)


# Limits of S3: parts of one upload, and bytes of an object (which the store takes for the length
# while it is deferred).
MAX_PARTS = 10_000
MAX_OBJECT = 5 * 1024**4


class S3Rules(Struct, frozen=True):
    """What decides how bodies become parts.

    Attributes:
        part_size: Bytes of a part of a file of up to 10,000 such parts.
        min_piece: Bytes under which a piece is put aside unless it ends the file.
        visibility_seconds: How long after its end an unanswered PATCH's last part stays unseen.
        race: Probability that the short last piece of a PATCH of several pieces is lost.
        rate: Bytes per second that S3 takes in all; None for no limit.
    """

    part_size: int
    min_piece: int
    visibility_seconds: float
    race: float
    rate: float | None = None


class Part(Struct):
    """A part of a multipart upload, when S3 has its bytes, and since when S3 lists it."""

    extents: list[Extent]
    stored_at: float
    visible_at: float


class Bandwidth:
    """What S3 can take, shared by all uploads: parts are stored one after the other.

    Args:
        rate: Bytes per second; None for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._busy_until = 0.0

    def store(self, size: int, now: float) -> float:
        """Queue a part and return the time at which S3 will have it."""
        if self._rate is None:
            return now
        self._busy_until = max(now, self._busy_until) + size / self._rate
        return self._busy_until


def plan_part_size(length: int | None, part_size: int) -> int:
    """Return the size at which the store cuts a body for an upload of this length."""
    if length is not None and length <= part_size:
        return length
    wanted = MAX_OBJECT if length is None else length
    return max(part_size, -(-wanted // MAX_PARTS))


class S3Storage:
    """All uploads of one bucket."""

    extensions = "creation,creation-with-upload,creation-defer-length,termination"

    def __init__(self, directory: Path, rules: S3Rules, rng: random.Random) -> None:
        self._directory = directory
        self.rules = rules
        self.rng = rng
        self.bandwidth = Bandwidth(rules.rate)
        self._uploads: dict[str, S3Upload] = {}

    def name_upload(self, playback_id: str) -> str:
        """Return the key of the object, folder included."""
        return f"directUpload/{playback_id}"

    def create(self, upload_id: str, *, length: int | None, metadata: str | None) -> S3Upload:
        """Create an upload; a repeated creation changes nothing for this process.

        A length of 0 reads back as a deferred one, as the store keeps no falsy size.
        """
        known = self._uploads.get(upload_id)
        if known is not None:
            return known
        path = self._directory / upload_id.rpartition("/")[2]
        upload = S3Upload(path, self, length=length or None, metadata=metadata)
        self._uploads[upload_id] = upload
        return upload

    def find(self, upload_id: str) -> S3Upload | None:
        """Return the upload with this ID."""
        return self._uploads.get(upload_id)

    def terminate(self, upload_id: str) -> None:
        """Delete an unfinished upload; of a finished or unknown one S3 says no."""
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise StorageError(500, NO_SUCH_KEY)
        upload.abort()
        del self._uploads[upload_id]


class S3Upload:
    """One multipart upload."""

    def __init__(
        self,
        path: Path,
        storage: S3Storage,
        *,
        length: int | None,
        metadata: str | None,
    ) -> None:
        self.length = length
        self.metadata = metadata
        self.rules = storage.rules
        self.rng = storage.rng
        self.bandwidth = storage.bandwidth
        self.is_open = True
        self.scratch = Scratch(path.with_suffix(".parts"))
        self._path = path
        self._parts: dict[int, Part] = {}
        self._aside: list[Extent] = []
        self._highest_number = 0

    def declare_length(self, length: int) -> None:
        """Set a length that was deferred at creation."""
        self.length = length

    def read_offset(self, now: float) -> int:
        """Add up the parts that S3 lists; a finished upload is at its length.

        What was put aside does not count: the store looks for it under the wrong key.
        """
        if not self.is_open:
            return self.length or 0
        return sum(measure(part.extents) for part in self._parts.values() if part.visible_at <= now)

    def open(self, offset: int, now: float) -> S3Writer:
        """Begin a PATCH, numbering its parts from behind those listed and those of ended PATCHes.

        Two PATCHes that begin before a part of either is listed replace each other's parts.
        """
        listed = [number for number, part in self._parts.items() if part.visible_at <= now]
        return S3Writer(self, offset, first_number=max([self._highest_number, *listed]) + 1)

    def stored(self) -> Path | None:
        """Return the object, which exists once the upload is finished."""
        return self._path if self._path.exists() else None

    def store_part(self, number: int, extents: list[Extent], now: float) -> Part:
        """Upload a part, behind what was put aside before."""
        extents = [*self.take_aside(), *extents]
        stored_at = self.bandwidth.store(measure(extents), now)
        part = Part(extents, stored_at, stored_at + self.rules.visibility_seconds)
        self._parts[number] = part
        return part

    def put_aside(self, extents: list[Extent]) -> None:
        """Keep a piece that is too short for a part, behind what was put aside before."""
        self._aside = [*self._aside, *extents]

    def take_aside(self) -> list[Extent]:
        """Hand out what was put aside, once."""
        aside, self._aside = self._aside, []
        return aside

    def end_patch(self, last_number: int, offset: int | None) -> None:
        """Take note that a PATCH ended, and complete the upload if it ended at the length."""
        self._highest_number = max(self._highest_number, last_number)
        if self.is_open and offset is not None and offset == self.length:
            self.is_open = False
            parts = sorted(self._parts.items())
            self.scratch.assemble((e for _, part in parts for e in part.extents), self._path)

    def abort(self) -> None:
        """Drop everything.

        Raises:
            StorageError: The upload is finished, so S3 knows no such upload.
        """
        if not self.is_open:
            raise StorageError(500, NO_SUCH_UPLOAD)
        self.is_open = False
        self.scratch.remove()


class S3Writer:
    """The body of one PATCH, cut into pieces as it comes."""

    def __init__(self, upload: S3Upload, offset: int, *, first_number: int) -> None:
        self._upload = upload
        self._file = upload.scratch.open() if upload.is_open else None
        self._piece_limit = plan_part_size(upload.length, upload.rules.part_size)
        self._piece: list[Extent] = []
        self._piece_size = 0
        self._pieces = 0
        self._offset = offset
        self._number = first_number
        self._last_part: Part | None = None

    def write(self, block: bytes, now: float) -> None:
        """Add the block to the open piece, closing each that is full when another byte follows."""
        view = memoryview(block)
        while view:
            if self._piece_size == self._piece_limit:
                self._close_piece(now)
            taken = view[: self._piece_limit - self._piece_size]
            self._keep(taken)
            view = view[len(taken) :]

    def flush(self, now: float) -> float:
        """Close the last piece, and return the time at which S3 has all parts."""
        self._writable_file()
        if self._piece_size:
            self._close_piece(now)
        return now if self._last_part is None else self._last_part.stored_at

    def finish(self, now: float, *, answered: bool = True) -> int:
        """Close the last piece, wait for S3 in effect, complete the upload if this is its end."""
        self.flush(now)
        if answered and self._last_part is not None:
            self._last_part.visible_at = now
        self._close_file()
        self._upload.end_patch(self._number - 1, self._offset)
        return self._offset

    def cut(self, now: float) -> None:  # noqa: ARG002 - the last part keeps its own time
        """Drop the open piece; the closed ones are S3's already."""
        self._upload.scratch.release(self._piece)
        self._close_file()
        self._upload.end_patch(self._number - 1, None)

    def _keep(self, view: memoryview) -> None:
        start, end = self._upload.scratch.append(self._writable_file(), view)
        if self._piece and self._piece[-1][1] == start:
            self._piece[-1] = (self._piece[-1][0], end)
        else:
            self._piece.append((start, end))
        self._piece_size += len(view)

    def _close_piece(self, now: float) -> None:
        """Upload the piece or put it aside: `isFinalChunk` of the store decides."""
        self._offset += self._piece_size
        if self._is_taken_for_a_part():
            if self._last_part is not None:
                before = self._last_part
                before.visible_at = min(before.visible_at, max(now, before.stored_at))
            self._last_part = self._upload.store_part(self._number, self._piece, now)
            self._number += 1
        else:
            self._upload.put_aside(self._piece)
        self._pieces += 1
        self._piece, self._piece_size = [], 0

    def _is_taken_for_a_part(self) -> bool:
        rules = self._upload.rules
        if self._piece_size >= rules.min_piece:
            return True
        is_final = self._offset == self._upload.length
        if is_final and self._pieces:
            return self._upload.rng.random() >= rules.race
        return is_final

    def _writable_file(self) -> BinaryIO:
        """Return the scratch file, unless the upload was finished or deleted meanwhile."""
        if self._file is None or not self._upload.is_open:
            self._close_file()
            raise StorageError(500, NO_SUCH_UPLOAD)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
