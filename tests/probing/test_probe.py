"""The check of real files before their upload."""

import gzip
import io
import os
import random
import resource
import shlex
import subprocess
import sys
from contextlib import ExitStack, suppress

import pytest

from livepeer_async import (
    AsyncLivepeer,
    ConfigurationError,
    Probe,
    SourceNotReadable,
    SourceUnsupported,
    UploadJob,
)
from livepeer_async.probing import media
from livepeer_async.probing import probe as probe_module
from livepeer_async.probing.probe import as_probe, probe_path
from support.media import make_media, make_song, with_brand, with_samples, without_durations
from support.sandbox import sandbox_and_client

pytestmark = pytest.mark.anyio

VP9 = make_media("mp4", "libvpx-vp9")
ACCEPTED = {
    "h264 in MP4": lambda: make_media("mp4", "libx264", audio=True),
    "full range": lambda: make_media("mp4", "libx264", "yuvj420p"),
    "hevc": lambda: make_media("mp4", "libx265"),
    "av1": lambda: make_media("mp4", "libsvtav1"),
    "video only": lambda: make_media("mov", "libx264"),
    "audio only": lambda: make_media("mp4", audio=True),
    "VP9 in WebM": lambda: make_media("webm", "libvpx-vp9"),
    "VP9 in Matroska": lambda: make_media("matroska", "libvpx-vp9"),
    "transport stream": lambda: make_media("mpegts", "libx264", frames=30),
    "AVI": lambda: make_media("avi", "mpeg4"),
    "FLV": lambda: make_media("flv", "libx264"),
    "MPEG program stream": lambda: make_media("mpeg", "mpeg2video"),
    "one picture": lambda: make_media("mp4", "libx264", frames=1),
    "one picture in a transport stream": lambda: make_media("mpegts", "libx264", frames=1),
}
UNKNOWN = {
    "cut off header": lambda: make_media("mov", "mjpeg", "yuvj420p")[:-200],
    "too many samples": lambda: with_samples(make_media("mp4", "libx264", "yuv444p"), 50_000_000),
    "text": lambda: b"not a video\n" * 100,
    "one byte": lambda: b"\0",
    "playlist": lambda: b"#EXTM3U\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
}
REFUSED = {
    "prores": (
        lambda: make_media("mov", "prores_ks", "yuv422p10le", audio=True),
        ("video-codec", "pixel-format"),
        "video codec prores and pixel format yuv422p10le",
    ),
    "mjpeg in QuickTime": (
        lambda: make_media("mov", "mjpeg", "yuvj420p"),
        ("video-codec",),
        "video codec mjpeg",
    ),
    "mjpeg in AVI": (
        lambda: make_media("avi", "mjpeg", "yuvj422p"),
        ("video-codec", "pixel-format"),
        "video codec mjpeg and pixel format yuvj422p",
    ),
    "mjpeg in Matroska": (
        lambda: make_media("matroska", "mjpeg", "yuvj420p"),
        ("video-codec",),
        "video codec mjpeg",
    ),
    "png": (
        lambda: make_media("mov", "png", "rgb24"),
        ("video-codec", "pixel-format"),
        "video codec png and pixel format rgb24",
    ),
    "VP9 in MP4": (lambda: VP9, ("container",), "VP9 video in an MP4 or QuickTime container"),
    "VP9 in QuickTime": (
        lambda: with_brand(VP9, b"qt  "),
        ("container",),
        "VP9 video in an MP4 or QuickTime container",
    ),
    "h264 with 10 bit": (
        lambda: make_media("mp4", "libx264", "yuv420p10le"),
        ("pixel-format",),
        "pixel format yuv420p10le",
    ),
    "hevc with 10 bit": (
        lambda: make_media("mp4", "libx265", "yuv420p10le"),
        ("pixel-format",),
        "pixel format yuv420p10le",
    ),
    "av1 with 10 bit": (
        lambda: make_media("matroska", "libsvtav1", "yuv420p10le"),
        ("pixel-format",),
        "pixel format yuv420p10le",
    ),
    "4:2:2": (
        lambda: make_media("mpegts", "libx264", "yuv422p", frames=30),
        ("pixel-format",),
        "pixel format yuv422p",
    ),
    "4:4:4": (
        lambda: make_media("flv", "libx264", "yuv444p"),
        ("pixel-format",),
        "pixel format yuv444p",
    ),
    "VP9 with 4:4:4 in WebM": (
        lambda: make_media("webm", "libvpx-vp9", "yuv444p"),
        ("pixel-format",),
        "pixel format yuv444p",
    ),
    "no frame rate": (
        lambda: without_durations(make_media("mp4", "libx265")),
        ("frame-rate",),
        "frame rate 0",
    ),
}


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(content, name="a.mov"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def facts_of(content):
    def read_at(position, size):
        return content[position : position + size]

    return media.read_facts(media.BoundedReader(read_at, len(content), seconds=60))


async def refusal_of(path, **options):
    with pytest.raises(SourceUnsupported) as caught:
        await probe_path(Probe(**options), path)
    return caught.value


@pytest.mark.parametrize("name", ACCEPTED)
async def test_acceptable_file_passes(write, name):
    content = ACCEPTED[name]()
    await probe_path(Probe(), write(content))
    assert facts_of(content) is not None


@pytest.mark.parametrize("name", UNKNOWN)
async def test_file_that_can_t_be_judged_passes(write, name):
    content = UNKNOWN[name]()
    await probe_path(Probe(), write(content))
    assert facts_of(content) is None


@pytest.mark.parametrize("name", REFUSED)
async def test_unsupported_file_is_refused(write, name):
    make, rules, found = REFUSED[name]
    path = write(make())
    error = await refusal_of(path)
    assert (error.rules, error.rule, error.found) == (rules, rules[0], found)
    assert error.source == path
    assert str(error).startswith(f"{path!r} has {found}, which Livepeer refuses; wanted ")
    assert str(error).endswith(f"; convert it: {error.command}")
    await probe_path(Probe(ignore=rules), path)


async def test_file_without_video_and_audio_is_refused(write):
    # In Matroska, 2 is the type of an audio track, and 17 that of subtitles.
    content = make_media("matroska", audio=True).replace(b"\x83\x81\x02", b"\x83\x81\x11")
    error = await refusal_of(write(content, "a.mkv"))
    assert error.rules == ("tracks",)
    assert error.command == ""
    assert str(error).endswith("wanted a video or an audio track; check that it is a whole video")


async def test_recording_of_many_fragments_is_judged(write):
    content = make_media("mp4", "libx264", "yuv444p", fragments=True)
    start = content.index(b"moof") - 4
    repeated = content[start : content.index(b"mfra") - 4]
    path = write(content[:start] + repeated * 5000 + content[start:])
    assert (await refusal_of(path)).rules == ("pixel-format",)


async def test_cover_art_of_a_song_is_refused(write):
    error = await refusal_of(write(make_song("mp4"), "a.m4a"))
    assert error.rules == ("video-codec", "pixel-format")
    assert error.found == "cover art with video codec png and pixel format rgb24"
    assert error.command.endswith("a.mka")


@pytest.mark.parametrize("container", ["mp3", "flac"])
async def test_song_without_a_video_container_is_judged(write, container):
    await probe_path(Probe(), write(make_song(container, has_cover=False)))
    assert (await refusal_of(write(make_song(container)))).rule == "video-codec"


async def test_command_names_an_unused_file(write):
    path = write(make_media("mov", "mjpeg", "yuvj420p"))
    output = write(b"mine", "a.mp4")
    words = shlex.split((await refusal_of(path)).command)
    assert words[-1] == output.replace("a.mp4", "a-converted.mp4")


@pytest.mark.parametrize(
    "path", ["/none", "a\0b", "/", "x" * 5000, "/dev/zero"], ids=["missing", "NUL", "/", "x", "dev"]
)
async def test_path_without_a_file_passes(path):
    await probe_path(Probe(), path)


async def test_pipe_passes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    await probe_path(Probe(), str(tmp_path / "pipe"))


async def test_damaged_files_pass_or_are_refused(write):
    chance = random.Random(1)
    originals = [make()[:] for make, _, _ in REFUSED.values()] + [ACCEPTED["h264 in MP4"]()]
    for _ in range(300):
        content = bytearray(chance.choice(originals))
        for _ in range(chance.choice((1, 5, 50))):
            content[chance.randrange(len(content))] = chance.choice((0, 1, 127, 255))
        path = write(bytes(content[: chance.randrange(1, len(content) + 1)]))
        with suppress(SourceUnsupported):
            await probe_path(Probe(), path)


async def test_declared_samples_take_no_memory(write):
    path = write(with_samples(make_media("mp4", "libx264", "yuv444p"), 50_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await probe_path(Probe(), path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


async def test_files_that_others_name_are_not_opened(write):
    listed = write(make_media("mpegts", "libx264", "yuv444p"), "listed.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{listed}\n#EXT-X-ENDLIST\n"
    await probe_path(Probe(), write(playlist.encode(), "a.m3u8"))
    await probe_path(Probe(), write(f"ffconcat version 1.0\nfile {listed}\n".encode()))


def test_reader_stops_at_its_limits():
    reader = media.BoundedReader(lambda position, size: bytes(size), 10**12, seconds=60)
    with pytest.raises(media.LimitReached):
        while reader.read(media.BUFFER_SIZE):
            assert reader.tell() <= media.MAX_BYTES
    assert reader.is_exhausted
    late = media.BoundedReader(lambda position, size: bytes(size), 10**12, seconds=-1)
    with pytest.raises(media.LimitReached):
        late.read(1)
    assert media.read_facts(late) is None


# The ways in which a source is passed.


async def refuse_everywhere(livepeer, make_source):
    with pytest.raises(SourceUnsupported) as caught:
        await livepeer.upload(make_source(), probe=True)
    with pytest.raises(SourceUnsupported):
        async with livepeer.begin_upload(make_source(), probe=True):
            pass
    async with livepeer.upload_many([make_source()], probe=True) as results:
        (result,) = [result async for result in results]
    assert isinstance(result.error, SourceUnsupported)
    return caught.value


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "BytesIO", "gzip"])
async def test_refused_source_sends_no_request(write, kind):
    content = make_media("mov", "mjpeg", "yuvj420p")
    path = write(content)
    packed = gzip.compress(content)
    make_source = {
        "path": lambda: path,
        "bytes": lambda: content,
        "file": lambda: stack.enter_context(io.FileIO(path)),
        "BytesIO": lambda: io.BytesIO(content),
        "gzip": lambda: gzip.GzipFile(fileobj=io.BytesIO(packed)),
    }[kind]
    with ExitStack() as stack:
        async with sandbox_and_client() as (sandbox, livepeer):
            error = await refuse_everywhere(livepeer, make_source)
            assert sandbox.assets == []
    assert error.rules == ("video-codec",)


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "stream"])
async def test_probed_source_is_uploaded_whole(write, kind):
    content = make_media("mp4", "libx264", audio=True)
    path = write(content, "good.mp4")

    async def blocks():
        yield content

    with ExitStack() as stack:
        source = {
            "path": lambda: path,
            "bytes": lambda: content,
            "file": lambda: stack.enter_context(io.FileIO(path)),
            "stream": blocks,
        }[kind]()
        async with sandbox_and_client() as (sandbox, livepeer):
            asset = await livepeer.upload(source, "x", probe=True)
            assert sandbox.stored(asset.playback_id).read_bytes() == content


async def test_stream_of_known_length_is_uploaded():
    content = make_media("mov", "mjpeg", "yuvj420p")

    async def blocks():
        yield content

    async with sandbox_and_client() as (sandbox, livepeer):
        asset = await livepeer.upload(blocks(), "x", length=len(content), probe=True)
        assert sandbox.stored(asset.playback_id).read_bytes() == content


async def test_rules_can_be_switched_off(write):
    path = write(make_media("mov", "mjpeg", "yuvj420p"))
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(path, probe=Probe(ignore=["video-codec"]))
        assert asset.phase == "ready"


async def test_unreadable_source_keeps_its_own_error():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 4:
                raise OSError("disk failed")
            return super().read(min(size, 8))

    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(SourceNotReadable, match="disk failed"):
            await livepeer.upload(Broken(bytes(100)), "x", probe=True)


async def test_one_refused_source_does_not_affect_the_others(write):
    bad, good = (
        write(make_media("mov", "mjpeg", "yuvj420p")),
        write(make_media("mp4", "libx264"), "b"),
    )
    async with sandbox_and_client() as (_, livepeer):
        jobs = [UploadJob(bad), UploadJob(good)]
        async with livepeer.upload_many(jobs, probe=True) as results:
            errors = {it.source: it.error async for it in results}
    assert isinstance(errors[bad], SourceUnsupported)
    assert errors[good] is None


async def test_uploaded_file_is_not_probed_again(write, tmp_path):
    path = write(make_media("mov", "mjpeg", "yuvj420p"))
    async with sandbox_and_client(client={"journal": tmp_path / "j"}) as (sandbox, livepeer):
        first = await livepeer.upload(path)
        again = await livepeer.upload(path, probe=True)
        assert (again.id, len(sandbox.assets)) == (first.id, 1)


async def test_refused_file_leaves_no_record(write, tmp_path):
    path = write(make_media("mov", "mjpeg", "yuvj420p"))
    async with sandbox_and_client(client={"journal": tmp_path / "j"}) as (_, livepeer):
        with pytest.raises(SourceUnsupported):
            await livepeer.upload(path, probe=True)
        assert await livepeer.journal.records() == []
        assert (await livepeer.upload(path)).phase == "ready"


async def test_file_beyond_the_time_limit_passes(write, monkeypatch):
    path = write(make_media("mov", "mjpeg", "yuvj420p"))
    monkeypatch.setattr(probe_module, "TIMEOUT", 0)
    await probe_path(Probe(), path)


@pytest.mark.parametrize("ignore", [["pixels"], "pixel-format", {"tracks", "codec"}])
def test_unknown_rule_is_refused(ignore):
    with pytest.raises(ConfigurationError, match="wanted a collection of tracks, video-codec"):
        Probe(ignore=ignore)


@pytest.mark.parametrize("probe", [1, "yes", ["tracks"]])
def test_other_options_are_refused(probe):
    with pytest.raises(ConfigurationError, match="wanted a bool or a Probe"):
        as_probe(probe)


def test_options_become_rules():
    assert as_probe(probe=None) is None
    assert as_probe(probe=False) is None
    assert as_probe(probe=True) == Probe()
    rules = Probe(ignore={"tracks"})
    assert as_probe(rules) is rules


async def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    async with AsyncLivepeer("key") as livepeer:
        with pytest.raises(ConfigurationError, match=r"needs PyAV.*pip install av"):
            await livepeer.upload("a.mp4", probe=True)


def test_package_is_only_imported_by_a_probe():
    code = "import livepeer_async, livepeer_async.ingest, sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
