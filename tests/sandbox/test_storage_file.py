import pytest

from livepeer_async.sandbox.storage import FILE_NOT_FOUND, FileStorage
from livepeer_async.sandbox.tus_headers import TusError


@pytest.fixture
def storage(tmp_path):
    return FileStorage(tmp_path)


def write(upload, offset, *blocks, is_cut=False):
    writer = upload.open(offset, 0.0)
    for block in blocks:
        writer.write(block, 0.0)
    return writer.abort(0.0) if is_cut else writer.finish(0.0)


def test_offset_counts_written_bytes(storage):
    upload = storage.create("abc", length=6, metadata="name eA==")
    assert (upload.length, upload.metadata, upload.read_offset(0.0)) == (6, "name eA==", 0)
    assert write(upload, 0, b"ab", b"c") == 3
    assert write(upload, 3, b"def") == 6
    assert upload.find_file().read_bytes() == b"abcdef"


def test_offset_counts_bytes_of_aborted_patch(storage):
    upload = storage.create("abc", length=6, metadata=None)
    write(upload, 0, b"ab", b"c", is_cut=True)
    assert upload.read_offset(0.0) == 3


def test_bytes_beyond_length_are_kept(storage):
    upload = storage.create("abc", length=2, metadata=None)
    assert write(upload, 0, b"abcd") == 4
    assert upload.read_offset(0.0) == 4


def test_writers_have_separate_positions(storage):
    upload = storage.create("abc", length=6, metadata=None)
    first, second = upload.open(0, 0.0), upload.open(0, 0.0)
    first.write(b"aaa", 0.0)
    second.write(b"bb", 0.0)
    assert (first.finish(0.0), second.finish(0.0)) == (3, 2)
    assert upload.find_file().read_bytes() == b"bba"


def test_repeated_creation_truncates(storage):
    write(storage.create("abc", length=6, metadata=None), 0, b"abc")
    again = storage.create("abc", length=9, metadata=None)
    assert (storage.find("abc"), again.length, again.read_offset(0.0)) == (again, 9, 0)


def test_deferred_length_can_be_set(storage):
    upload = storage.create("abc", length=None, metadata=None)
    upload.length = 3
    assert upload.length == 3


def test_upload_can_be_terminated_once(storage):
    upload = storage.create("abc", length=6, metadata=None)
    storage.terminate("abc")
    assert storage.find("abc") is None
    assert upload.find_file() is None
    with pytest.raises(TusError) as caught:
        storage.terminate("abc")
    assert (caught.value.status, caught.value.text) == (404, FILE_NOT_FOUND)
