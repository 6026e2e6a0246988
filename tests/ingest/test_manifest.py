"""Files of JSON lines and CSV as manifests."""

import os
import tracemalloc

import msgspec
import pytest

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest import BadRow, Row, check_rows, open_manifest
from livepeer_async.models import NewAsset, PlaybackPolicy
from support.constants import MIB


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "v").mkdir(parents=True)
    (root / "a.mp4").write_bytes(b"a")
    (root / "v" / "b.mp4").write_bytes(b"bb")
    (tmp_path / "out.mp4").write_bytes(b"out")
    return root


def read(path, content, **options):
    path.write_bytes(content)
    return list(open_manifest(path, **options))


def sources(rows, folder):
    return [os.path.relpath(row.source, folder) for row in rows]


def bad(rows, path):
    """Return the lines and messages of the bad rows."""
    bad_rows = [row for row in rows if isinstance(row, BadRow)]
    return [(int(row.location.removeprefix(f"{path}:")), row.message) for row in bad_rows]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json-lines", ".JSONL"])
def test_json_lines_are_read(folder, suffix):
    path = folder / f"m{suffix}"
    rows = read(path, b'{"path": "a.mp4"}\n\n{"url": "https://h/x.mp4", "key": "x"}\r\n')
    assert rows == [
        Row(
            source=str(folder / "a.mp4"),
            is_url=False,
            key=str(folder / "a.mp4"),
            manifest=str(path),
            line=1,
        ),
        Row(
            source="https://h/x.mp4",
            is_url=True,
            key="x",
            new_asset=NewAsset("x.mp4"),
            manifest=str(path),
            line=3,
        ),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".CSV"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_are_read(folder, suffix, delimiter):
    table = '\nsource,key,playbackPolicy\na.mp4,1,"{""type"": ""jwt""}"\n,,\nv/b.mp4,,\n'
    path = folder / f"m{suffix}"
    first, second = read(path, table.replace(",", delimiter).encode())
    assert first == Row(
        source=str(folder / "a.mp4"),
        is_url=False,
        key="1",
        new_asset=NewAsset("a.mp4", playback_policy=PlaybackPolicy(type="jwt")),
        manifest=str(path),
        line=3,
    )
    assert (second.source, second.line) == (str(folder / "v" / "b.mp4"), 5)
    assert second.new_asset is None


def test_manifest_can_be_iterated_twice(folder):
    path = folder / "m.jsonl"
    path.write_bytes(b'{"path": "a.mp4"}')
    manifest = open_manifest(path)
    assert list(manifest) == list(manifest)


def test_relative_manifest_has_absolute_keys(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / "m.csv").write_bytes(b"path\nv/b.mp4\n")
    (row,) = open_manifest("in/m.csv")
    assert (row.source, row.key) == ("in/v/b.mp4", str(folder / "v" / "b.mp4"))
    assert row.location == "in/m.csv:2"
    monkeypatch.chdir(folder)
    (row,) = open_manifest("m.csv")
    assert (row.source, row.key) == ("v/b.mp4", str(folder / "v" / "b.mp4"))


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_are_equivalent(folder, encoding, ending):
    objects = ending.join(['{"path": "a.mp4", "name": "é🎬"}', "", '{"path": "v/b.mp4"}', ""])
    table = ending.join(["path,name", "a.mp4,é🎬", "", "v/b.mp4,"])
    for path, text in ((folder / "m.jsonl", objects), (folder / "m.csv", table)):
        rows = read(path, text.encode(encoding))
        assert sources(rows, folder) == ["a.mp4", "v/b.mp4"]
        assert rows[0].new_asset == NewAsset("é🎬")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_message_has_the_row_of_the_spreadsheet(folder, encoding, ending):
    path = folder / "m.csv"
    lines = ["sep=;", "Path ;Name;", 'a.mp4;"One', 'two";', ";;", "no.mp4;B", "v/b.mp4;{;x", ""]
    rows = list(check_rows(read(path, ending.join(lines).encode(encoding))))
    assert rows[0].new_asset == NewAsset("One\ntwo")
    (missing, first), (nameless, second) = bad(rows, path)
    assert (missing, nameless) == (6, 7)
    assert first.endswith("No such file or directory (row 4 in a spreadsheet)")
    assert second.endswith("column 3 has no name (row 5 in a spreadsheet)")


def test_repeated_key_has_the_row_of_the_spreadsheet(folder):
    path = folder / "m.csv"
    rows = read(path, b"sep=,\npath,key\na.mp4,a\nv/b.mp4,a\n")
    ((line, message),) = bad(check_rows(rows), path)
    assert (line, message[-24:]) == (4, "(row 3 in a spreadsheet)")


def test_bad_lines_do_not_end_json_lines(folder):
    path = folder / "m.jsonl"
    long = b'{"path": "' + b"x" * MIB + b'"}\n'
    content = b'{"path": "a.mp4"}\n{"path": "\xe9.mp4"}\n' + long + b'nonsense\n{"path":"v/b.mp4"}'
    rows = read(path, content)
    assert [(number, message.split(":")[0]) for number, message in bad(rows, path)] == [
        (2, "the line isn't UTF-8"),
        (3, "the line is longer than 1 MiB"),
        (4, "the line isn't a JSON object"),
    ]
    assert sources([row for row in rows if isinstance(row, Row)], folder) == ["a.mp4", "v/b.mp4"]


def test_bad_rows_do_not_end_a_table(folder):
    path = folder / "m.csv"
    content = b'path,c2pa\na.mp4,yes\nv/b.mp4\n"\n\xe9",\nv/b.mp4,true\nx,"'
    rows = read(path, content)
    assert [(number, message[:22]) for number, message in bad(rows, path)] == [
        (2, "c2pa isn't JSON; wante"),
        (4, "line 5: the line isn't"),
        (7, "a quoted cell is never"),
    ]


@pytest.mark.parametrize(
    "header", [b"path,playbackPolcy", b"k,v", b"\xe9", b'"path', b"x" * 2 * MIB]
)
def test_bad_header_is_reported_once(folder, header):
    path = folder / "m.csv"
    ((number, message),) = bad(read(path, b"\n" + header + b"\na.mp4,{}\n"), path)
    assert number == 2
    assert len(message) < 300


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_empty_manifest_has_no_rows(folder, name, content):
    assert read(folder / name, content) == []


def test_paths_outside_the_folder_are_bad_rows(folder):
    (folder / "link.mp4").symlink_to("../out.mp4")
    (folder / "linked").symlink_to("..")
    (folder / "inside.mp4").symlink_to("v/b.mp4")
    (folder / "gone.mp4").symlink_to("../gone.mp4")
    path = folder / "m.jsonl"
    outside = ["../out.mp4", str(folder.parent / "out.mp4"), "link.mp4", "linked/out.mp4"]
    outside += ["v/../../out.mp4", "gone.mp4", "..", "/", "../in-not.mp4"]
    inside = ["a.mp4", str(folder / "a.mp4"), "v/../a.mp4", "inside.mp4", "linked/in/a.mp4", "."]
    content = b"\n".join(msgspec.json.encode({"path": name}) for name in outside + inside)
    rows = read(path, content)
    messages = bad(rows, path)
    assert [number for number, _ in messages] == list(range(1, len(outside) + 1))
    assert messages[0][1] == (
        f"'../out.mp4' is outside of the folder '{folder}'; "
        "wanted a path inside of it, or --allow-outside"
    )
    assert (
        f"'link.mp4' is a link to '{folder.parent / 'out.mp4'}', which is outside" in messages[2][1]
    )
    assert len(rows) == len(outside) + len(inside)
    assert bad(read(path, content, allow_outside=True), path) == []


UNUSABLE = {
    "missing path": ("none", "none doesn't exist; a manifest is JSON lines"),
    "missing file": ("none.csv", "none.csv can't be read: No such file"),
    "glob of manifests": ("*.csv", "can't be read: No such file"),
    "video": ("a.mp4", "a.mp4 isn't a manifest; a manifest is"),
    "spreadsheet": (
        "list.xlsx",
        "list.xlsx isn't a manifest, and .* must be saved as CSV; a manif",
    ),
    "renamed spreadsheet": (
        "list.csv",
        "list.csv is a spreadsheet or an archive, .* save it as CSV",
    ),
    "pipe": ("pipe.jsonl", "isn't a regular file"),
    "UTF-32": ("wide.jsonl", "wanted UTF-8, or UTF-16 with a byte order mark"),
    "broken link": ("gone.jsonl", "can't be read: No such file"),
    "unreadable file": ("unreadable.jsonl", "can't be read: Input/output error"),
    "circular link": ("loop.csv", "can't be read: Too many levels"),
}


@pytest.mark.parametrize("row", UNUSABLE)
def test_unusable_manifest_is_rejected(folder, row):
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "wide.jsonl").write_bytes("{}".encode("utf-32"))
    (folder / "list.xlsx").write_bytes(b"PK\x03\x04")
    (folder / "list.csv").write_bytes(b"PK\x03\x04")
    (folder / "gone.jsonl").symlink_to("nowhere")
    (folder / "unreadable.jsonl").symlink_to("/proc/self/mem")
    (folder / "loop.csv").symlink_to("loop.csv")
    name, message = UNUSABLE[row]
    with pytest.raises(ConfigurationError, match=message):
        open_manifest(folder / name)


