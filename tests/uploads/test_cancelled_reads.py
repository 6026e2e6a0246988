"""Cancelled reads of files: the next read returns the right bytes."""

import io
import time

import anyio
import anyio.from_thread
import pytest

from livepeer_async.sources import files
from livepeer_async.sources.opening import open_source

pytestmark = pytest.mark.anyio


class SlowDisk:
    """A binary file on a slow disk, with a callback during a read."""

    def __init__(self, content):
        self._file = io.BytesIO(content)
        self.on_read = None

    def seekable(self):
        return True

    def seek(self, *args):
        return self._file.seek(*args)

    def tell(self):
        return self._file.tell()

    def read(self, size):
        if self.on_read:
            anyio.from_thread.run_sync(self.on_read)
        # Of two concurrent reads, the cancelled one moves the file first.
        time.sleep(0.05)
        return self._file.read(size)


async def test_cancelled_read_does_not_shift_the_next_one():
    disk = SlowDisk(b"0123456789")
    async with open_source(disk) as source:
        buffer = memoryview(bytearray(4))
        for _ in range(3):
            with anyio.CancelScope() as scope:
                disk.on_read = scope.cancel
                await source.read_into(2, buffer)
            disk.on_read = None
            assert await source.read_into(2, buffer) == 4
            assert bytes(buffer) == b"2345"


async def test_cancelled_read_of_a_path_does_not_shift_the_next_one(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    monkeypatch.setattr(files, "FileIO", SlowFile)
    async with open_source(path) as source:
        buffer = memoryview(bytearray(4))
        for position in (0, 0, 4):
            with anyio.CancelScope() as scope:
                monkeypatch.setattr(SlowFile, "on_read", scope.cancel)
                await source.read_into(position, buffer)
            monkeypatch.setattr(SlowFile, "on_read", None)
            assert scope.cancel_called
            assert await source.read_into(position, buffer) == 4
            assert bytes(buffer) == b"0123456789"[position : position + 4]


class SlowFile(io.FileIO):
    """A file on a slow disk, with a callback during a read."""

    on_read = None

    def readinto(self, buffer):
        if SlowFile.on_read:
            anyio.from_thread.run_sync(SlowFile.on_read)
        time.sleep(0.05)
        return super().readinto(buffer)
