"""Cancelled reads of files: the next read returns the right bytes."""

import asyncio
import io
import time

import anyio
import anyio.from_thread
import pytest

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
    with path.open("rb", buffering=0) as raw:
        async with open_source(path) as source:
            slow = SlowFile(raw)
            monkeypatch.setattr(source, "_file", slow)
            buffer = memoryview(bytearray(4))
            for position in (0, 0, 4):
                with anyio.CancelScope() as scope:
                    slow.on_read = scope.cancel
                    await source.read_into(position, buffer)
                slow.on_read = None
                assert await source.read_into(position, buffer) == 4
                assert bytes(buffer) == b"0123456789"[position : position + 4]
            monkeypatch.undo()


class SlowFile:
    """As `SlowDisk`, with the methods of a file that aiofiles opened."""

    def __init__(self, raw):
        self._raw = raw
        self.on_read = None

    async def seek(self, position):
        self._raw.seek(position)

    async def readinto(self, buffer):
        loop = asyncio.get_running_loop()
        if self.on_read:
            loop.call_soon(self.on_read)

        def read():
            time.sleep(0.05)
            return self._raw.readinto(buffer)

        return await loop.run_in_executor(None, read)
