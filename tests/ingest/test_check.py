"""The check of rows before they run."""

import json
import os

import pytest
from msgspec import structs

from livepeer_async import NewAsset
from livepeer_async.ingest import BadRow, RepeatedRow, Row, check_rows, open_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"a")
    (tmp_path / "b.mp4").write_bytes(b"bb")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(30 * 1024**3 + 1)
    return tmp_path


def row(source, key=None, line=1):
    return Row(
        source=str(source),
        is_url="://" in str(source),
        key=key or str(source),
        manifest="m.csv",
        line=line,
    )


def test_good_rows_get_their_lengths(folder):
    url = row("https://h/x.mp4")
    good = list(check_rows([row(folder / "a.mp4"), row(folder / "b.mp4"), url]))
    assert [found.length for found in good] == [1, 2, None]
    assert good[2] is url
    assert list(check_rows(good)) == good


def test_bad_rows_pass_through():
    bad = BadRow("m.csv:1", "bad")
    assert list(check_rows([bad])) == [bad]


UNUSABLE = {
    "missing": ("none.mp4", "can't be read: No such file or directory"),
    "directory": ("folder.mp4", "is a directory; wanted a video file"),
    "pipe": ("pipe.mp4", "is not a regular file; wanted a video file"),
    "empty": ("empty.mp4", "is empty; wanted a video file"),
    "circular link": ("loop.mp4", "can't be read: Too many levels of symbolic links"),
    "name too long": ("x" * 5000, "can't be read: File name too long"),
    "NUL byte": ("a\0b.mp4", "can't be read: embedded null byte"),
    "beyond 30 GiB": ("huge.mp4", "has 32212254721 bytes; the server accepts 32212254720"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_file_is_a_bad_row(folder, name):
    file, reason = UNUSABLE[name]
    (bad,) = check_rows([row(folder / file, line=7)])
    # The key tells whether an earlier run finished the row of a missing file.
    key = str(folder / file) if name == "missing" else None
    assert bad == BadRow("m.csv:7", f"{str(folder / file)!r} {reason}", key)


def test_max_length_is_configurable(folder):
    (bad,) = check_rows([row(folder / "b.mp4")], max_length=1)
    assert bad.message.endswith("has 2 bytes; the server accepts 1")


def test_unreadable_file_is_a_bad_row(folder, monkeypatch):
    # Tests often run as root, which can read every file.
    monkeypatch.setattr(os, "access", lambda *_: False)
    (folder / "a.mp4").chmod(0o600)
    (bad,) = check_rows([row(folder / "a.mp4")])
    assert bad.message.endswith("can't be read: Permission denied")


def test_repeated_key_names_its_first_line(folder):
    a, b = folder / "a.mp4", folder / "b.mp4"
    rows = [row(a, "k", 2), row(b, "l", 3), row(b, "k", 4), row(a, "k", 9)]
    good = list(check_rows(rows))
    message = "the key 'k' is already used in line 2; wanted another key"
    assert good[2:] == [BadRow("m.csv:4", message), RepeatedRow("m.csv:9", 2)]


def test_key_of_a_bad_row_counts_as_used(folder):
    rows = check_rows([row(folder / "none.mp4", "k", 2), row(folder / "a.mp4", "k", 3)])
    assert [type(found) for found in rows] == [BadRow, BadRow]


def test_repeated_url_is_shown_without_its_query():
    url = "https://h/x.mp4?sig=s3cret"
    other = structs.replace(row(url, line=2), new_asset=NewAsset("another"))
    _, bad = check_rows([row(url, line=1), other])
    assert bad.message.startswith("the URL https://h/x.mp4 is in line 1 too, with other fields;")


def test_repeated_file_without_a_key_names_its_first_line(folder):
    path = folder / "a.mp4"
    other = structs.replace(row(path, line=3), new_asset=NewAsset("another"))
    _, bad = check_rows([row(path, line=2), other])
    assert bad.message.startswith(f"the file {str(path)!r} is in line 2 too, with other fields;")


def test_repeated_key_of_found_files(folder):
    rows = [*open_manifest(folder / "[ab].mp4"), *open_manifest(folder / "b*")]
    *good, repeated = check_rows(rows)
    assert len(good) == 2
    assert repeated == RepeatedRow(str(folder / "b.mp4"))


def test_row_is_repeated_only_if_all_of_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    lines = [
        {"path": "a.mp4"},
        {"path": "./a.mp4"},
        {"path": str(tmp_path / "a.mp4")},
        {"path": "in/../a.mp4"},
        {"path": "a.mp4", "key": "second"},
        {"path": "a.mp4", "key": "second"},
        {"path": "a.mp4", "name": "other"},
        {"path": "a.mp4", "key": "third", "name": "other"},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = list(check_rows(open_manifest("rows.jsonl")))
    repeated = [Row, *[RepeatedRow] * 3, Row, RepeatedRow, BadRow, Row]
    assert [type(row) for row in found] == repeated
    assert [row.first_line for row in found if isinstance(row, RepeatedRow)] == [1, 1, 1, 5]


def test_undecodable_key_is_accepted(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(b"x")
    (found,) = check_rows(open_manifest(tmp_path))
    assert found.length == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [(" a.mp4", "; its name begins or ends with a space"), ("x\\a.mp4", "; write / for \\")],
)
def test_missing_file_gets_a_hint(folder, name, hint, monkeypatch):
    monkeypatch.chdir(folder)
    (bad,) = check_rows([row(name)])
    assert bad.message.endswith(f"can't be read: No such file or directory{hint}")
