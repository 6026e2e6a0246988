"""The storage `s3`: @tus/s3-store 1.0.0 on an S3 bucket, as in production.

A PATCH's body is cut into pieces of the part size. A piece is closed by the first byte after it,
or by the end of the body, and a closed piece becomes the next part of an S3 multipart upload. HEAD
and the offset check see parts only. The store's faults follow from that, and are kept:

- Bytes stored twice. A rest that is shorter than `min_piece` and does not end the file is too short
  for an S3 part. It is stored as an incomplete part under a key of its own, and the 204 counts it.
  But the store looks it up under the wrong key: neither HEAD nor the next offset check sees it,
  while the next PATCH prepends it to its first piece.
- Completion without a check. An upload completes when a PATCH's offset plus its bytes equal the
  length; the parts are not compared with the length.
- A lost end. A PATCH of several pieces may not recognise a short last piece as the end of the file
  (the store compares an offset that another piece changes concurrently). The multipart upload is
  then completed without it.
- Parts that show late. A part becomes visible once S3 has stored it. A client that returns sooner
  gets the old offset, and the part that it sends again gets the next number.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from livepeer_async.sandbox.scratch import Extent, ScratchFile, merge_extents, total_size
from livepeer_async.sandbox.storage import NO_SUCH_KEY, NO_SUCH_UPLOAD
from livepeer_async.sandbox.tus_headers import TusError

# S3's limits: parts of one upload, and bytes of an object. The store takes the latter for the
# length while that is deferred.
MAX_PARTS = 10_000
MAX_OBJECT = 5 * 1024**4


class S3Settings(Struct, frozen=True):
    """How bodies become parts.

    Attributes:
        part_size: bytes of a part of a file of up to 10,000 such parts.
        min_piece: bytes below which a piece is an incomplete part unless it ends the file.
        visibility_seconds: how long the last part of a PATCH without a response stays invisible.
        race: probability that the short last piece of a PATCH of several pieces is lost.
        rate: bytes per second that S3 stores, over all uploads; None for no limit.
    """

    part_size: int
    min_piece: int
    visibility_seconds: float
    race: float
    rate: float | None = None


class Part(Struct):
    """A part of a multipart upload, and when S3 has stored it and lists it."""

    extents: list[Extent]
    stored_at: float
    visible_at: float


def calculate_part_size(length: int | None, part_size: int) -> int:
    """Return the part size for an upload of this length."""
    if length is not None and length <= part_size:
        return length
    wanted = MAX_OBJECT if length is None else length
    return max(part_size, -(-wanted // MAX_PARTS))


class S3Storage:
    """All uploads of one bucket."""

    extensions = "creation,creation-with-upload,creation-defer-length,termination"

    def __init__(self, directory: Path, settings: S3Settings, rng: random.Random) -> None:
        self._directory = directory
        self.settings = settings
        self.rng = rng
        self._uploads: dict[str, S3Upload] = {}
        self._busy_until = 0.0

    def make_upload_id(self, playback_id: str) -> str:
        """Return the key of the object, folder included."""
        return f"directUpload/{playback_id}"

    def create(self, upload_id: str, *, length: int | None, metadata: str | None) -> S3Upload:
        """Create an upload; a repeated creation changes nothing.

        A length of 0 reads back as deferred, because the store drops falsy sizes.
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

    def schedule(self, size: int, now: float) -> float:
        """Return when S3 will have stored a part; it stores one after the other."""
        if self.settings.rate is None:
            return now
        self._busy_until = max(now, self._busy_until) + size / self.settings.rate
        return self._busy_until

    def terminate(self, upload_id: str) -> None:
        """Delete an unfinished upload; S3 refuses it for a finished or unknown one."""
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise TusError(500, NO_SUCH_KEY)
        upload.abort()
        del self._uploads[upload_id]


