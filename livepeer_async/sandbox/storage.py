"""The interface of a storage, and the storage `file`.

A `Storage` holds all tus uploads by upload ID, an `Upload` is one of them, a `Writer` receives the
body of one PATCH. None of them knows HTTP, sockets or the clock: the time is an argument (seconds,
any origin), and a refusal is a `StorageError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

# Bodies of @tus/server 1.0.0 around the errors of its S3 library, as recorded.
NO_SUCH_UPLOAD = (
    "Something went wrong with that request\n"
    "The specified upload does not exist. The upload ID may be invalid, "
    "or the upload may have been aborted or completed.\n"
)
NO_SUCH_KEY = "Something went wrong with that request\nThe specified key does not exist.\n"
FILE_NOT_FOUND = "The file for this url was not found\n"


class StorageError(Exception):
    """A move that the storage refuses.

    Attributes:
        status: The HTTP status that the server answers.
        text: The plain text of that answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Writer(Protocol):
    """The body of one PATCH (or of a creation with upload) on its way into an upload."""

    def write(self, block: bytes, now: float) -> None:
        """Take the next block of the body."""
        ...

    def flush(self, now: float) -> float:
        """Take note that the body ended, and return the time at which all of it is stored."""
        ...

    def finish(self, now: float, *, answered: bool = True) -> int:
        """Take note that the body is stored, and return the offset that the answer announces.

        `answered` is false when the client will not see the answer.
        """
        ...

    def cut(self, now: float) -> None:
        """Take note that the connection broke before the body ended."""
        ...


class Upload(Protocol):
    """One tus upload."""

    @property
    def length(self) -> int | None:
        """The upload's length; None while it is deferred."""
        ...

    @property
    def metadata(self) -> str | None:
        """The value of Upload-Metadata, as it came."""
        ...

    def declare_length(self, length: int) -> None:
        """Set a length that was deferred at creation."""
        ...

    def read_offset(self, now: float) -> int:
        """Return the offset that HEAD tells and that a PATCH has to give."""
        ...

    def open(self, offset: int, now: float) -> Writer:
        """Begin a PATCH at this offset; whether it is the right one is the caller's check."""
        ...

    def stored(self) -> Path | None:
        """Return the file with the stored source, None when there is none."""
        ...


class Storage(Protocol):
    """All tus uploads of one server."""

    @property
    def extensions(self) -> str:
        """What tus' own OPTIONS answer lists in Tus-Extension."""
        ...

    def name_upload(self, playback_id: str) -> str:
        """Return the upload ID that belongs to a playback ID."""
        ...

    def create(self, upload_id: str, *, length: int | None, metadata: str | None) -> Upload:
        """Create an upload, or meet the one that is there already (a repeated creation)."""
        ...

    def find(self, upload_id: str) -> Upload | None:
        """Return the upload with this ID."""
        ...

    def terminate(self, upload_id: str) -> None:
        """Delete an upload.

        Raises:
            StorageError: The storage refuses, as each storage does in its own cases.
        """
        ...


class FileStorage:
    """All uploads as files in one directory."""

    extensions = "creation,creation-with-upload,creation-defer-length,termination,expiration"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uploads: dict[str, FileUpload] = {}

    def name_upload(self, playback_id: str) -> str:
        """Return the playback ID itself: this wiring has no folder in front of it."""
        return playback_id

    def create(self, upload_id: str, *, length: int | None, metadata: str | None) -> FileUpload:
        """Create an upload; one that is there already is cut back to 0 bytes."""
        upload = FileUpload(self._directory / upload_id, length=length, metadata=metadata)
        self._uploads[upload_id] = upload
        return upload

    def find(self, upload_id: str) -> FileUpload | None:
        """Return the upload with this ID."""
        return self._uploads.get(upload_id)

    def terminate(self, upload_id: str) -> None:
        """Delete an upload and its file, also after its completion."""
        upload = self._uploads.pop(upload_id, None)
        if upload is None:
            raise StorageError(404, FILE_NOT_FOUND)
        upload.remove()


class FileUpload:
    """One upload in one file."""

    def __init__(self, path: Path, *, length: int | None, metadata: str | None) -> None:
        self.length = length
        self.metadata = metadata
        self._path = path
        path.write_bytes(b"")

    def declare_length(self, length: int) -> None:
        """Set a length that was deferred at creation."""
        self.length = length

    def read_offset(self, now: float) -> int:  # noqa: ARG002 - the protocol's; here all is visible
        """Return the size of the file."""
        return self._path.stat().st_size

    def open(self, offset: int, now: float) -> FileWriter:  # noqa: ARG002 - as above
        """Begin to write at this offset."""
        return FileWriter(self._path, offset)

    def stored(self) -> Path | None:
        """Return the file, which exists from the creation on."""
        return self._path if self._path.exists() else None

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)


class FileWriter:
    """The body of one PATCH, written where it belongs as it comes."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("r+b", buffering=0)
        self._file.seek(offset)
        self._offset = offset

    def write(self, block: bytes, now: float) -> None:  # noqa: ARG002 - as above
        """Write the block behind the one before."""
        self._file.write(block)
        self._offset += len(block)

    def flush(self, now: float) -> float:
        """Take note that the body ended; a file has each block at once."""
        return now

    def finish(self, now: float, *, answered: bool = True) -> int:  # noqa: ARG002 - as above
        """Return the offset behind the last byte of this PATCH."""
        self._file.close()
        return self._offset

    def cut(self, now: float) -> None:  # noqa: ARG002 - as above
        """Keep what was written."""
        self._file.close()
