"""Bytes to lines: any bytes, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.lines import (
    MAX_LINE,
    LineSplitter,
    as_text,
    as_utf8,
    find_encoding,
    split_lines,
)
from livepeer_async.ingest.rows import RowError

BYTES = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bcd", b"\xff", b"\0", b"\xc3\xa9"]))
LIMIT = 5


def lines_of(content):
    """What a splitter should give, by way of the whole content."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [(n, line if len(line) <= LIMIT else None) for n, line in enumerate(lines, 1)]


@given(BYTES.map(b"".join) | st.binary(), st.lists(st.integers(0, 12)))
def test_lines_are_the_same_however_the_bytes_are_cut(content, sizes):
    pieces, rest = [], content
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    assert list(split_lines([*pieces, rest], max_length=LIMIT)) == lines_of(content)


@given(st.lists(st.integers(0, 9)))
def test_no_more_than_a_line_and_a_piece_is_held(sizes):
    splitter = LineSplitter(LIMIT)
    for size in sizes:
        list(splitter.feed(b"x" * size))
        assert len(splitter._kept) <= LIMIT  # noqa: SLF001 - what is held can't be seen from outside


def test_a_line_of_1_mib_is_read_and_a_longer_one_is_not():
    pieces = [b"x" * (MAX_LINE // 4)] * 4 + [b"\nab\n"] + [b"y" * (MAX_LINE // 2)] * 3 + [b"\nc"]
    read = [(n, line and len(line)) for n, line in split_lines(pieces)]
    assert read == [(1, MAX_LINE), (2, 2), (3, None), (4, 1)]


ENCODED = {
    "UTF-8": "utf-8",
    "UTF-8 with a BOM": "utf-8-sig",
    "UTF-16 with a BOM": "utf-16",
}


@pytest.mark.parametrize("row", ENCODED)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_text_in_a_known_encoding_is_read(row, text):
    content = text.encode(ENCODED[row])
    encoding, mark = find_encoding(content[:4], name="m.csv")
    pieces = [content[mark:][i : i + 3] for i in range(0, len(content), 3)]
    assert b"".join(as_utf8(pieces, encoding)).decode() == text


def test_big_endian_utf_16_is_read():
    content = "\ufeffé\n".encode("utf-16-be")
    assert find_encoding(content[:4], name="m.csv") == ("utf-16-be", 2)
    assert b"".join(as_utf8([content[2:]], "utf-16-be")).decode() == "é\n"


@pytest.mark.parametrize("encoding", ["utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_text_that_could_be_anything_is_refused_as_a_whole(encoding):
    with pytest.raises(ConfigurationError, match=r"m\.csv begins with NUL bytes; wanted UTF-8"):
        find_encoding("path\n".encode(encoding)[:4], name="m.csv")


@pytest.mark.parametrize("broken", [b"a\0\x00\xd8b\0", b"a\0\x00\xdc", b"a\0\x00\xd8", b"a\0b"])
def test_half_a_character_of_utf_16_spoils_its_line_alone(broken):
    content = "one\n".encode("utf-16-le") + broken
    (_, one), (_, two) = split_lines(as_utf8([content], "utf-16-le"))
    assert as_text(one) == "one"
    with pytest.raises(RowError, match="isn't UTF-8"):
        as_text(two)


def test_a_line_of_another_encoding_is_told_with_its_byte():
    with pytest.raises(RowError, match="the line isn't UTF-8: byte 0xe9 at place 4"):
        as_text("café".encode("latin-1"))


def test_a_line_that_is_too_long_is_told():
    with pytest.raises(RowError, match="longer than 1 MiB"):
        as_text(None)
