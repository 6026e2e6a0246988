"""What a storage is, whichever way it keeps the bytes.

A `Storage` knows all tus uploads by their upload ID, an `Upload` is one of them, a `Writer` is
the body of one PATCH on its way in. None of them knows HTTP, sockets or the clock: the time
comes in as an argument (seconds, any origin), and what the server answers to a refused move
leaves as a `StorageError`.
"""

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
