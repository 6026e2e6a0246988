"""A folder, or a glob, as a manifest."""

import os
import sys

import pytest

from livepeer_async.ingest import BadRow, Row, open_manifest


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
    """The paths below the folder, and the sentences."""
    opened = open_manifest(manifest, **options)
    return [row.source if isinstance(row, Row) else row for row in opened]


def below(folder, *names):
    return [str(folder / name) for name in names]


def test_videos_come_sorted_within_each_folder(folder):
    assert found(folder) == below(folder, "a/10.mkv", "a/2.MOV", "b.mp4", "c/d/e.ts")


def test_a_row_knows_its_length_and_its_key(folder, monkeypatch):
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
    assert row.place == "videos/b.mp4"


def test_what_is_no_video_is_counted(folder):
    for name in ("notes.txt", ".hidden.mp4", "a/b.srt"):
        (folder / name).touch()
    os.mkfifo(folder / "pipe.mp4")
    manifest = open_manifest(folder)
    for _ in range(2):
        assert len(list(manifest)) == 4
        assert manifest.skipped == 4


def test_hidden_folders_are_passed_over(folder):
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.mp4").write_bytes(b"x")
    assert len(found(folder)) == 4


def test_a_link_to_a_file_inside_is_a_video_of_its_own(folder):
    (folder / "z.mp4").symlink_to("a/2.MOV")
    assert found(folder)[-1] == str(folder / "z.mp4")


def test_links_outside_are_told(folder, outside):
    (folder / "x.mp4").symlink_to(outside / "o.mp4")
    (folder / "y").symlink_to(outside)
    file, link = found(folder)[-2:]
    assert file == BadRow(
        str(folder / "x.mp4"),
        f"the link leads to '{outside / 'o.mp4'}', outside of the folder '{folder}'; "
        "wanted a place inside of it, or --allow-outside",
    )
    assert link.place == str(folder / "y")


def test_links_outside_are_followed_where_that_is_allowed(folder, outside):
    (folder / "x.mp4").symlink_to(outside / "o.mp4")
    (folder / "y").symlink_to(outside)
    assert found(folder, allow_outside=True)[-2:] == below(folder, "x.mp4", "y/o.mp4")


@pytest.mark.parametrize("allow_outside", [True, False])
def test_links_in_a_circle_end(folder, allow_outside):
    (folder / "a" / "up").symlink_to("..")
    (folder / "c" / "self").symlink_to("self")
    (folder / "c" / "self.mp4").symlink_to("self.mp4")
    *rows, bad = sorted(found(folder, allow_outside=allow_outside), key=lambda row: str(type(row)))[
        ::-1
    ]
    assert sorted(rows) == below(folder, "a/10.mkv", "a/2.MOV", "b.mp4", "c/d/e.ts")
    assert bad.place == str(folder / "c" / "self.mp4")
    assert "Too many levels of symbolic links" in bad.sentence


def test_a_circle_outside_ends_too(folder, outside):
    (folder / "out").symlink_to(outside)
    (outside / "back").symlink_to(folder)
    (outside / "round").symlink_to(outside)
    rows = found(folder, allow_outside=True)
    assert rows == below(folder, "a/10.mkv", "a/2.MOV", "b.mp4", "c/d/e.ts", "out/o.mp4")


def test_a_link_to_nothing_is_told(folder):
    (folder / "z.mp4").symlink_to("gone.mp4")
    assert found(folder)[-1] == BadRow(
        str(folder / "z.mp4"), "the file can't be read: No such file or directory"
    )


def test_a_folder_that_goes_away_is_told_and_the_rest_is_read(folder):
    rows = iter(open_manifest(folder))
    next(rows)
    (folder / "c" / "d" / "e.ts").unlink()
    (folder / "c" / "d").rmdir()
    (folder / "c").rmdir()
    (folder / "z.mp4").touch()  # after the listing
    assert [type(row) for row in rows] == [Row, Row, BadRow]


def test_folders_may_be_nested_deeper_than_calls(tmp_path, monkeypatch):
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


def test_names_that_are_no_text_are_found(tmp_path):
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
        ("**/**/*", ["a/10.mkv", "a/2.MOV", "b.mp4", "c/d/e.ts"]),
    ],
)
def test_a_glob_finds_each_file_once(folder, glob, names):
    assert found(f"{folder}/{glob}") == below(folder, *names)


def test_a_glob_in_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert found("*/*.MOV") == ["a/2.MOV"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path):
    (tmp_path / "a[1]").mkdir()
    (tmp_path / "a[1]" / "x.mp4").write_bytes(b"x")
    assert found(tmp_path / "a[1]") == [str(tmp_path / "a[1]" / "x.mp4")]


def test_a_glob_that_finds_nothing_says_so(folder):
    assert found(f"{folder}/*.vob") == [BadRow(f"{folder}/*.vob", "nothing is there that fits")]
