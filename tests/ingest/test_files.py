"""Folders and globs as manifests."""

import os
import sys

import pytest

from livepeer_async.ingest import BadRow, Row, open_manifest
from livepeer_async.ingest.files import matches, may_contain_matches, split_glob
from livepeer_async.ingest.rows import is_video


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "videos"
    for name in ("b.mp4", "a/2.MOV", "a/10.mkv", "c/d/e.ts"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"video")
    return root


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "other" / "inner").mkdir(parents=True)
    (tmp_path / "other" / "o.mp4").write_bytes(b"other")
    return tmp_path / "other"


def found(manifest, **options):
    """Return the paths of the rows, and the bad rows."""
    opened = open_manifest(manifest, **options)
    return [row.source if isinstance(row, Row) else row for row in opened]


def below(folder, *names):
    return [str(folder / name) for name in names]


def test_videos_are_sorted_within_each_folder(folder):
    assert found(folder) == below(folder, "b.mp4", "a/10.mkv", "a/2.MOV", "c/d/e.ts")


def test_found_row_has_length_and_key(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    row = next(iter(open_manifest("videos/b*")))
    status = (folder / "b.mp4").stat()
    assert row == Row(
        source="videos/b.mp4",
        is_url=False,
        key=str(folder / "b.mp4"),
        length=5,
        modified_ns=status.st_mtime_ns,
    )
    assert row.location == "videos/b.mp4"


def test_skipped_files_are_counted(folder):
    for name in ("notes.txt", ".hidden.mp4", "a/b.srt"):
        (folder / name).touch()
    os.mkfifo(folder / "pipe.mp4")
    manifest = open_manifest(folder)
    for _ in range(2):
        assert len(list(manifest)) == 4
        assert manifest.skipped == 4


def test_hidden_folders_are_skipped(folder):
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.mp4").write_bytes(b"x")
    assert len(found(folder)) == 4


def test_link_to_a_file_inside_is_a_row(folder):
    (folder / "z.mp4").symlink_to("a/2.MOV")
    assert found(folder)[1] == str(folder / "z.mp4")


def test_links_outside_are_bad_rows(folder, outside):
    (folder / "x.mp4").symlink_to(outside / "o.mp4")
    (folder / "y").symlink_to(outside)
    file, link = [row for row in found(folder) if isinstance(row, BadRow)]
    assert file == BadRow(
        str(folder / "x.mp4"),
        f"'{folder / 'x.mp4'}' is a link to '{outside / 'o.mp4'}', which is outside of the folder "
        f"'{folder}'; wanted a path inside of it, or --allow-outside",
    )
    assert link.location == str(folder / "y")


def test_allow_outside_follows_links(folder, outside):
    (folder / "x.mp4").symlink_to(outside / "o.mp4")
    (folder / "y").symlink_to(outside)
    assert {*below(folder, "x.mp4", "y/o.mp4")} < {*found(folder, allow_outside=True)}


@pytest.mark.parametrize("allow_outside", [True, False])
def test_circular_links_end(folder, allow_outside):
    (folder / "a" / "up").symlink_to("..")
    (folder / "c" / "self").symlink_to("self")
    (folder / "c" / "self.mp4").symlink_to("self.mp4")
    rows = found(folder, allow_outside=allow_outside)
    (bad,) = [row for row in rows if isinstance(row, BadRow)]
    rows.remove(bad)
    assert rows == below(folder, "b.mp4", "a/10.mkv", "a/2.MOV", "c/d/e.ts")
    assert bad.location == str(folder / "c" / "self.mp4")
    assert "Too many levels of symbolic links" in bad.message


def test_circular_links_outside_end(folder, outside):
    (folder / "out").symlink_to(outside)
    (outside / "back").symlink_to(folder)
    (outside / "loop").symlink_to(outside)
    rows = found(folder, allow_outside=True)
    assert rows == below(folder, "b.mp4", "a/10.mkv", "a/2.MOV", "c/d/e.ts", "out/o.mp4")


def test_broken_link_is_a_bad_row(folder):
    (folder / "z.mp4").symlink_to("gone.mp4")
    assert found(folder)[1] == BadRow(
        str(folder / "z.mp4"), "the file can't be read: No such file or directory"
    )


def test_deleted_folder_is_a_bad_row(folder):
    rows = iter(open_manifest(folder))
    next(rows)
    (folder / "c" / "d" / "e.ts").unlink()
    (folder / "c" / "d").rmdir()
    (folder / "c").rmdir()
    (folder / "z.mp4").touch()  # after the listing
    assert [type(row) for row in rows] == [Row, Row, BadRow]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="os.walk is recursive")
