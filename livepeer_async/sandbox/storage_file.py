"""Storage `file`: @tus/file-store 1.0.0, the wiring of the server's own tests.

Every byte that was received counts, also those of a PATCH that was cut; the offset is the size
of the file. There is no lock: two PATCHes at one offset both write, each at its own position.
"""

from pathlib import Path

from livepeer_async.sandbox.storage import FILE_NOT_FOUND, StorageError


class FileStorage:
    """All uploads as files in one directory."""

    extensions = "creation,creation-with-upload,creation-defer-length,termination,expiration"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uploads: dict[str, FileUpload] = {}

    def name_upload(self, playback_id: str) -> str:
        """Return the playback ID itself: this wiring has no folder in front of it."""
        return playback_id

    def create(self, upload_id: str, *, length: int | None, metadata: str | None) -> "FileUpload":
        """Create an upload; one that is there already is cut back to 0 bytes."""
        upload = FileUpload(self._directory / upload_id, length=length, metadata=metadata)
        self._uploads[upload_id] = upload
        return upload

    def find(self, upload_id: str) -> "FileUpload | None":
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

    def open(self, offset: int, now: float) -> "FileWriter":  # noqa: ARG002 - as above
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