class S3Upload:
    """One multipart upload; its methods are those of `FileUpload`."""

    def __init__(
        self, path: Path, storage: S3Storage, *, length: int | None, metadata: str | None
    ) -> None:
        self.length = length
        self.metadata = metadata
        self.storage = storage
        self.is_open = True
        self.scratch = ScratchFile(path.with_suffix(".parts"))
        self._path = path
        self._parts: dict[int, Part] = {}
        self._incomplete_part: list[Extent] = []
        self._highest_number = 0

    def read_offset(self, now: float) -> int:
        """Add up the visible parts; a finished upload is at its length.

        The incomplete part does not count, because the store looks it up under the wrong key.
        """
        if not self.is_open:
            return self.length or 0
        return sum(
            total_size(part.extents) for part in self._parts.values() if part.visible_at <= now
        )

    def open(self, offset: int, now: float) -> S3Writer:
        """Begin a PATCH; its parts are numbered after those visible and those of ended PATCHes.

        Two PATCHes that begin before a part of either is visible replace each other's parts.
        """
        visible = [number for number, part in self._parts.items() if part.visible_at <= now]
        return S3Writer(self, offset, first_number=max([self._highest_number, *visible]) + 1)

    def find_file(self) -> Path | None:
        """Return the object, which exists once the upload is finished."""
        return self._path if self._path.exists() else None

    def store_part(self, number: int, extents: list[Extent], now: float) -> Part:
        """Store a part, with the incomplete part in front of it."""
        extents = [*self._incomplete_part, *extents]
        self._incomplete_part = []
        stored_at = self.storage.schedule(total_size(extents), now)
        part = Part(extents, stored_at, stored_at + self.storage.settings.visibility_seconds)
        self._parts[number] = part
        return part

    def store_incomplete_part(self, extents: list[Extent]) -> None:
        """Keep a piece that is too short for a part, for the next part."""
        self._incomplete_part = [*self._incomplete_part, *extents]

    def end_patch(self, last_number: int, offset: int | None) -> None:
        """Record the end of a PATCH, and complete the upload if the PATCH ended at the length."""
        self._highest_number = max(self._highest_number, last_number)
        if self.is_open and offset is not None and offset == self.length:
            self.is_open = False
            parts = sorted(self._parts.items())
            self.scratch.assemble((e for _, part in parts for e in part.extents), self._path)

    def abort(self) -> None:
        """Delete all parts; refused once the upload is finished."""
        if not self.is_open:
            raise TusError(500, NO_SUCH_UPLOAD)
        self.is_open = False
        self.scratch.remove()


class S3Writer:
    """The body of one PATCH, cut into pieces."""

    def __init__(self, upload: S3Upload, offset: int, *, first_number: int) -> None:
        self._upload = upload
        self._settings = upload.storage.settings
        self._file = upload.scratch.open() if upload.is_open else None
        self._piece_limit = calculate_part_size(upload.length, self._settings.part_size)
        self._piece: list[Extent] = []
        self._piece_size = 0
        self._pieces = 0
        self._offset = offset
        self._number = first_number
        self._last_part: Part | None = None

    def write(self, block: bytes, now: float) -> None:
        """Append to the open piece, and close a full piece when another byte follows."""
        view = memoryview(block)
        while view:
            if self._piece_size == self._piece_limit:
                self._close_piece(now)
            taken = view[: self._piece_limit - self._piece_size]
            self._append(taken)
            view = view[len(taken) :]

    def flush(self, now: float) -> float:
        """Close the last piece, and return the time at which all parts will be stored."""
        self._require_open_file()
        if self._piece_size:
            self._close_piece(now)
        return now if self._last_part is None else self._last_part.stored_at

    def finish(self, now: float, *, is_response_lost: bool = False) -> int:
        """Close the last piece, and complete the upload if the body ends it."""
        self.flush(now)
        if self._last_part is not None and not is_response_lost:
            self._last_part.visible_at = now
        self._close_file()
        self._upload.end_patch(self._number - 1, self._offset)
        return self._offset

    def abort(self, now: float) -> None:  # noqa: ARG002 - the last part keeps its own time
        """Drop the open piece; the closed ones are stored already."""
        self._upload.scratch.release(self._piece)
        self._close_file()
        self._upload.end_patch(self._number - 1, None)

    def _append(self, view: memoryview) -> None:
        extent = self._upload.scratch.append(self._require_open_file(), view)
        self._piece = merge_extents([*self._piece, extent])
        self._piece_size += len(view)

    def _close_piece(self, now: float) -> None:
        self._offset += self._piece_size
        if self._is_stored_as_part():
            if self._last_part is not None:
                before = self._last_part
                before.visible_at = min(before.visible_at, max(now, before.stored_at))
            self._last_part = self._upload.store_part(self._number, self._piece, now)
            self._number += 1
        else:
            self._upload.store_incomplete_part(self._piece)
        self._pieces += 1
        self._piece, self._piece_size = [], 0

    def _is_stored_as_part(self) -> bool:
        """Whether the piece is long enough for a part, or the store takes it for the last one."""
        if self._piece_size >= self._settings.min_piece:
            return True
        is_final = self._offset == self._upload.length
        if is_final and self._pieces:
            return self._upload.storage.rng.random() >= self._settings.race
        return is_final

    def _require_open_file(self) -> BinaryIO:
        """Return the scratch file, unless the upload was finished or deleted meanwhile."""
        if self._file is None or not self._upload.is_open:
            self._close_file()
            raise TusError(500, NO_SUCH_UPLOAD)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
