"""The rules of the pipeline and the commands that convert a file, without I/O."""

import shlex

import pytest

from livepeer_async.probing.rules import (
    RULE_NAMES,
    RULES,
    MediaFacts,
    build_command,
    find_problems,
)

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
GOOD = {
    "container": MP4,
    "has_video": True,
    "has_audio": True,
    "video_codec": "h264",
    "pixel_format": "yuv420p",
    "frame_rate": 25.0,
    "width": 64,
    "height": 48,
}
ENCODE = "-c:v libx264 -pix_fmt yuv420p -c:a aac"


def facts(**changed):
    return MediaFacts(**{**GOOD, **changed})


def rules_of(**changed):
    return [problem.rule for problem in find_problems(facts(**changed))]


def command(path, taken=(), **changed):
    known = facts(**changed)
    return build_command(path, known, find_problems(known), is_taken=set(taken).__contains__)


ACCEPTED = {
    "h264": {},
    "audio only": {"has_video": False, "video_codec": None, "pixel_format": None},
    "video only": {"has_audio": False},
    "full range": {"pixel_format": "yuvj420p"},
    "hevc": {"video_codec": "hevc"},
    "av1": {"video_codec": "av1"},
    "VP9 in WebM": {"video_codec": "vp9", "container": "matroska,webm"},
    "slow": {"frame_rate": 0.01},
    "unknown": {"video_codec": None, "pixel_format": None, "frame_rate": None},
    "unknown codec alone": {"has_audio": False, "video_codec": None, "pixel_format": None},
    "cover art of another codec": {"is_cover_art": True, "video_codec": "webp"},
}
REFUSED = {
    "no track": ({"has_video": False, "has_audio": False}, "tracks"),
    "mjpeg": ({"video_codec": "mjpeg"}, "video-codec"),
    "jpeg": ({"video_codec": "jpeg"}, "video-codec"),
    "png": ({"video_codec": "png"}, "video-codec"),
    "prores": ({"video_codec": "prores"}, "video-codec"),
    "VP9 in MP4": ({"video_codec": "vp9"}, "container"),
    "10 bit": ({"pixel_format": "yuv420p10le"}, "pixel-format"),
    "4:2:2": ({"pixel_format": "yuv422p"}, "pixel-format"),
    "4:4:4": ({"pixel_format": "yuv444p"}, "pixel-format"),
    "4:2:2 with full range": ({"pixel_format": "yuvj422p"}, "pixel-format"),
    "grey": ({"pixel_format": "gray"}, "pixel-format"),
    "RGB": ({"pixel_format": "rgb24"}, "pixel-format"),
    "no frame rate": ({"frame_rate": 0.0}, "frame-rate"),
    "negative frame rate": ({"frame_rate": -1.0}, "frame-rate"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_acceptable_facts_break_no_rule(name):
    assert rules_of(**ACCEPTED[name]) == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused_facts_break_one_rule(name):
    changed, rule = REFUSED[name]
    assert rules_of(**changed) == [rule]
    assert find_problems(facts(**changed), ignore={rule}) == ()


def test_all_broken_rules_are_found():
    changed = {"video_codec": "prores", "pixel_format": "yuv422p10le", "frame_rate": 0.0}
    assert rules_of(**changed) == ["video-codec", "pixel-format", "frame-rate"]


def test_each_rule_has_a_name_and_a_source():
    assert tuple(rule.name for rule in RULES) == RULE_NAMES
    assert all(rule.wanted and ".go: " in rule.source for rule in RULES)


CONVERSIONS = {
    "codec": ({"video_codec": "prores"}, f"ffmpeg -i in.mov {ENCODE} in.mp4"),
    "pixel format": ({"pixel_format": "yuv444p"}, f"ffmpeg -i in.mov {ENCODE} in.mp4"),
    "container": ({"video_codec": "vp9"}, "ffmpeg -i in.mov -c copy -sn in.mkv"),
    "container and pixel format": (
        {"video_codec": "vp9", "pixel_format": "yuv420p10le"},
        f"ffmpeg -i in.mov {ENCODE} in.mp4",
    ),
    "frame rate": ({"frame_rate": 0.0}, f"ffmpeg -r 30 -i in.mov {ENCODE} in.mp4"),
    "odd size": (
        {"pixel_format": "yuv444p", "width": 65},
        f"ffmpeg -i in.mov -vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2' {ENCODE} in.mp4",
    ),
    "cover art": (
        {"video_codec": "png", "is_cover_art": True, "has_only_cover_art": True},
        "ffmpeg -i in.mov -vn -c copy -sn in.mka",
    ),
    "cover art before a video": (
        {"video_codec": "mjpeg", "is_cover_art": True},
        f"ffmpeg -i in.mov -vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2' {ENCODE} in.mp4",
    ),
    "cover art without sound": (
        {"video_codec": "png", "has_only_cover_art": True, "has_audio": False},
        "",
    ),
    "no track": ({"has_video": False, "has_audio": False}, ""),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_command_fits_the_broken_rules(name):
    changed, wanted = CONVERSIONS[name]
    assert command("in.mov", **changed) == wanted


OUTPUTS = {
    "a.mov": ((), "a.mp4"),
    "a.mp4": ((), "a-converted.mp4"),
    "b.mov": (("b.mp4",), "b-converted.mp4"),
    "c.mov": (("c.mp4", "c-converted.mp4"), "c-converted-2.mp4"),
    "d.mov": (("d.mp4", "d-converted.mp4", "d-converted-2.mp4"), "d-converted-3.mp4"),
    "folder.d/film": ((), "folder.d/film.mp4"),
    "folder/.hidden": ((), "folder/.hidden.mp4"),
    ".hidden": ((), ".hidden.mp4"),
    "x.y.mov": ((), "x.y.mp4"),
}


@pytest.mark.parametrize("path", OUTPUTS)
def test_output_is_beside_the_input_and_overwrites_nothing(path):
    taken, output = OUTPUTS[path]
    words = shlex.split(command(path, taken, pixel_format="yuv444p"))
    assert words[words.index("-i") + 1] == path
    assert words[-1] == output


@pytest.mark.parametrize("path", ["it's a film.mov", "$(rm -rf x);`y`.mov", "*.mov", 'a"b\n.mov'])
def test_odd_names_are_quoted_for_a_shell(path):
    assert shlex.split(command(path, pixel_format="gray"))[2] == path


@pytest.mark.parametrize("path", ["-y.mov", "http://host/a.mov", "concat:a.mov"])
def test_names_are_no_options_or_urls_of_ffmpeg(path):
    words = shlex.split(command(path, pixel_format="gray"))
    assert words[2] == f"./{path}"
    assert words[-1].startswith("./")


def test_folder_with_a_colon_stays_a_path():
    assert shlex.split(command("/films/a:b.mov", pixel_format="gray"))[2] == "/films/a:b.mov"
