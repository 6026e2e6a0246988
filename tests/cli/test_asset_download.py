"""`assets download`: to a file that is always whole, or to standard output."""

import json
import os

import pytest

from livepeer_async.cli.asset_download import choose_mp4
from livepeer_async.cli.file_writer import safe_file_name
from livepeer_async.cli.sample_video import read_clip
from livepeer_async.models import PlaybackSource
from livepeer_async.sandbox import Answer, CutAnswer, FailProcessing, Fault, On, Redirect, Slow
from support.clock import wait_until
from support.command_line import interrupt, lines_of, run, start

DOWNLOAD = On(method="GET", path="/video/download.mp4")


def make_ready(sandbox, upload_clip, name="talk.mp4"):
    (asset_id,) = upload_clip(sandbox, name)
    wait_until(lambda: sandbox.assets[-1].phase == "ready")
    return asset_id


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def test_download_makes_a_file_named_like_the_asset(sandbox, upload_clip, folder, run_here):
    asset_id = make_ready(sandbox, upload_clip)
    done = run_here("assets", "download", asset_id, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"saved {folder}/talk.mp4\n"
    assert os.listdir(folder) == ["talk.mp4"]
    assert (folder / "talk.mp4").read_bytes() == read_clip()
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "talk.mp4").stat().st_mode & 0o777 == 0o666 & ~umask


def test_several_downloads_continue_after_a_failure(sandbox, upload_clip, folder, run_here):
    ids = [make_ready(sandbox, upload_clip, name) for name in ("a.mp4", "same.mp4", "same.mp4")]
    arguments = ["assets", "download", ids[0], "unknown", *ids[1:], "--force", "-o", folder]
    done = run_here(*arguments, sandbox=sandbox)
    assert done.returncode == 1
    names = ["a.mp4", "same.mp4", f"same-{ids[2]}.mp4"]
    assert lines_of(done.stdout) == [f"saved {folder}/{name}" for name in names]
    assert sorted(os.listdir(folder)) == sorted(names)
    (error,) = [line for line in lines_of(done.stderr) if line.startswith("Error")]
    assert "'unknown' isn't an asset ID" in error


