"""Rules of Livepeer's pipeline for media files, and the ffmpeg commands that convert a file.

Pure. A rule only rejects what was determined for certain: a fact that is `None` breaks no rule. As
in the pipeline, the first video track counts. Cover art is a video track to FFmpeg, so the pipeline
refuses a song with a cover.

The source of each rule is the code of November 2025: `parseProbeOutput` in `video/probe.go` and
`CopyInputToS3` in `clients/input_copy.go` of livepeer/catalyst-api, and the humanized errors in
`task/runner.go` of livepeer/task-runner. `FirstVideoStream` in `probedata.go` of
vansante/go-ffprobe doesn't skip cover art.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import get_args

from msgspec import Struct

from livepeer_async.defaults import RuleName

RULE_NAMES: tuple[RuleName, ...] = get_args(RuleName)

REFUSED_CODECS = frozenset({"mjpeg", "jpeg", "png", "prores"})
PIXEL_FORMATS = frozenset({"yuv420p", "yuvj420p"})

# Copies the tracks without their subtitles, whose format may not fit into the other container.
_COPY = ("-c", "copy", "-sn")
# Of the sound alone.
_COPY_SOUND = ("-vn", *_COPY)
_ENCODE = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
# yuv420p needs an even width and height.
_PAD = ("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2")
# Before the input: the timestamps of the file are ignored.
_FRAME_RATE = ("-r", "30")


class MediaFacts(Struct, frozen=True, kw_only=True):
    """What a probe found in a file; `None` stands for what it couldn't determine.

    Attributes:
        container: FFmpeg's names of the format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
        has_video: whether there is a video track; cover art counts.
        has_audio: whether there is an audio track.
        is_cover_art: whether the first video track is cover art.
        has_only_cover_art: whether all video tracks are.
        video_codec: FFmpeg's name of the codec of the first video track.
        pixel_format: FFmpeg's name of its pixel format.
        frame_rate: its frames per second.
        width: its width in pixels.
        height: its height in pixels.
    """

    container: str
    has_video: bool = False
    has_audio: bool = False
    is_cover_art: bool = False
    has_only_cover_art: bool = False
    video_codec: str | None = None
    pixel_format: str | None = None
    frame_rate: float | None = None
    width: int = 0
    height: int = 0


class Rule(Struct, frozen=True):
    """A rule of the pipeline.

    Attributes:
        name: the name by which a caller can switch it off.
        find: returns what breaks the rule; "" if nothing does.
        wanted: what the pipeline accepts.
        source: the check in the pipeline's code.
    """

    name: RuleName
    find: Callable[[MediaFacts], str]
    wanted: str
    source: str


class Problem(Struct, frozen=True):
    """A rule that a file breaks, with what was found and what is wanted."""

    rule: RuleName
    found: str
    wanted: str


def _find_no_tracks(facts: MediaFacts) -> str:
    return "" if facts.has_video or facts.has_audio else "no video and no audio track"


def _find_codec(facts: MediaFacts) -> str:
    what = "cover art with video codec" if facts.is_cover_art else "video codec"
    return f"{what} {facts.video_codec}" if facts.video_codec in REFUSED_CODECS else ""


def _find_container(facts: MediaFacts) -> str:
    # One demuxer of FFmpeg reads MP4 and QuickTime, and the pipeline compares its names.
    is_refused = facts.video_codec == "vp9" and "mp4" in facts.container
    return "VP9 video in an MP4 or QuickTime container" if is_refused else ""


def _find_pixel_format(facts: MediaFacts) -> str:
    is_refused = facts.pixel_format is not None and facts.pixel_format not in PIXEL_FORMATS
    return f"pixel format {facts.pixel_format}" if is_refused else ""


def _find_frame_rate(facts: MediaFacts) -> str:
    is_refused = facts.frame_rate is not None and facts.frame_rate <= 0
    return f"frame rate {facts.frame_rate:g}" if is_refused else ""


RULES: tuple[Rule, ...] = (
    Rule(
        "tracks",
        _find_no_tracks,
        "a video or an audio track",
        "video/probe.go: no video or audio stream found",
    ),
    Rule(
        "video-codec",
        _find_codec,
        "a codec such as h264",
        "video/probe.go: unsupportedVideoCodecList",
    ),
    Rule(
        "container",
        _find_container,
        "VP9 in WebM or Matroska",
        "video/probe.go: VP9 in an MP4 container is not supported",
    ),
    Rule(
        "pixel-format",
        _find_pixel_format,
        "pixel format yuv420p or yuvj420p",
        "task/runner.go: unsupported input pixel format, must be 'yuv420p' or 'yuvj420p'",
    ),
    Rule(
        "frame-rate",
        _find_frame_rate,
        "a frame rate above 0",
        "clients/input_copy.go: invalid framerate",
    ),
)


def find_problems(facts: MediaFacts, *, ignore: Collection[str] = ()) -> tuple[Problem, ...]:
    """Return the rules that a file breaks, in the order of the table.

    Args:
        facts: what is known of the file.
        ignore: names of rules to leave out.
    """
    active = (rule for rule in RULES if rule.name not in ignore)
    findings = ((rule, rule.find(facts)) for rule in active)
    return tuple(Problem(rule.name, found, rule.wanted) for rule, found in findings if found)


def build_command(
    path: str,
    facts: MediaFacts,
    problems: Collection[Problem],
    *,
    is_taken: Callable[[str], bool],
) -> str:
    """Return the ffmpeg command that makes an acceptable copy of a file, quoted for a shell.

    It is "" if no conversion helps. The output is beside the input and isn't an existing file.

    Args:
        path: the file.
        facts: what is known of it.
        problems: the rules that it breaks.
        is_taken: whether a file exists.
    """
    rules = {problem.rule for problem in problems}
    is_empty = "tracks" in rules or (facts.has_only_cover_art and not facts.has_audio)
    if is_empty or not rules:
        return ""
    arguments: tuple[str, ...]
    rate: tuple[str, ...] = ()
    # Not .webm, which has no room for AAC.
    if facts.has_only_cover_art:
        arguments, suffix = _COPY_SOUND, ".mka"
    elif rules == {"container"}:
        arguments, suffix = _COPY, ".mkv"
    else:
        # FFmpeg prefers a video to cover art, whose size says nothing about it.
        is_padded = facts.is_cover_art or facts.width % 2 or facts.height % 2
        arguments, suffix = ((*_PAD, *_ENCODE) if is_padded else _ENCODE), ".mp4"
        rate = _FRAME_RATE if "frame-rate" in rules else ()
    names = _output_names(path, suffix)
    output = next(name for name in names if name != path and not is_taken(name))
    return shlex.join(["ffmpeg", *rate, "-i", _as_file(path), *arguments, _as_file(output)])


def _output_names(path: str, suffix: str) -> Iterator[str]:
    root, dot, extension = path.rpartition(".")
    has_suffix = dot and root and not {"/", "\\"} & {root[-1], *extension}
    stem = root if has_suffix else path
    yield f"{stem}{suffix}"
    yield f"{stem}-converted{suffix}"
    yield from (f"{stem}-converted-{number}{suffix}" for number in count(2))


def _as_file(path: str) -> str:
    """Return a path that ffmpeg doesn't take for an option or a URL."""
    is_ambiguous = path.startswith("-") or ":" in path.partition("/")[0]
    return f"./{path}" if is_ambiguous else path
