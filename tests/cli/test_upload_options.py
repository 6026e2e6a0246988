"""`upload` with the options of `ingest`: --max-rate, --playback-policy, --creator-id, --report."""

import json

import pytest

from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.sandbox import Fault, On, Slow
from support.clock import wait_until
from support.command_line import interrupt, read_report, start
from support.constants import MIB

FIELDS = [
    *("key", "place", "state", "asset_id", "playback_id", "playerUrl", "playbackUrl"),
    *("bytes", "seconds", "attempts", "verified", "error", "is_earlier"),
]


@pytest.mark.parametrize("policy", ['{"type": "jwt"}', "jwt", " JWT"])
def test_policy_and_creator_are_set(sandbox, clip, run_here, policy):
    arguments = ["--playback-policy", policy, "--creator-id", "user-1", "--json"]
    done = run_here("upload", clip, *arguments, "--no-journal", sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    asset_id = json.loads(done.stdout)["asset_id"]
    document = json.loads(run_here("assets", "get", asset_id, "--json", sandbox=sandbox).stdout)
    assert document["name"] == "clip.mp4"
    assert document["playbackPolicy"] == {"type": "jwt"}
    assert document["creatorId"] == {"type": "unverified", "value": "user-1"}
    assert json.loads(done.stdout)["playbackUrl"] is None
    assert json.loads(done.stdout)["playerUrl"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-rate", "fast"], "'fast' isn't a rate"),
        (["--playback-policy", "secret"], "playbackPolicy isn't JSON"),
        (["--creator-id", '{"valu": 1}'], "did you mean value?"),
        (["--report", "-"], "--report needs a file"),
    ],
)
def test_bad_value_is_refused_as_by_ingest(clip, sandbox, arguments, message, run_here):
    done = run_here("upload", clip, *arguments, sandbox=sandbox)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.decode().split())
    assert "secret" not in done.stderr.decode()
    assert sandbox.assets == []


def test_report_has_the_lines_of_ingest(sandbox, clip, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    missing = tmp_path / "missing.mp4"
    arguments = ["upload", clip, missing, "--report", report, "--max-rate", "100M"]
    done = run_here(*arguments, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 1
    failed, ready = sorted(read_report(report), key=lambda line: line["state"])
    assert list(ready) == list(failed) == FIELDS
    assert (ready["state"], ready["key"], ready["place"]) == ("ready", str(clip), str(clip))
    assert (ready["bytes"], ready["verified"]) == (len(read_clip()), "size")
    assert (
        ready["playerUrl"] == ready["playbackUrl"] == f"https://lvpr.tv/?v={ready['playback_id']}"
    )
    assert (ready["is_earlier"], ready["attempts"]) == (False, 1)
    assert (failed["state"], failed["error"]["type"]) == ("failed", "SourceNotReadable")
    done = run_here(*arguments, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path))
    again = next(line for line in read_report(report) if line["state"] == "ready")
    assert (again["asset_id"], again["is_earlier"]) == (ready["asset_id"], True)


def test_report_names_unfinished_files(open_sandbox, tmp_path):
    video, report = tmp_path / "long.mp4", tmp_path / "report.jsonl"
    write_video(video, 9 * MIB)
    with open_sandbox(faults=[Fault(On(method="PATCH"), Slow(100_000))]) as sandbox:
        arguments = ["upload", video, "--report", report]
        with start(*arguments, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path)) as process:
            wait_until(lambda: any(it.method == "PATCH" for it in sandbox.requests))
            interrupt(process)
    assert process.returncode == 130
    (line,) = read_report(report)
    assert (line["state"], line["asset_id"]) == ("unfinished", sandbox.assets[0].id)


@pytest.mark.parametrize("target", ["{clip}", "{journal}"])
def test_report_does_not_overwrite_other_files(sandbox, clip, tmp_path, run_here, target):
    journal = tmp_path / "uploads.journal"
    path = target.format(clip=clip, journal=journal)
    arguments = ["upload", clip, "--journal", journal, "--report", path]
    done = run_here(*arguments, sandbox=sandbox)
    assert done.returncode == 2
    assert "the report would overwrite the" in done.stderr.decode()
    assert clip.read_bytes() == read_clip()