@pytest.mark.parametrize("location", ["", "a\0.csv"])
def test_empty_and_nul_locations_are_rejected(location):
    with pytest.raises(ConfigurationError, match="isn't a path or a glob"):
        open_manifest(location)


def test_deleted_manifest_is_an_error(folder):
    path = folder / "m.csv"
    path.write_bytes(b"path\na.mp4\n")
    manifest = open_manifest(path)
    path.unlink()
    with pytest.raises(ConfigurationError, match="can't be read"):
        list(manifest)


def peak_of(path):
    tracemalloc.start()
    try:
        count = sum(1 for _ in open_manifest(path))
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_line_of_64_mib_is_never_held(folder, suffix):
    path = folder / f"m{suffix}"
    with path.open("wb") as file:
        file.write(b"path\n" if suffix == ".csv" else b"")
        for _ in range(64):
            file.write(b"x" * MIB)
    count, peak = peak_of(path)
    assert count == 1
    assert peak < 6 * MIB


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_memory_does_not_grow_with_the_rows(folder, suffix):
    path = folder / f"m{suffix}"
    row = b"a.mp4\n" if suffix == ".csv" else b'{"path": "a.mp4"}\n'
    path.write_bytes((b"path\n" if suffix == ".csv" else b"") + row * 10_000)
    count, peak = peak_of(path)
    assert count == 10_000
    assert peak < 3 * MIB


@pytest.mark.parametrize("change", ["edit", "replace", "delete"])
def test_snapshot_ignores_edits(folder, change):
    path = folder / "m.csv"
    path.write_bytes(b"path\na.mp4\n")
    manifest = open_manifest(path)
    with manifest.snapshot():
        if change == "edit":
            path.write_bytes(b"path\nv/b.mp4\n")
        if change == "replace":
            (folder / "other").write_bytes(b"path\nv/b.mp4\n")
            (folder / "other").replace(path)
        if change == "delete":
            path.unlink()
        for _ in range(2):
            assert [os.path.basename(row.source) for row in manifest] == ["a.mp4"]
    if change != "delete":
        assert [os.path.basename(row.source) for row in manifest] == ["b.mp4"]


def test_snapshot_needs_a_temporary_folder(folder, monkeypatch):
    (folder / "m.csv").write_bytes(b"path\na.mp4\n")

    def nowhere(**_):
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("livepeer_async.ingest.manifest.TemporaryFile", nowhere)
    snapshot = open_manifest(folder / "m.csv").snapshot()
    with pytest.raises(ConfigurationError, match="set TMPDIR"), snapshot:
        pass
