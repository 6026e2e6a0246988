"""The S3 storage without a server: recorded tables, at full size and scaled down."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livepeer_async.sandbox.storage import NO_SUCH_KEY, NO_SUCH_UPLOAD
from livepeer_async.sandbox.storage_s3 import S3Settings, S3Storage, calculate_part_size
from livepeer_async.sandbox.tus_headers import TusError
from support.constants import MIB

SMALL = 1024
LATE = 0.3


def make_storage(directory, *, unit=SMALL, race=0.0, rate=None):
    """Create a storage whose MiB is `unit` bytes."""
    settings = S3Settings(8 * unit, 5 * unit, visibility_seconds=LATE, race=race, rate=rate)
    return S3Storage(directory, settings, random.Random(7))


def write(upload, offset, body, *, now=0.0, block=None, is_response_lost=False):
    writer = upload.open(offset, now)
    block = block or max(1, len(body))
    for start in range(0, len(body), block):
        writer.write(body[start : start + block], now)
    return writer.finish(now, is_response_lost=is_response_lost)


def abort(upload, offset, body, *, now=0.0):
    writer = upload.open(offset, now)
    writer.write(body, now)
    writer.abort(now)


def upload_in_chunks(upload, source, chunk, *, attempts=16):
    """Follow the server's own responses as tus-js-client does; return what happened."""
    log, offset = [], 0
    for _ in range(attempts):
        visible = upload.read_offset(0.0)
        if offset != visible:
            log.append((offset, 409))
            offset = visible
            continue
        new_offset = write(upload, offset, source[offset : offset + chunk])
        log.append((offset, new_offset))
        offset = new_offset
        if offset == upload.length:
            break
    return log


# Recorded, in MiB: chunk, steps (offset, new offset or status), bytes stored.
TABLE = [
    (3, [(0, 3), (3, 409)] * 8, None),
    (4, [(0, 4), (4, 409)] * 8, None),
    (5, [(0, 5), (5, 10), (10, 15), (15, 20)], 20),
    (6, [(0, 6), (6, 12), (12, 18), (18, 20)], 20),
    (8, [(0, 8), (8, 16), (16, 20)], 20),
    (10, [(0, 10), (10, 409), (8, 18), (18, 20)], 22),
    (12, [(0, 12), (12, 409), (8, 20)], 24),
    (13, [(0, 13), (13, 20)], 20),
    (16, [(0, 16), (16, 20)], 20),
    (20, [(0, 20)], 20),
]


