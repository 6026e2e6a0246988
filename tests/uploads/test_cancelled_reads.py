"""Cancelled reads of files: the next read returns the right bytes."""

import io
import threading
import time

import anyio
import anyio.from_thread
import pytest

from livepeer_async.sources import files
from livepeer_async.sources.opening import open_source
from support.clock import until
from support.constants import TIMEOUT

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


class HungFile(io.FileIO):
    """A file on a disk that hangs while `hung` is clear, in its open or its read."""

    hung = threading.Event()
    hangs_in = ""
    files = None

    def __init__(self, path):
        HungFile.files.append(self)
        self.is_busy = False
        self.hang("open")
        super().__init__(path)

    def readinto(self, buffer):
        self.hang("read")
        return super().readinto(buffer)

    def hang(self, place):
        if HungFile.hangs_in == place:
            self.is_busy = True
            HungFile.hung.wait(TIMEOUT)
            self.is_busy = False


@pytest.fixture
def hung_disk(monkeypatch):
    monkeypatch.setattr(files, "FileIO", HungFile)
    monkeypatch.setattr(files, "OPEN_TIMEOUT", 0.05)
    monkeypatch.setattr(HungFile, "hung", threading.Event())
    monkeypatch.setattr(HungFile, "files", [])
    yield HungFile
    HungFile.hung.set()


@pytest.mark.parametrize("place", ["open", "read"])
async def test_hung_disk_does_not_hold_a_cancelled_upload(place, hung_disk, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    hung_disk.hangs_in = place

    async def read():
        async with open_source(path) as source:
            await source.read_into(0, memoryview(bytearray(4)))

    with anyio.fail_after(TIMEOUT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await until(lambda: hung_disk.files and hung_disk.files[0].is_busy)
            tasks.cancel_scope.cancel()
    [file] = hung_disk.files
    # The thread closes the file, at its end.
    assert file.is_busy
    assert place == "open" or not file.closed
    hung_disk.hung.set()
    await until(lambda: file.closed and not file.is_busy)


async def test_read_after_a_hung_one_waits_for_it(hung_disk, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"0123456789")
    hung_disk.hangs_in = "read"
    async with open_source(path) as source:
        buffer = memoryview(bytearray(4))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.read_into, 0, memoryview(bytearray(4)))
            await until(lambda: hung_disk.files[0].is_busy)
            tasks.cancel_scope.cancel()
        hung_disk.hung.set()
        assert await source.read_into(6, buffer) == 4
        assert bytes(buffer) == b"6789"
    assert [file.closed for file in hung_disk.files] == [True]
