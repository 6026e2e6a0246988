"""Which paths a glob means."""

import pytest

from livepeer_async.ingest.patterns import EVERYTHING, Pattern, is_video, split_pattern


def fits(pattern, path):
    at = pattern.start
    for name in path.split("/"):
        at = pattern.step(at, name)
    return pattern.is_end(at)


@pytest.mark.parametrize(
    ("pattern", "path", "wanted"),
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
        ("x/./*", "x/a.mp4", True),
        ("?.mp4", "a.mp4", True),
        ("[ab].mp4", "c.mp4", False),
        ("*", ".a.mp4", False),
        (".*", ".a.mp4", True),
        ("**/*.mp4", ".git/a.mp4", False),
        ("*.mp4", "A.MP4", False),
    ],
)
def test_a_pattern_fits(pattern, path, wanted):
    assert fits(Pattern(pattern.split("/")), path) is wanted


def test_nothing_is_looked_for_where_nothing_can_fit():
    pattern = Pattern(["shows", "*.mp4"])
    assert not pattern.goes_on(pattern.step(pattern.start, "other"))
    assert pattern.goes_on(pattern.step(pattern.start, "shows"))
    assert not pattern.goes_on(pattern.step(pattern.step(pattern.start, "shows"), "a.mp4"))


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("*.vob", True), ("talk.*", False), ("*", False), ("**", False), ("v.*/*", False)],
)
def test_a_pattern_with_an_ending_takes_what_is_no_video_by_its_name(pattern, wanted):
    assert Pattern(pattern.split("/")).takes("talk.vob") is wanted
    assert Pattern(pattern.split("/")).takes("talk.mp4")


def test_everything_takes_videos():
    assert EVERYTHING.takes("a.mkv")
    assert not EVERYTHING.takes("a.srt")


@pytest.mark.parametrize("name", ["a.mp4", "A.MTS", "b.c.m2ts"])
def test_a_video_is_told_by_its_ending(name):
    assert is_video(name)
    assert not is_video(f"{name}.part")


@pytest.mark.parametrize(
    ("glob", "folder"),
    [("*.mp4", ""), ("/*.mp4", "/"), ("a/b/*.mp4", "a/b"), ("/a/*/c", "/a"), ("../*", "..")],
)
def test_a_glob_begins_in_a_folder(glob, folder):
    assert split_pattern(glob)[0] == folder
