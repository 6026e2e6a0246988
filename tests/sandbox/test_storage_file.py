import pytest

from livepeer_async.sandbox.storage import FILE_NOT_FOUND, FileStorage, StorageError


@pytest.fixture
def storage(tmp_path):
    return FileStorage(tmp_path)


def write(upload, offset, *blocks, is_cut=False):
    writer = upload.open(offset, 0.0)
    for block in blocks:
        writer.write(block, 0.0)
    return writer.cut(0.0) if is_cut else writer.finish(0.0)


def test_the_offset_is_what_was_written(storage):
    upload = storage.create("abc", length=6, metadata="name eA==")
    assert (upload.length, upload.metadata, upload.read_offset(0.0)) == (6, "name eA==", 0)
    assert write(upload, 0, b"ab", b"c") == 3
    assert write(upload, 3, b"def") == 6
    assert upload.stored().read_bytes() == b"abcdef"


def test_every_byte_of_a_cut_patch_counts(storage):
    upload = storage.create("abc", length=6, metadata=None)
    write(upload, 0, b"ab", b"c", is_cut=True)
    assert upload.read_offset(0.0) == 3


def test_bytes_beyond_the_length_are_kept(storage):
    upload = storage.create("abc", length=2, metadata=None)
    assert write(upload, 0, b"abcd") == 4
    assert upload.read_offset(0.0) == 4


def test_two_writers_write_each_at_its_own_position(storage):
    upload = storage.create("abc", length=6, metadata=None)
    first, second = upload.open(0, 0.0), upload.open(0, 0.0)
    first.write(b"aaa", 0.0)
    second.write(b"bb", 0.0)
    assert (first.finish(0.0), second.finish(0.0)) == (3, 2)
    assert upload.stored().read_bytes() == b"bba"


def test_a_repeated_creation_truncates(storage):
    write(storage.create("abc", length=6, metadata=None), 0, b"abc")
    again = storage.create("abc", length=9, metadata=None)
    assert (storage.find("abc"), again.length, again.read_offset(0.0)) == (again, 9, 0)


def test_a_deferred_length_is_declared_later(storage):
    upload = storage.create("abc", length=None, metadata=None)
    upload.declare_length(3)
    assert upload.length == 3


def test_a_terminated_upload_is_gone_and_stays_gone(storage):
    upload = storage.create("abc", length=6, metadata=None)
    storage.terminate("abc")
    assert storage.find("abc") is None
    assert upload.stored() is None
    with pytest.raises(StorageError) as caught:
        storage.terminate("abc")
    assert (caught.value.status, caught.value.text) == (404, FILE_NOT_FOUND)
