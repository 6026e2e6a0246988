"""Storage `file`: each tus upload is a file in one directory.

`FileStorage` and `S3Storage` have the same methods, as do their uploads and the writers, which
receive the body of one PATCH. None of them knows HTTP, sockets or the clock: the time is an
argument (seconds, any origin), and a refusal is a `TusError`.
"""

from __future__ import annotations

from pathlib import Path

from livepeer_async.sandbox.tus_headers import TusError

# Error bodies of @tus/server 1.0.0 and its S3 library, as recorded.
NO_SUCH_UPLOAD = (
    "Something went wrong with that request\n"
    "The specified upload does not exist. The upload ID may be invalid, "
    "or the upload may have been aborted or completed.\n"
)
NO_SUCH_KEY = "Something went wrong with that request\nThe specified key does not exist.\n"
FILE_NOT_FOUND = "The file for this url was not found\n"


class FileStorage:
    """All tus uploads of one server."""

    # The value of Tus-Extension.
    extensions = "creation,creation-with-upload,creation-defer-length,termination,expiration"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uploads: dict[str, FileUpload] = {}

    def make_upload_id(self, playback_id: str) -> str:
        """Return the upload ID of a playback ID: the playback ID itself."""
        return playback_id

    def create(self, upload_id: str, *, length: int | None, metadata: str | None) -> FileUpload:
        """Create an upload; a repeated creation truncates it."""
        upload = FileUpload(self._directory / upload_id, length=length, metadata=metadata)
        self._uploads[upload_id] = upload
        return upload

    def find(self, upload_id: str) -> FileUpload | None:
        """Return the upload with this ID."""
        return self._uploads.get(upload_id)

    def terminate(self, upload_id: str) -> None:
        """Delete an upload and its file, finished or not.

        Raises:
            TusError: 404, there is no such upload.
        """
        upload = self._uploads.pop(upload_id, None)
        if upload is None:
            raise TusError(404, FILE_NOT_FOUND)
        upload.path.unlink(missing_ok=True)


class FileUpload:
    """One upload.

    Attributes:
        length: the upload's length; None while it is deferred.
        metadata: the value of Upload-Metadata, as sent.
        path: the file, which exists from the creation on.
    """

    def __init__(self, path: Path, *, length: int | None, metadata: str | None) -> None:
        self.length = length
        self.metadata = metadata
        self.path = path
        path.write_bytes(b"")

    def read_offset(self, now: float) -> int:  # noqa: ARG002 - each byte is visible at once
        """Return the offset that HEAD reports and that the next PATCH must have."""
        return self.path.stat().st_size

    def open(self, offset: int, now: float) -> FileWriter:  # noqa: ARG002 - as above
        """Begin a PATCH; the caller has checked the offset."""
        return FileWriter(self.path, offset)

    def find_file(self) -> Path | None:
        """Return the file of the stored source, None if there is none."""
        return self.path if self.path.exists() else None


class FileWriter:
    """Writes the body of one PATCH, or of a creation with upload."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("r+b", buffering=0)
        self._file.seek(offset)

    def write(self, block: bytes, now: float) -> None:  # noqa: ARG002 - as above
        """Append a block."""
        self._file.write(block)

    def flush(self, now: float) -> float:
        """End the body, and return the time at which all of it will be stored."""
        return now

    def finish(self, now: float, *, is_response_lost: bool = False) -> int:  # noqa: ARG002 - as above
        """Close the writer once the body is stored, and return the new offset."""
        with self._file as file:
            return file.tell()

    def abort(self, now: float) -> None:  # noqa: ARG002 - as above
        """Close the writer after the connection broke inside the body."""
        self._file.close()