@pytest.mark.parametrize("unit", [SMALL, MIB], ids=["small", "full"])
@pytest.mark.parametrize(("chunk", "steps", "stored"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_chunk_sizes_end_as_recorded(tmp_path, unit, chunk, steps, stored):
    source = random.Random(1).randbytes(20 * unit)
    upload = make_storage(tmp_path, unit=unit).create("u/x", length=20 * unit, metadata=None)
    log = upload_in_chunks(upload, source, chunk * unit)
    assert log == [(at * unit, to if to == 409 else to * unit) for at, to in steps]
    if stored is None:
        assert (upload.find_file(), upload.read_offset(0.0)) == (None, 0)
        return
    found = upload.find_file().read_bytes()
    assert len(found) == stored * unit
    assert (found == source) == (stored == 20)
    assert upload.read_offset(0.0) == 20 * unit


def test_ten_mib_chunks_store_incomplete_part_twice(tmp_path):
    source = random.Random(1).randbytes(20 * SMALL)
    upload = make_storage(tmp_path).create("u/x", length=20 * SMALL, metadata=None)
    upload_in_chunks(upload, source, 10 * SMALL)
    k = SMALL
    incomplete = source[8 * k : 10 * k]
    rest = source[8 * k : 16 * k] + source[16 * k : 18 * k] + source[18 * k :]
    assert upload.find_file().read_bytes() == source[: 8 * k] + incomplete + rest


def test_chunks_of_five_million_bytes_never_finish(tmp_path):
    source = bytes(20 * MIB)
    upload = make_storage(tmp_path, unit=MIB).create("u/x", length=20 * MIB, metadata=None)
    log = upload_in_chunks(upload, source, 5_000_000, attempts=6)
    assert log == [(0, 5_000_000), (5_000_000, 409)] * 3


# Recorded: MiB sent before the connection broke, offset afterwards.
INTERRUPTIONS = [(0.1, 0), (6, 0), (8, 0), (12, 8), (16.5, 16)]


@pytest.mark.parametrize(("sent", "offset"), INTERRUPTIONS)
def test_aborted_patch_keeps_closed_parts(tmp_path, sent, offset):
    source = random.Random(2).randbytes(20 * SMALL)
    upload = make_storage(tmp_path).create("u/x", length=len(source), metadata=None)
    abort(upload, 0, source[: int(sent * SMALL)])
    assert upload.read_offset(LATE) == offset * SMALL
    assert write(upload, offset * SMALL, source[offset * SMALL :], now=LATE) == len(source)
    assert upload.find_file().read_bytes() == source


def test_running_patch_shows_stored_parts(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=20 * SMALL, metadata=None)
    writer = upload.open(0, 0.0)
    writer.write(bytes(12 * SMALL), 0.0)
    assert upload.read_offset(0.0) == 0
    assert upload.read_offset(LATE) == 8 * SMALL
    writer.abort(LATE)


def test_last_part_of_aborted_patch_shows_late(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=24 * SMALL, metadata=None)
    abort(upload, 0, bytes(20 * SMALL), now=1.0)
    assert upload.read_offset(1.0) == 8 * SMALL
    assert upload.read_offset(1.0 + LATE - 0.01) == 8 * SMALL
    assert upload.read_offset(1.0 + LATE) == 16 * SMALL


def test_part_resent_too_soon_is_stored_twice(tmp_path):
    """HEAD reports the length, but nothing is complete."""
    source = random.Random(3).randbytes(16 * SMALL)
    upload = make_storage(tmp_path).create("u/x", length=len(source), metadata=None)
    half = source[: 8 * SMALL]
    assert write(upload, 0, half, is_response_lost=True) == 8 * SMALL
    assert upload.read_offset(0.1) == 0
    assert write(upload, 0, half, now=0.1) == 8 * SMALL
    assert upload.read_offset(LATE) == upload.length
    assert upload.find_file() is None


def test_empty_patch_after_duplicate_stores_wrong_bytes(tmp_path):
    source = random.Random(3).randbytes(16 * SMALL)
    upload = make_storage(tmp_path).create("u/x", length=len(source), metadata=None)
    half = source[: 8 * SMALL]
    write(upload, 0, half, is_response_lost=True)
    write(upload, 0, half)
    assert write(upload, 16 * SMALL, b"", now=1.0) == 16 * SMALL
    assert upload.find_file().read_bytes() == half + half


def test_offset_may_exceed_length(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=12 * SMALL, metadata=None)
    write(upload, 0, bytes(8 * SMALL), is_response_lost=True)
    write(upload, 0, bytes(8 * SMALL))
    assert upload.read_offset(1.0) == 16 * SMALL


@pytest.mark.parametrize("size", [8 * SMALL + 1, 9 * SMALL, 16 * SMALL + 64])
@pytest.mark.parametrize("race", [0.0, 1.0])
def test_patch_may_lose_short_end(tmp_path, size, race):
    source = random.Random(4).randbytes(size)
    upload = make_storage(tmp_path, race=race).create("u/x", length=size, metadata=None)
    assert write(upload, 0, source) == size
    whole = size // (8 * SMALL) * 8 * SMALL
    assert upload.find_file().read_bytes() == (source[:whole] if race else source)


def test_race_spares_rest_in_separate_patch(tmp_path):
    source = random.Random(4).randbytes(9 * SMALL)
    upload = make_storage(tmp_path, race=1.0).create("u/x", length=9 * SMALL, metadata=None)
    write(upload, 0, source[: 8 * SMALL])
    write(upload, 8 * SMALL, source[8 * SMALL :])
    assert upload.find_file().read_bytes() == source


def test_race_spares_long_end(tmp_path):
    source = random.Random(4).randbytes(13 * SMALL)
    upload = make_storage(tmp_path, race=1.0).create("u/x", length=13 * SMALL, metadata=None)
    write(upload, 0, source)
    assert upload.find_file().read_bytes() == source


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 40 * SMALL),
    multiples=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    block=st.integers(100, 20_000),
)
def test_whole_parts_with_separate_rest_are_exact(tmp_path_factory, length, multiples, block):
    source = random.Random(length).randbytes(length)
    directory = tmp_path_factory.mktemp("s3")
    upload = make_storage(directory, race=1.0).create("u/x", length=length, metadata=None)
    whole, offset, turn = length // (8 * SMALL) * 8 * SMALL, 0, 0
    while offset < length:
        end = min(whole, offset + multiples[turn % len(multiples)] * 8 * SMALL)
        end = end if offset < whole else length
        offset, turn = write(upload, offset, source[offset:end], block=block), turn + 1
        assert offset == upload.read_offset(0.0)
    assert upload.find_file().read_bytes() == source


def test_short_piece_of_small_file_is_forgotten(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=10, metadata=None)
    assert write(upload, 0, b"hello") == 5
    assert upload.read_offset(1.0) == 0


