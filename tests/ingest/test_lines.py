"""Lines and JSON objects of a manifest."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.lines import (
    DECODING_ERRORS,
    MAX_LINE,
    check_line,
    detect_encoding,
    parse_object,
    read_json_lines,
    read_lines,
)
from livepeer_async.ingest.rows import RowError

LIMIT = 5


def lines_of(content, **options):
    encoding = detect_encoding(content[:4], name="m.csv")
    file = io.TextIOWrapper(io.BytesIO(content), encoding, errors=DECODING_ERRORS, newline="\n")
    return list(read_lines(file, **options))


ALPHABET = st.sampled_from(["\n", "\r\n", "a", "bcd", "é", "\r"])


@given(st.lists(ALPHABET).map("".join))
def test_lines_are_split_at_line_feeds(text):
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    expected = [(n, line if len(line) <= LIMIT else None) for n, line in enumerate(lines, 1)]
    assert lines_of(text.encode(), max_length=LIMIT) == expected


@given(st.binary())
def test_any_bytes_are_lines_or_an_error(content):
    try:
        lines = lines_of(content)
    except ConfigurationError:
        return
    assert [number for number, _ in lines] == list(range(1, len(lines) + 1))
    for _, text in lines:
        try:
            check_line(text)
        except RowError as error:
            assert "isn't UTF-8" in str(error)  # noqa: PT017 - both outcomes are right


def test_line_of_1_mib_is_read_and_a_longer_one_rejected():
    content = b"\n".join([b"x" * MAX_LINE, b"ab", b"y" * (MAX_LINE + 1), b"c"])
    lines = [(n, text and len(text)) for n, text in lines_of(content)]
    assert lines == [(1, MAX_LINE), (2, 2), (3, None), (4, 1)]


@pytest.mark.parametrize("text", [None, "é" * (MAX_LINE // 2 + 1)])
def test_too_long_line_is_an_error(text):
    with pytest.raises(RowError, match="longer than 1 MiB"):
        check_line(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\n")))
def test_known_encodings_are_read(encoding, text):
    assert lines_of(f"{text}\n".encode(encoding)) == [(1, text)]


def test_big_endian_utf_16_is_read():
    assert lines_of("\ufeffé\n".encode("utf-16-be")) == [(1, "é")]


@pytest.mark.parametrize("encoding", ["utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_ambiguous_encoding_is_rejected(encoding):
    with pytest.raises(ConfigurationError, match=r"m\.csv begins with NUL bytes; wanted UTF-8"):
        detect_encoding("path\n".encode(encoding)[:4], name="m.csv")


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_spreadsheet_is_refused(head):
    with pytest.raises(ConfigurationError, match="is a spreadsheet or an archive, not text"):
        detect_encoding(head, name="m.csv")


@pytest.mark.parametrize("broken", [b"a\0\x00\xd8b\0", b"a\0\x00\xdc", b"a\0\x00\xd8", b"a\0b"])
def test_invalid_utf_16_only_affects_its_line(broken):
    (_, one), (_, two) = lines_of("one\n".encode("utf-16") + broken)
    assert check_line(one) == "one"
    with pytest.raises(RowError, match="isn't UTF-8"):
        check_line(two)


@pytest.mark.parametrize("mark", ["\x1a", "\x1a\x1a"])
def test_end_mark_of_dos_is_ignored(mark):
    assert lines_of(f"one\ntwo{mark}".encode()) == [(1, "one"), (2, "two")]
    assert lines_of(f"one\n{mark}".encode()) == [(1, "one")]


def test_invalid_byte_is_reported_with_its_position():
    ((_, text),) = lines_of("café".encode("latin-1"))
    with pytest.raises(RowError, match="the line isn't UTF-8: byte 0xe9 at character 4; save"):
        check_line(text)


def test_encoding_error_is_not_handled():
    with pytest.raises(UnicodeEncodeError):
        "é".encode("ascii", DECODING_ERRORS)


@pytest.mark.parametrize("blank", ["", " ", "\r", " \t\r"])
def test_blank_line_is_skipped(blank):
    assert parse_object(blank) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "a.mp4"', "isn't a JSON object: Input data was truncated"),
        ('{"path": "a.mp4"} x', "isn't a JSON object: trailing characters"),
        ('["a.mp4"]', "is JSON, but not an object"),
        ('{"path": "\\ud800"}', "isn't a JSON object"),
        ("[" * 100_000, "nested too deep"),
        ('{"path": 1e999}', "isn't a JSON object"),
        ("a.mp4", "isn't a JSON object"),
    ],
)
def test_line_that_is_not_an_object_is_an_error(line, message):
    with pytest.raises(RowError, match=message):
        parse_object(line)


def test_json_lines_are_numbered():
    lines = iter([(1, '{"a": 1}'), (2, ""), (3, None), (4, "x"), (5, "{}")])
    rows = [(n, str(it) if isinstance(it, RowError) else it) for n, it, _ in read_json_lines(lines)]
    assert [number for number, _ in rows] == [1, 3, 4, 5]
    assert (rows[0][1], rows[1][1], rows[3][1]) == ({"a": 1}, "the line is longer than 1 MiB", {})