def test_depth_of_folders_is_not_limited(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + 100
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    with open("a.mp4", "wb"):
        pass
    try:
        (row,) = found(tmp_path)
        assert row == f"{tmp_path}/{'d/' * depth}a.mp4"
    finally:
        # pytest removes folders by recursion.
        os.unlink("a.mp4")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")


def test_undecodable_names_are_found(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(b"x")
    assert found(tmp_path) == [str(path)]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*.mp4", ["b.mp4"]),
        ("**/*.ts", ["c/d/e.ts"]),
        ("a/*", ["a/10.mkv", "a/2.MOV"]),
        ("[ac]/**", ["a/10.mkv", "a/2.MOV", "c/d/e.ts"]),
        ("**/**/*", ["b.mp4", "a/10.mkv", "a/2.MOV", "c/d/e.ts"]),
    ],
)
def test_glob_finds_each_file_once(folder, glob, names):
    assert found(f"{folder}/{glob}") == below(folder, *names)


def test_glob_in_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert found("*/*.MOV") == ["a/2.MOV"]


def test_existing_folder_may_be_named_like_a_glob(tmp_path):
    (tmp_path / "a[1]").mkdir()
    (tmp_path / "a[1]" / "x.mp4").write_bytes(b"x")
    assert found(tmp_path / "a[1]") == [str(tmp_path / "a[1]" / "x.mp4")]


def test_glob_without_matches_is_a_bad_row(folder):
    assert found(f"{folder}/*.vob") == [BadRow(f"{folder}/*.vob", "no file matches the glob")]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.mp4", "a.mp4", True),
        ("*.mp4", "a.mov", False),
        ("*.mp4", "x/a.mp4", False),
        ("*/*.mp4", "x/a.mp4", True),
        ("**/*.mp4", "a.mp4", True),
        ("**/*.mp4", "x/y/a.mp4", True),
        ("**/y/**/*.mp4", "x/y/z/a.mp4", True),
        ("**/y/**/*.mp4", "x/z/a.mp4", False),
        ("**", "x/y/a.mp4", True),
        ("x/**", "x/a.mp4", True),
        ("?.mp4", "a.mp4", True),
        ("[ab].mp4", "c.mp4", False),
        ("*", ".a.mp4", False),
        (".*", ".a.mp4", True),
        ("**/*.mp4", ".git/a.mp4", False),
        ("**/.git/*.mp4", "x/.git/a.mp4", True),
        ("*.mp4", "A.MP4", False),
    ],
)
def test_glob_matches_path(pattern, path, expected):
    assert matches(path.split("/"), pattern.split("/")) is expected


@pytest.mark.parametrize(
    ("pattern", "folder", "expected"),
    [
        ("shows/*.mp4", "other", False),
        ("shows/*.mp4", "shows", True),
        ("shows/*.mp4", "shows/a", False),
        ("shows/**", "other", False),
        ("shows/**", "shows/a/b", True),
        ("*/**/x/*.mp4", "a/b/c", True),
        ("**", ".git", False),
        ("**/.git/*", ".git", True),
    ],
)
def test_only_folders_that_may_match_are_entered(pattern, folder, expected):
    assert may_contain_matches(folder.split("/"), pattern.split("/")) is expected


@pytest.mark.parametrize(
    ("glob", "expected"),
    [("*.vob", True), ("talk.*", False), ("*", False), ("**", False), ("*.*/*", False)],
)
def test_glob_with_a_suffix_finds_non_video_files(tmp_path, glob, expected):
    (tmp_path / "v.1").mkdir()
    for path in (tmp_path / "talk.vob", tmp_path / "v.1" / "talk.vob"):
        path.write_bytes(b"x")
    assert any(isinstance(row, str) for row in found(tmp_path / glob)) is expected


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.mp4", ("", ["*.mp4"])),
        ("/*.mp4", ("/", ["*.mp4"])),
        ("a/b/*.mp4", ("a/b", ["*.mp4"])),
        ("/a/*/./c", ("/a", ["*", "c"])),
        ("../*/", ("..", ["*"])),
    ],
)
def test_glob_is_split_into_folder_and_pattern(glob, expected):
    assert split_glob(glob) == expected


@pytest.mark.parametrize("name", ["a.mp4", "A.MTS", "b.c.m2ts"])
def test_videos_are_recognised_by_suffix(name):
    assert is_video(name)
    assert not is_video(f"{name}.part")