def test_bytes_beyond_length_need_empty_patch_to_finish(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=5, metadata=None)
    assert write(upload, 0, b"helloworld") == 10
    assert (upload.read_offset(0.0), upload.find_file()) == (5, None)
    assert write(upload, 5, b"") == 5
    assert upload.find_file().read_bytes() == b"hello"


@pytest.mark.parametrize("body", [b"", b"more!"])
def test_patch_after_completion_is_an_error(tmp_path, body):
    upload = make_storage(tmp_path).create("u/x", length=5, metadata=None)
    write(upload, 0, b"hello")
    with pytest.raises(TusError) as caught:
        write(upload, 5, body)
    assert (caught.value.status, caught.value.text) == (500, NO_SUCH_UPLOAD)
    assert upload.find_file().read_bytes() == b"hello"


def test_concurrent_patches_mix_bytes(tmp_path):
    k = SMALL
    upload = make_storage(tmp_path).create("u/x", length=24 * k, metadata=None)
    one, two = upload.open(0, 0.0), upload.open(0, 0.0)
    one.write(b"a" * (17 * k), 0.0)
    two.write(b"b" * (9 * k), 0.0)
    two.abort(0.0)
    one.write(b"a" * (7 * k), 0.0)
    assert one.finish(0.0) == 24 * k
    assert upload.find_file().read_bytes() == b"b" * (8 * k) + b"a" * (16 * k)


def test_patch_fails_if_another_finishes_upload(tmp_path):
    """The first PATCH hangs while another one finishes the file."""
    k = SMALL
    upload = make_storage(tmp_path).create("u/x", length=20 * k, metadata=None)
    hanging = upload.open(0, 0.0)
    hanging.write(b"a" * (12 * k), 0.0)
    assert write(upload, 8 * k, b"a" * (12 * k), now=1.0) == 20 * k
    with pytest.raises(TusError):
        hanging.write(b"a" * (8 * k), 1.0)
    assert upload.find_file().read_bytes() == b"a" * (20 * k)


def test_repeated_creation_changes_nothing(tmp_path):
    storage = make_storage(tmp_path)
    upload = storage.create("u/x", length=16 * SMALL, metadata=None)
    write(upload, 0, bytes(8 * SMALL))
    assert storage.create("u/x", length=30 * SMALL, metadata=None) is upload
    assert (upload.length, upload.read_offset(0.0)) == (16 * SMALL, 8 * SMALL)


def test_length_of_zero_reads_back_as_deferred(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=0, metadata=None)
    assert (upload.length, upload.find_file()) == (None, None)


def test_deferred_upload_forgets_short_bodies(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=None, metadata=None)
    assert write(upload, 0, bytes(10)) == 10
    assert upload.read_offset(0.0) == 0
    assert write(upload, 0, bytes(8 * SMALL)) == 8 * SMALL
    assert upload.read_offset(0.0) == 8 * SMALL + 10


def test_length_set_before_first_patch(tmp_path):
    upload = make_storage(tmp_path).create("u/x", length=None, metadata=None)
    upload.length = 10
    assert write(upload, 0, b"helloworld") == 10
    assert upload.find_file().read_bytes() == b"helloworld"


def test_parts_of_all_uploads_share_the_rate(tmp_path):
    storage = make_storage(tmp_path, rate=8 * SMALL)
    for name, stored_at in (("u/x", 1.0), ("u/y", 2.0)):
        upload = storage.create(name, length=8 * SMALL, metadata=None)
        writer = upload.open(0, 0.0)
        writer.write(bytes(8 * SMALL), 0.0)
        assert writer.flush(0.0) == stored_at
        writer.abort(0.0)


def test_termination_works_once_before_completion(tmp_path):
    storage = make_storage(tmp_path)
    storage.create("u/open", length=9, metadata=None)
    storage.terminate("u/open")
    assert storage.find("u/open") is None
    with pytest.raises(TusError) as caught:
        storage.terminate("u/open")
    assert (caught.value.status, caught.value.text) == (500, NO_SUCH_KEY)
    done = storage.create("u/done", length=5, metadata=None)
    write(done, 0, b"hello")
    with pytest.raises(TusError) as caught:
        storage.terminate("u/done")
    assert caught.value.text == NO_SUCH_UPLOAD
    assert storage.find("u/done") is done


@pytest.mark.parametrize(
    ("length", "size"),
    [
        (5, 5),
        (8 * MIB, 8 * MIB),
        (8 * MIB + 1, 8 * MIB),
        (10_000 * 8 * MIB, 8 * MIB),
        (10_000 * 8 * MIB + 1, 8 * MIB + 1),
        (None, 549_755_814),
    ],
)
def test_part_size_grows_with_file(length, size):
    assert calculate_part_size(length, 8 * MIB) == size
