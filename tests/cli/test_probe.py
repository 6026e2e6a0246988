"""`--probe` of `upload` and `ingest`."""

import pytest

from support.command_line import documents, lines_of, read_report
from support.media import make_media

BAD = (
    "video codec mjpeg, which Livepeer refuses; wanted a codec such as h264; convert it: ffmpeg -i"
)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "bad.mov").write_bytes(make_media("mov", "mjpeg", "yuvj420p"))
    (folder / "good.mp4").write_bytes(make_media("mp4", "libx264"))
    return folder


def test_upload_refuses_one_file_and_uploads_the_other(sandbox, videos, run_here):
    files = [videos / "bad.mov", videos / "good.mp4"]
    done = run_here("upload", "--probe", *files, sandbox=sandbox)
    assert done.returncode == 1
    assert [asset.name for asset in sandbox.assets] == ["good.mp4"]
    error = next(line for line in lines_of(done.stderr) if line.startswith("Error: "))
    assert error.startswith(f"Error: '{files[0]}' has {BAD} {files[0]} ")
    assert error.endswith(f" {videos}/bad.mp4")


def test_upload_writes_the_error_as_json(sandbox, videos, run_here):
    done = run_here("upload", "--probe", "--json", videos / "bad.mov", sandbox=sandbox)
    (document,) = documents(lines_of(done.stdout))
    assert document["error"]["type"] == "SourceUnsupported"
    assert BAD in document["error"]["message"]
    assert (document["asset_id"], document["attempts"]) == (None, 0)


def test_rule_can_be_ignored(sandbox, videos, run_here):
    options = ("--probe", "--probe-ignore", "video-codec", "--probe-ignore", "tracks")
    done = run_here("upload", *options, videos / "bad.mov", sandbox=sandbox)
    assert done.returncode == 0
    assert [asset.name for asset in sandbox.assets] == ["bad.mov"]


def test_ingest_reports_a_refused_file_as_a_bad_row(sandbox, videos, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    done = run_here("ingest", videos, "--probe", "--report", report, sandbox=sandbox)
    assert done.returncode == 1
    assert [asset.name for asset in sandbox.assets] == ["good.mp4"]
    rows = {row["state"]: row for row in read_report(report)}
    assert rows["bad"]["place"] == str(videos / "bad.mov")
    assert rows["bad"]["error"]["type"] == "SourceUnsupported"
    assert BAD in rows["bad"]["error"]["message"]
    assert rows["ready"]["place"] == str(videos / "good.mp4")
    assert "1 file can't be processed by Livepeer: convert it, or" in done.stderr.decode()


def test_check_needs_no_key_and_lists_refused_files(videos, run_here):
    done = run_here("ingest", videos, "--check", "--probe")
    assert done.returncode == 1
    assert lines_of(done.stdout)[0].endswith("1 bad row")
    assert BAD in done.stderr.decode()


def test_check_without_probe_reads_no_file(videos, run_here):
    done = run_here("ingest", videos, "--check")
    assert done.returncode == 0
    assert lines_of(done.stdout)[0].endswith("0 bad rows")


def test_strict_starts_nothing(sandbox, videos, run_here):
    done = run_here("ingest", videos, "--probe", "--strict", sandbox=sandbox)
    assert done.returncode == 1
    assert sandbox.assets == []
    assert "nothing was started, because of --strict" in done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--probe-ignore", "tracks"), "--probe-ignore needs --probe"),
        (("--probe", "--probe-ignore", "pixels"), "'pixels'; wanted one of tracks, video-codec"),
    ],
)
@pytest.mark.parametrize("command", ["upload", "ingest"])
def test_wrong_options_are_usage_errors(videos, run_here, command, options, message):
    source = videos / "good.mp4" if command == "upload" else videos
    done = run_here(command, source, *options)
    assert done.returncode == 2
    assert message in done.stderr.decode()


@pytest.mark.parametrize("command", ["upload", "ingest"])
def test_missing_package_is_named(videos, run_here, command):
    source = videos / "good.mp4" if command == "upload" else videos
    done = run_here(command, source, "--probe", missing=["av"])
    assert done.returncode == 2
    assert "--probe needs av" in done.stderr.decode()
