"""Records, headers and cells of a CSV file."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.ingest.csv_rows import (
    CsvReader,
    detect_delimiter,
    read_cells,
    read_csv,
    read_header,
)
from livepeer_async.ingest.lines import DECODING_ERRORS, MAX_LINE, read_lines
from livepeer_async.ingest.rows import RowError


def lines_of(content):
    file = io.TextIOWrapper(io.BytesIO(content), "utf-8", errors=DECODING_ERRORS, newline="\n")
    return read_lines(file)


def records(content, delimiter=","):
    return [
        (line, str(cells) if isinstance(cells, RowError) else cells)
        for line, cells, _ in CsvReader(lines_of(content), delimiter)
    ]


CELL = st.text(st.sampled_from('ab";,\t\n é'), max_size=6)
TABLES = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=5)


@given(TABLES, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
def test_csv_round_trip(table, delimiter, ending):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(
        table
    )
    assert [cells for _, cells in records(file.getvalue().encode(), delimiter)] == table


@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"\r", b"a", b"\xe9", b"\0"])).map(b"".join))
def test_any_bytes_are_records_or_errors(content):
    read = records(content)
    lines = [line for line, _ in read]
    assert lines == sorted(set(lines))
    assert all(1 <= line <= content.count(b"\n") + 1 for line in lines)


def test_record_has_the_number_of_its_first_line():
    assert records(b'a,"x\ny"\n\nb,c\r\n') == [(1, ["a", "x\ny"]), (4, ["b", "c"])]


def test_undecodable_line_only_affects_its_record():
    assert records(b'a\n"b\n\xe9\n"\nc\n') == [
        (1, ["a"]),
        (2, "line 3: the line isn't UTF-8: byte 0xe9 at character 1; save the file as UTF-8"),
        (5, ["c"]),
    ]


def test_carriage_return_line_ends_are_reported():
    ((number, message),) = records(b"a,b\rc,d\r")
    assert number == 1
    assert message == "a carriage return stands alone; save the file with line feeds"


def test_too_long_line_only_affects_its_record():
    content = b"a\n" + b"x" * (MAX_LINE + 1) + b"\nb\n"
    assert records(content) == [(1, ["a"]), (2, "the line is longer than 1 MiB"), (3, ["b"])]


def test_too_long_cell_only_affects_its_record():
    (_, found), last = records(b"x" * 200_000 + b"\nb\n")
    assert found == "a cell is longer than 131072 characters"
    assert last == (2, ["b"])


def test_unclosed_quote_names_the_hidden_lines():
    assert records(b'a\nb,"c\nd\ne\n') == [
        (1, ["a"]),
        (2, "lines 2 to 4: a quoted cell is never closed, which hides all rows after it"),
    ]


def test_unclosed_quote_ends_at_the_cell_limit():
    read = records(b'"a\n' + b"bcdefgh\n" * 20_000)
    assert read[0][0] == 1
    assert read[0][1].startswith("lines 1 to 16385: a cell is longer than 131072 characters, or")
    assert read[1] == (16386, ["bcdefgh"])


def test_row_of_many_lines_is_bounded():
    before = csv.field_size_limit(10 * MAX_LINE)
    try:
        read = records(b'"a\n' + b"bcdefgh\n" * 160_000)
    finally:
        csv.field_size_limit(before)
    assert "the row is longer than 1 MiB" in read[0][1]
    assert read[-1] == (160_001, ["bcdefgh"])


def test_text_after_a_quoted_cell_is_an_error():
    assert records(b'"a"b,c\nd\n') == [(1, "',' expected after '\"'"), (2, ["d"])]


def rows_of(content):
    read = read_csv(lines_of(content))
    return [(line, str(it) if isinstance(it, RowError) else it, row) for line, it, row in read]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "named",
    [b"sep=;", b"SEP=;", b'"sep=;"', b"sep=;;;", b'"sep=;",,', b"Sep=; ", b"sep="],
)
def test_line_for_the_delimiter_is_no_row(named, end):
    content = end.join([named, b"path;name", b"a.mp4;A, B", b""])
    assert rows_of(content) == [(3, {"path": "a.mp4", "name": "A, B"}, 2)]


@pytest.mark.parametrize(
    ("named", "delimiter"),
    [
        ("sep=,", ","),
        ("sep=\t", "\t"),
        ("sep=\\t", "\t"),
        ("sep=|", "|"),
        ("sep=;", ","),
        ("sep= ", ","),
    ],
)
def test_named_delimiter_is_used_unless_the_header_has_another(named, delimiter):
    content = f"{named}\npath{delimiter}key\na{delimiter}b\n"
    assert rows_of(content.encode()) == [(3, {"path": "a", "key": "b"}, 2)]


def test_named_delimiter_of_a_single_column_is_used():
    assert rows_of(b"sep=;\npath\na.mp4\n") == [(3, {"path": "a.mp4"}, 2)]


@pytest.mark.parametrize("blank", ["", ";;", " ; ;", '"";"";""', "\xa0;\xa0;", "\x1a", "\ufeff;;"])
def test_blank_rows_are_skipped_and_counted(blank):
    content = f"{blank}\npath;name;\n{blank}\na.mp4;A;\n{blank}\n;;\n"
    assert rows_of(content.encode()) == [(4, {"path": "a.mp4", "name": "A"}, 4)]


@pytest.mark.parametrize("content", [b"", b"sep=;", b"sep=;\n", b";;\n", b"\x1a", b"\n\n"])
def test_table_without_a_header_has_no_rows(content):
    assert rows_of(content) == []


def test_cells_of_unnamed_columns_may_be_blank():
    content = b"path,,name,,\na.mp4,,A\nb.mp4, ,B,,\nc.mp4,,C,,,,\nd.mp4\ne.mp4,,E,x\n"
    *good, bad = rows_of(content)
    named = [{"path": "a.mp4", "name": "A"}, {"path": "b.mp4", "name": "B"}]
    assert [fields for _, fields, _ in good] == [
        *named,
        {"path": "c.mp4", "name": "C"},
        {"path": "d.mp4"},
    ]
    assert bad == (6, "cell 4 isn't blank, but column 4 has no name", 6)


def test_rows_after_a_cell_of_two_lines_have_two_numbers():
    content = b'path,name\na.mp4,"A\nB"\nb.mp4,"{\n'
    assert [(line, row) for line, _, row in rows_of(content)] == [(2, 2), (4, 3)]


def test_end_mark_after_the_last_row_is_ignored():
    assert rows_of(b"path\na.mp4\x1a") == [(2, {"path": "a.mp4"}, 2)]


def test_bad_header_of_a_named_delimiter_has_its_row():
    ((line, message, row),) = rows_of(b"sep=;\nkey;name\na;b\n")
    assert (line, row) == (2, 1)
    assert "none of the columns" in message


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("path,key", ","),
        ("path;key;playbackPolicy", ";"),
        ("path\tkey", "\t"),
        ("path", ","),
        ('"path";"key"', ";"),
        ("nothing;known", ";"),
        ("Path;Creator ID", ";"),
        ('"broken', ","),
    ],
)
def test_delimiter_is_detected_from_the_header(header, delimiter):
    assert detect_delimiter(header) == delimiter


def test_header_names_the_fields():
    header = ["path ", "key", "static_mp4", "playbackPolicy"]
    assert read_header(header) == ["path", "key", "staticMp4", "playbackPolicy"]


def test_header_ignores_case_spaces_and_underscores():
    header = ["Path", "NAME", "Creator ID", "playbackpolicy", "Static_MP4"]
    fields = ["path", "name", "creatorId", "playbackPolicy", "staticMp4"]
    assert read_header(header) == fields


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["path", "playbackPolcy"], "unknown column 'playbackPolcy'; did you mean playbackPolicy"),
        (["path", "ky"], "did you mean key"),
        (["path", "path"], "the column path appears twice"),
        (["path", "staticMp4", "static_mp4"], "static_mp4 appears twice"),
        (["key"], "none of the columns path, url and source"),
        ([], "none of the columns"),
        (["videos/a.mp4"], "found 'videos/a.mp4' instead of a header such as `path,name`"),
        (["File name", "name"], "unknown column 'File name'; did you mean path"),
        (["https://h/a.mp4?sig=s3cret"], "unknown column 'https://h/a.mp4'; known are"),
        (["path", "Title"], r"unknown column 'Title'; did you mean name\?"),
        (
            ["file", "nmae", "zzz", "name", "Name"],
            r"columns 'file' \(.* path\?\), 'nmae' \(.* name\?\), 'zzz'; .* Name appears twice",
        ),
        (
            ["title", "creator"],
            r"'title' \(did .* name\?\), 'creator' \(did .* creatorId\?\); the header has none of",
        ),
        (["x" * 9 + str(it) for it in range(12)], "'xxxxxxxxx9' and 2 more; known are"),
    ],
)
def test_bad_header_has_a_message(names, message):
    with pytest.raises(RowError, match=message):
        read_header(names)


CELLS = {
    "path": (" a.mp4", " a.mp4"),
    "key": ("17", "17"),
    "name": ("true", "true"),
    "staticMp4": ("TRUE", True),
    "c2pa": ("false", False),
    "creatorId": ("0x12", "0x12"),
    "playbackPolicy": ('{"type": "jwt"}', {"type": "jwt"}),
    "profiles": ('[{"bitrate": 1}]', [{"bitrate": 1}]),
    "targetSegmentSizeSecs": ("2,5", 2.5),
}


@pytest.mark.parametrize("column", CELLS)
def test_cell_is_text_or_json(column):
    cell, value = CELLS[column]
    assert read_cells([column], [cell]) == {column: value}


@pytest.mark.parametrize(
    ("cell", "value"), [("WAHR", True), ("FALSCH", False), ("Vrai", True), ("FAŁSZ", False)]
)
def test_boolean_may_be_in_the_language_of_a_spreadsheet(cell, value):
    assert read_cells(["staticMp4"], [cell]) == {"staticMp4": value}


@pytest.mark.parametrize("cell", ["jwt", "JWT", " jwt\u200b"])
def test_playback_policy_may_be_its_type(cell):
    assert read_cells(["playbackPolicy"], [cell]) == {"playbackPolicy": {"type": "jwt"}}


def test_creator_id_may_be_an_object():
    assert read_cells(["creatorId"], ['{"value": "u"}']) == {"creatorId": {"value": "u"}}


def test_empty_cell_is_an_absent_field():
    assert read_cells(["path", "key", "c2pa"], ["a", "", ""]) == {"path": "a"}


@pytest.mark.parametrize("name", ["Path ", "\xa0PATH", "\ufeffpath", "pa_th"])
def test_header_ignores_what_cannot_be_seen(name):
    assert read_header([name, ""]) == ["path", ""]


@pytest.mark.parametrize("cells", [[""], [" "], ["", "", "", ""]])
def test_blank_row_is_skipped(cells):
    assert read_cells(["path", "key"], cells) is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["a", "{}", "x"], "the row has 3 cells; the header has 2"),
        (["a", "s3cret"], r'encryption isn\'t JSON; wanted a value such as {"encryptedKey"'),
        (["a", "[" * 100_000], "encryption isn't JSON"),
    ],
)
def test_bad_row_has_a_message(cells, message):
    with pytest.raises(RowError, match=message) as caught:
        read_cells(["path", "encryption"], cells)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "title",
    ["Table 1", "Table 1;;", '"Table 1"', "\ufeffTable 1", "Videos, 2026", "sep=;\nTable 1"],
)
@pytest.mark.parametrize("gap", ["", "\n", ";;\n;;\n"])
def test_title_above_the_header_is_no_row(title, gap):
    ((_, fields, row),) = rows_of(f"{title}\n{gap}path;name\na.mp4;A, B\n".encode())
    assert fields == {"path": "a.mp4", "name": "A, B"}
    assert row == 3 + gap.count("\n")


@pytest.mark.parametrize("content", [b"Videos\na.mp4\n", b"Videos\n", b"Videos,2026\npath,name\n"])
def test_other_lines_without_a_header_are_reported(content):
    ((number, message, _),) = rows_of(content)
    assert number == 1
    assert re.match("unknown columns? 'Videos'", message)


def test_blank_lines_below_the_header_count_as_rows():
    assert rows_of(b"path\n\n\n" + b"\n" * 20 + b"a.mp4\n") == [(24, {"path": "a.mp4"}, 24)]


@pytest.mark.parametrize("row", ["a, b.mp4", '"a, b.mp4"', "a, b.mp4,", "a, b.mp4,,"])
def test_path_alone_may_contain_the_delimiter(row):
    assert rows_of(f"path\n{row}\n".encode()) == [(2, {"path": "a, b.mp4"}, 2)]


@pytest.mark.parametrize("row", ["a.mp4", "a.mp4,", "a.mp4,,"])
def test_blank_cells_beside_a_path_alone_are_ignored(row):
    assert rows_of(f"path\n{row}\n".encode()) == [(2, {"path": "a.mp4"}, 2)]
