"""Reads of files that are given up in their middle, and what the next read finds."""

import asyncio
import io
import time

import anyio
import anyio.from_thread
import pytest

from livepeer_async.sources.opening import open_source

pytestmark = pytest.mark.anyio


class SlowDisk:
    """A binary file on a slow disk; in the middle of a read something may be done."""

    def __init__(self, content):
        self._file = io.BytesIO(content)
        self.meanwhile = None

    def seekable(self):
        return True

    def seek(self, *args):
        return self._file.seek(*args)

    def tell(self):
        return self._file.tell()

    def read(self, size):
        if self.meanwhile:
            anyio.from_thread.run_sync(self.meanwhile)
        # Of two reads at once the one that was given up is the first to move the file.
        time.sleep(0.05)
        return self._file.read(size)


async def test_a_read_that_was_given_up_moves_no_later_read():
    disk = SlowDisk(b"0123456789")
    async with open_source(disk) as source:
        buffer = memoryview(bytearray(4))
        for _ in range(3):
            with anyio.CancelScope() as scope:
                disk.meanwhile = scope.cancel
                await source.read_into(2, buffer)
            disk.meanwhile = None
            assert await source.read_into(2, buffer) == 4
            assert bytes(buffer) == b"2345"


async def test_a_path_read_that_was_given_up_moves_no_later_read(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    with path.open("rb", buffering=0) as raw:
        async with open_source(path) as source:
            slow = SlowFile(raw)
            monkeypatch.setattr(source, "_file", slow)
            buffer = memoryview(bytearray(4))
            for position in (0, 0, 4):
                with anyio.CancelScope() as scope:
                    slow.meanwhile = scope.cancel
                    await source.read_into(position, buffer)
                slow.meanwhile = None
                assert await source.read_into(position, buffer) == 4
                assert bytes(buffer) == b"0123456789"[position : position + 4]
            monkeypatch.undo()


class SlowFile:
    """As `SlowDisk`, with the methods of a file that aiofiles has opened."""

    def __init__(self, raw):
        self._raw = raw
        self.meanwhile = None

    async def seek(self, position):
        self._raw.seek(position)

    async def readinto(self, buffer):
        loop = asyncio.get_running_loop()
        if self.meanwhile:
            loop.call_soon(self.meanwhile)

        def read():
            time.sleep(0.05)
            return self._raw.readinto(buffer)

        return await loop.run_in_executor(None, read)
