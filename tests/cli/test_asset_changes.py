"""`assets update`, `retry` and `open`."""

import json
import sys

import pytest

from livepeer_async.sandbox import FailProcessing, Fault, On
from support.clock import wait_until
from support.command_line import documents, lines_of


@pytest.fixture
def ready(sandbox, upload_clip):
    """A ready asset."""
    upload_clip(sandbox, "first")
    wait_until(lambda: sandbox.assets[0].phase == "ready")
    return sandbox.assets[0]


@pytest.fixture
def failing(open_sandbox, upload_clip):
    """A sandbox with two failed assets, which succeed when they are processed again."""
    faults = [Fault(On(method="POST", nth=1), FailProcessing("internal error processing file"))]
    with open_sandbox(faults=faults) as sandbox:
        upload_clip(sandbox, "first")
        wait_until(lambda: sandbox.assets[0].phase == "failed")
        yield sandbox


def test_update_changes_what_is_named(sandbox, ready, run_here):
    arguments = ["--name", "New", "--creator-id", "user-1", "--json"]
    done = run_here("assets", "update", ready.id, *arguments, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["id"], document["name"]) == (ready.id, "New")
    assert document["creatorId"] == {"type": "unverified", "value": "user-1"}
    policy = '{"type": "public"}'
    done = run_here("assets", "update", ready.id, "--playback-policy", policy, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("New\n")
    done = run_here("assets", "update", ready.id, "--ipfs", sandbox=sandbox)
    shown = dict(line.strip().split("  ", 1) for line in lines_of(done.stdout)[1:])
    assert shown["creator ID"].strip() == "user-1"
    assert shown["IPFS"].strip() in {"waiting", "processing"}


def test_get_shows_the_policy_of_a_private_asset(sandbox, clip, run_here):
    options = ["--playback-policy", "jwt", "--creator-id", "7", "--no-journal"]
    run_here("upload", clip, *options, sandbox=sandbox)
    done = run_here("assets", "get", sandbox.assets[0].id, sandbox=sandbox)
    printed = " ".join(done.stdout.decode().split())
    assert "playback policy jwt" in printed
    assert "creator ID 7" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to change; wanted --name, --playback-policy, --creator-id or --ipfs"),
        (["--playback-policy", "secret"], "playbackPolicy isn't JSON"),
        (["--playback-policy", '{"typ": "jwt"}'], "did you mean type?"),
        (["--creator-id", " "], "creatorId is empty"),
    ],
)
def test_update_refuses_what_cannot_work(sandbox, arguments, message, run_here):
    done = run_here("assets", "update", "a1", *arguments, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in " ".join(done.stderr.decode().split())
    assert "secret" not in done.stderr.decode()


def test_update_of_a_public_asset_cannot_make_it_private(sandbox, ready, run_here):
    policy = '{"type": "jwt"}'
    done = run_here("assets", "update", ready.id, "--playback-policy", policy, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")


def test_retry_names_the_command_that_waits(failing, run_here):
    asset = failing.assets[0]
    done = run_here("assets", "retry", asset.id, "unknown", sandbox=failing)
    assert (done.returncode, done.stdout) == (1, b"")
    begun, unknown, advice = lines_of(done.stderr)
    assert begun == f"{asset.id}: the server processes it again"
    assert unknown.startswith("Error: 'unknown' isn't an asset ID")
    assert advice == f"to wait until it is ready: livepeer-async assets wait {asset.id}"
    done = run_here("assets", "wait", asset.id, "--json", sandbox=failing)
    assert json.loads(done.stdout)["status"]["phase"] == "ready"


def test_retry_names_all_assets_to_wait_for(open_sandbox, upload_clip, run_here):
    faults = [Fault(On(method="POST"), FailProcessing("internal error processing file"))]
    with open_sandbox(faults=faults) as sandbox:
        ids = upload_clip(sandbox, "first", "second")
        wait_until(lambda: {asset.phase for asset in sandbox.assets} == {"failed"})
        done = run_here("assets", "retry", *ids, sandbox=sandbox)
    advice = lines_of(done.stderr)[-1]
    assert advice == f"to wait until they are ready: livepeer-async assets wait {' '.join(ids)}"


def test_retry_can_wait(failing, run_here):
    asset = failing.assets[0]
    done = run_here("assets", "retry", asset.id, "--wait", "--json", sandbox=failing)
    assert done.returncode == 0, done.stderr
    (document,) = documents(lines_of(done.stdout))
    assert (document["id"], document["status"]["phase"]) == (asset.id, "ready")


def test_retry_with_json_prints_a_line_for_each(failing, run_here):
    asset = failing.assets[0]
    done = run_here("assets", "retry", asset.id, "--json", sandbox=failing)
    assert documents(lines_of(done.stdout)) == [{"asset_id": asset.id, "is_retried": True}]
    assert done.stderr == b""


def test_open_prints_the_link_and_opens_it(sandbox, ready, tmp_path, run_here):
    opened = tmp_path / "opened"
    program = tmp_path / "browser.py"
    program.write_text(
        f"import sys, pathlib\npathlib.Path({str(opened)!r}).write_text(sys.argv[1])"
    )
    browser = f"{sys.executable} {program} %s"
    done = run_here("assets", "open", ready.id, sandbox=sandbox, BROWSER=browser)
    link = f"https://lvpr.tv/?v={ready.playback_id}"
    assert (done.returncode, done.stdout.decode()) == (0, f"{link}\n")
    assert "it plays assets of Livepeer, not of this machine" in done.stderr.decode()
    assert opened.read_text() == link


def test_open_without_a_browser_still_prints_the_link(sandbox, ready, run_here):
    done = run_here("assets", "open", ready.id, sandbox=sandbox, BROWSER="/bin/false %s")
    assert done.returncode == 1
    assert done.stdout.decode() == f"https://lvpr.tv/?v={ready.playback_id}\n"
    assert "open the link yourself" in done.stderr.decode()