@pytest.mark.parametrize("output", ["-", "a.mp4"])
def test_several_downloads_need_a_folder(sandbox, folder, run_here, output):
    done = run_here("assets", "download", "a", "b", "-o", output, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "several IDs need an existing folder for -o" in done.stderr.decode()


def test_download_replaces_a_file_only_with_force(sandbox, upload_clip, folder, run_here):
    asset_id = make_ready(sandbox, upload_clip)
    target = folder / "other.mp4"
    target.write_text("mine")
    arguments = ["assets", "download", asset_id, "-o", target]
    done = run_here(*arguments, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "exists already; use --force" in done.stderr.decode()
    assert target.read_text() == "mine"
    link = folder / "link.mp4"
    link.symlink_to(target)
    done = run_here("assets", "download", asset_id, "-o", link, "--force", sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert target.read_bytes() == read_clip()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/dev/null", "isn't a regular file"),
        ("missing/a.mp4", "there is no folder"),
        ("x/", "no folder x;"),
    ],
)
def test_download_refuses_a_target(sandbox, upload_clip, folder, run_here, output, message):
    asset_id = make_ready(sandbox, upload_clip)
    done = run_here("assets", "download", asset_id, "-o", output, "--force", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert os.listdir(folder) == []


def test_download_continues_after_broken_connections(open_sandbox, upload_clip, folder, run_here):
    with open_sandbox(faults=[Fault(DOWNLOAD, CutAnswer(50_000))]) as sandbox:
        asset_id = make_ready(sandbox, upload_clip)
        arguments = ["assets", "download", asset_id, "--json"]
        done = run_here(*arguments, sandbox=sandbox)
        requests = [it for it in sandbox.requests if it.path.endswith("download.mp4")]
    assert done.returncode == 0, done.stderr
    starts = [it.headers.get("range") for it in requests]
    assert [start and start[:7] for start in starts] == [None, "bytes=4", "bytes=9"]
    assert "retry 1 of 8" in done.stderr.decode()
    document = json.loads(done.stdout)
    assert (document["asset_id"], document["bytes"]) == (asset_id, len(read_clip()))
    assert (folder / "talk.mp4").read_bytes() == read_clip()
    assert all("authorization" not in it.headers for it in requests)


def test_failed_download_leaves_no_file(open_sandbox, upload_clip, folder, run_here):
    faults = [Fault(DOWNLOAD, CutAnswer(0))]
    with open_sandbox(faults=faults) as sandbox:
        asset_id = make_ready(sandbox, upload_clip)
        done = run_here("assets", "download", asset_id, "--retries", "1", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "check that the URL can be fetched" in done.stderr.decode()
    assert os.listdir(folder) == []


def test_interrupted_download_leaves_no_file(open_sandbox, upload_clip, folder):
    with open_sandbox(faults=[Fault(DOWNLOAD, Slow(1000))]) as sandbox:
        asset_id = make_ready(sandbox, upload_clip)
        with start("assets", "download", asset_id, "-o", folder / "a.mp4", sandbox=sandbox) as it:
            wait_until(lambda: os.listdir(folder))
            output, errors = interrupt(it)
    assert (it.returncode, output) == (130, "")
    assert "nothing was saved" in errors
    assert os.listdir(folder) == []


def test_download_to_standard_output(sandbox, upload_clip, folder):
    asset_id = make_ready(sandbox, upload_clip)
    done = run("assets", "download", asset_id, "-o", "-", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (0, read_clip())
    assert lines_of(done.stderr)[-1].startswith("wrote 139.6 KiB (142,994 bytes)")


def test_key_is_not_sent_to_another_host(open_sandbox, upload_clip, folder, run_here):
    with open_sandbox() as other:
        with open_sandbox(
            faults=[Fault(DOWNLOAD, Redirect(f"{other.base_url}/elsewhere", 302))]
        ) as sandbox:
            asset_id = make_ready(sandbox, upload_clip)
            done = run_here("assets", "download", asset_id, sandbox=sandbox)
        (request,) = other.requests
    assert done.returncode == 1
    assert "authorization" not in request.headers
    assert not request.is_authorized


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (None, "assets wait {}"),
        ("file download failed", "use livepeer-async assets retry {} --wait"),
        ("no video track", "check that the file plays as a video, and delete the asset"),
    ],
)
def test_unready_asset_is_not_downloaded(open_sandbox, upload_clip, run_here, message, advice):
    phase = "failed" if message else "processing"
    faults = [Fault(On(method="POST", nth=1), FailProcessing(message))] if message else []
    seconds = 0.1 if faults else 60
    with open_sandbox(faults=faults, processing_seconds=seconds) as sandbox:
        (asset_id,) = upload_clip(sandbox, "talk")
        wait_until(lambda: sandbox.assets[0].phase == phase)
        done = run_here("assets", "download", asset_id, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    assert phase in done.stderr.decode()
    assert advice.format(asset_id) in done.stderr.decode()


def test_expired_url_is_a_failure(open_sandbox, upload_clip, folder, run_here):
    with open_sandbox(faults=[Fault(DOWNLOAD, Answer(403))]) as sandbox:
        asset_id = make_ready(sandbox, upload_clip)
        done = run_here("assets", "download", asset_id, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "403 from GET" in done.stderr.decode()


def test_missing_mp4_rendition_is_reported(sandbox, upload_clip, folder, run_here):
    asset_id = make_ready(sandbox, upload_clip)
    done = run_here("assets", "download", asset_id, "--mp4", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "has no MP4 rendition yet" in done.stderr.decode()


def test_largest_mp4_rendition_is_chosen():
    mp4 = "html5/video/mp4"
    sources = (
        PlaybackSource(url="hls", type="html5/application/vnd.apple.mpegurl", width=4000, height=1),
        PlaybackSource(url="small", type=mp4, width=640, height=360, bitrate=9e6),
        PlaybackSource(url="large", type=mp4, width=1280, height=720, bitrate=1e6),
        PlaybackSource(url="unknown", type=mp4),
    )
    assert choose_mp4(sources).url == "large"
    assert choose_mp4(sources[:1]) is None


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("talk.mp4", "talk.mp4"),
        ("talk", "talk.mp4"),
        ("talk.MOV", "talk.MOV"),
        ("../../etc/passwd", "etc-passwd.mp4"),
        ("a\x1b]0;b\nc", "a�]0;b c.mp4"),
        (None, "ID.mp4"),
        ("..", "ID.mp4"),
        ("é" * 300 + ".mp4", "é" * 100 + ".mp4"),
        ("bad\ud800", "bad�.mp4"),
    ],
)
def test_file_name_is_safe(name, file_name):
    assert safe_file_name(name, "ID") == file_name
