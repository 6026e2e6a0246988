"""The number of samples that an MP4 file declares."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.probing.sample_tables import (
    MAX_BOXES,
    MAX_DEPTH,
    MAX_FRAGMENTS,
    UncountableError,
    count_samples,
    is_mp4,
)
from support.media import make_media, with_samples


def box(kind, *parts, size=None):
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content) if size is None else size, kind) + content


def table(kind, *numbers):
    return box(kind, struct.pack(f">{1 + len(numbers)}I", 0, *numbers))


def handler(kind):
    return box(b"hdlr", bytes(8), kind, bytes(12))


def track(*tables, kind=b"vide"):
    parts = box(b"minf", box(b"stbl", *tables))
    return box(b"trak", box(b"mdia", handler(kind), parts))


def count(*boxes):
    media = b"".join(boxes)
    return count_samples(lambda position, size: media[position : position + size], len(media))[0]


def test_real_files_have_their_number_of_samples():
    plain = make_media("mp4", "libx264", frames=3)
    assert is_mp4(plain[:8])
    assert count(plain) == 3
    assert count(with_samples(plain, 50_000_000)) == 50_000_000


def test_other_files_are_no_mp4():
    assert not is_mp4(make_media("matroska", "libx264")[:8])
    assert not is_mp4(b"")


def test_samples_of_all_tracks_are_added():
    assert count(box(b"moov", track(table(b"stsz", 0, 5)), track(table(b"stz2", 8, 6)))) == 11


def test_samples_of_fragments_are_added():
    fragment = box(b"moof", box(b"traf", table(b"trun", 7)))
    assert count(fragment, fragment) == 14


def test_only_the_first_fragments_are_counted():
    header = box(b"moov", track(table(b"stsz", 0, 0)))
    fragment = box(b"moof", box(b"traf", table(b"trun", 7)))
    media = header + fragment * MAX_FRAGMENTS + box(b"moof") * 10
    counted = count_samples(lambda position, size: media[position : position + size], len(media))
    assert counted == (7 * MAX_FRAGMENTS, len(header) + len(fragment) * MAX_FRAGMENTS)
    # A header may follow.
    assert count(fragment * (MAX_FRAGMENTS + 1), header) == 7 * (MAX_FRAGMENTS + 1)


def test_tables_outside_of_a_track_count():
    assert count(box(b"moov", table(b"stsz", 1, 9))) == 9


# Hours of uncompressed sound have hundreds of millions of samples, which FFmpeg doesn't list.
LISTED = {
    "sound": (b"soun", (table(b"stts", 1, 99, 1),), 0),
    "sound with other durations": (b"soun", (table(b"stts", 1, 99, 2),), 99),
    "sound with two durations": (b"soun", (table(b"stts", 2, 50, 1, 49, 2),), 99),
    "sound without durations": (b"soun", (), 99),
    "sound with two tables": (b"soun", (table(b"stts", 1, 99, 1), table(b"stts", 1, 99, 2)), 99),
    "pictures": (b"vide", (table(b"stts", 1, 99, 1),), 99),
}


@pytest.mark.parametrize("name", LISTED)
def test_only_uncompressed_sound_isn_t_listed(name):
    kind, tables, wanted = LISTED[name]
    assert count(box(b"moov", track(*tables, table(b"stsz", 4, 99), kind=kind))) == wanted


def test_long_and_open_boxes_are_read():
    tables = track(table(b"stsz", 0, 4))
    long = struct.pack(">I4sQ", 1, b"moov", 16 + len(tables)) + tables
    assert count(long) == 4
    assert count(box(b"moov", tables, size=0)) == 4


@pytest.mark.parametrize("size", [1, 4, 7])
def test_box_shorter_than_its_header_ends_the_walk(size):
    assert count(box(b"free", size=size), box(b"moov", track(table(b"stsz", 0, 4)))) == 0


def test_file_that_got_shorter_ends_the_walk():
    assert count_samples(lambda position, size: b"", 100) == (0, 100)


def test_compressed_header_can_t_be_counted():
    with pytest.raises(UncountableError):
        count(box(b"moov", box(b"cmov", bytes(20))))


def test_too_many_boxes_can_t_be_counted():
    with pytest.raises(UncountableError):
        count(box(b"free") * (MAX_BOXES + 1))


def test_too_deep_boxes_can_t_be_counted():
    nested = b""
    for _ in range(MAX_DEPTH + 1):
        nested = box(b"moov", nested)
    with pytest.raises(UncountableError):
        count(nested)


@given(st.lists(st.sampled_from([b"moov", b"trak", b"stsz", b"stts", b"\0\0\0\x10", b"\0\0\0\0"])))
def test_any_bytes_end_the_walk(words):
    with suppress(UncountableError):
        assert count(*words) >= 0
