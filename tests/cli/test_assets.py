import json
import signal

import pytest

from livepeer_async.sandbox import Answer, Fault, On
from support.clock import wait_until
from support.command_line import Terminal, plain, run


@pytest.fixture
def uploaded(sandbox, upload_clip):
    """The IDs of two assets."""
    ids = upload_clip(sandbox, "first", "second")
    wait_until(lambda: [asset.phase for asset in sandbox.assets] == ["ready", "ready"])
    return ids


def test_get_shows_an_asset(sandbox, uploaded):
    done = run("assets", "get", uploaded[0], sandbox=sandbox)
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode()
    assert printed.startswith("first\n")
    for fact in (uploaded[0], "ready", "139.6 KiB (142,994 bytes)", "sha256", "index.m3u8"):
        assert fact in printed
    assert "lvpr.tv" not in printed


def test_get_with_json_prints_the_api_document(sandbox, uploaded, run_here):
    done = run_here("assets", "get", uploaded[0], "--json", sandbox=sandbox)
    document = json.loads(done.stdout)
    assert (document["id"], document["status"]["phase"]) == (uploaded[0], "ready")
    assert {"playbackId", "createdAt", "size"} <= set(document)
    assert document["playbackUrl"].endswith(".m3u8")
    assert document["playerUrl"] == f"https://lvpr.tv/?v={document['playbackId']}"


def test_unknown_id_is_a_failure(sandbox, run_here):
    done = run_here("assets", "get", "unknown", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line == (
        "Error: 'unknown' isn't an asset ID; livepeer-async assets list shows the asset IDs"
    )


def test_wait_fails_for_an_unknown_id(sandbox, run_here):
    unknown = "00000000-1111-4222-8333-444444444444"
    done = run_here("assets", "wait", unknown, sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert "404 from GET" in line
    assert "check the ID" in line
    assert "BASE_URL" not in line


COMMANDS = "get", "wait", "retry", "open", "download", "delete --yes", "update --ipfs"


def test_asset_id_is_named_if_something_else_is_given(sandbox, uploaded, run_here):
    asset = sandbox.assets[0]
    texts = {
        asset.playback_id: "the playback ID",
        asset.id[:13]: "the beginning of the ID",
        "first": "the name",
    }
    for command in COMMANDS:
        for text, kind in texts.items():
            done = run_here("assets", *command.split(), text, sandbox=sandbox)
            assert (done.returncode, done.stdout) == (1, b"")
            (line,) = done.stderr.decode().splitlines()
            assert line.startswith(f"Error: '{text}' is {kind} of asset {asset.id}")
            assert line.endswith(f"; use the asset ID {asset.id}")
    assert not asset.is_deleted


def test_wait_shows_several_assets_and_failures(sandbox, uploaded, run_here):
    unknown = "00000000-1111-4222-8333-444444444444"
    done = run_here("assets", "wait", *uploaded, unknown, "--json", sandbox=sandbox)
    assert done.returncode == 1
    ready = [json.loads(line)["id"] for line in done.stdout.decode().splitlines()]
    assert sorted(ready) == sorted(uploaded)
    assert "404 from GET" in done.stderr.decode()


@pytest.mark.parametrize(
    "arguments", [["assets", "list"], ["assets", "get", "a1"], ["upload", "x"]]
)
def test_wrong_base_url_is_reported_instead_of_the_id(arguments, sandbox, run_here):
    url = sandbox.base_url.removesuffix("/api")
    done = run_here(*arguments, sandbox=sandbox, LIVEPEER_BASE_URL=url)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "check LIVEPEER_BASE_URL; it ends in /api" in line
    assert "the ID" not in line
    assert "API_KEY" not in line


def test_list_shows_the_newest_first(sandbox, uploaded, run_here):
    done = run_here("assets", "list", sandbox=sandbox)
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == [
        "name",
        "second",
        "first",
    ]
    assert done.stderr == b""
    done = run_here("assets", "list", "--limit", "1", "--json", sandbox=sandbox)
    assert json.loads(done.stdout)["name"] == "second"
    assert done.stderr.decode() == "only the newest 1 are shown; use --limit for more\n"


def test_list_reports_no_assets(sandbox, run_here):
    done = run_here("assets", "list", "--phase", "failed", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == "no assets in phase failed\n"


def test_wait_returns_the_ready_asset_or_fails(
    sandbox, uploaded, open_sandbox, upload_clip, run_here
):
    done = run_here("assets", "wait", uploaded[0], sandbox=sandbox)
    assert done.returncode == 0
    assert "ready" in done.stdout.decode()
    with open_sandbox(processing_seconds=60) as slow:
        (asset_id,) = upload_clip(slow, "third")
        done = run_here("assets", "wait", asset_id, "--timeout", "0.2", sandbox=slow)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "isn't ready after" in done.stderr.decode()


def test_delete_continues_after_a_failure(sandbox, uploaded, run_here):
    done = run_here(
        "assets", "delete", uploaded[0], "unknown", uploaded[1], "--yes", sandbox=sandbox
    )
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [f"deleted {asset_id}" for asset_id in uploaded]
    assert done.stderr.decode().startswith("Error: 'unknown' isn't an asset ID")
    assert all(asset.is_deleted for asset in sandbox.assets)


@pytest.mark.parametrize(("answer", "is_deleted"), [("n", False), ("", False), ("y", True)])
def test_delete_asks_on_a_terminal(sandbox, uploaded, answer, is_deleted):
    terminal = Terminal("assets", "delete", uploaded[0], sandbox=sandbox)
    terminal.read_until(f"Delete {sandbox.assets[0].name} ({uploaded[0]}) permanently?")
    terminal.type(f"{answer}\n")
    assert terminal.finish() == (0 if is_deleted else 1)
    assert sandbox.assets[0].is_deleted is is_deleted


def test_ctrl_c_at_the_question_deletes_nothing(sandbox, uploaded):
    terminal = Terminal("assets", "delete", *uploaded, sandbox=sandbox)
    terminal.read_until("Delete 2 assets permanently? [y/N]")
    assert f"  {sandbox.assets[1].name} ({uploaded[1]})" in terminal.screen
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert not any(asset.is_deleted for asset in sandbox.assets)


def test_names_from_the_server_are_cleaned(sandbox, upload_clip):
    (asset_id,) = upload_clip(sandbox, "x\x1b]0;owned\x07\ny")
    for command in (["list"], ["get", asset_id]):
        terminal = Terminal("assets", *command, sandbox=sandbox, columns=60)
        assert terminal.finish() == 0
        assert "\x1b]0;" not in terminal.screen
        assert "x�]0;owned� y" in plain(terminal.screen)


def test_failures_of_a_list_are_shown_until_it_succeeds(open_sandbox, run_here):
    fault = Fault(On(method="GET", path="/asset$", times=2), Answer(502))
    with open_sandbox(faults=[fault]) as sandbox:
        done = run_here("assets", "list", sandbox=sandbox)
    *retries, last = done.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in retries] == ["502 from GET http"] * 2
    assert "; retry 1 of " in retries[0]
    assert "; retry 2 of " in retries[1]
    assert (done.returncode, last) == (0, "no assets")


def test_failure_of_a_list_is_erased_from_a_terminal(open_sandbox):
    fault = Fault(On(method="GET", path="/asset$", times=2), Answer(502))
    with open_sandbox(faults=[fault]) as sandbox:
        terminal = Terminal("assets", "list", sandbox=sandbox, columns=80)
        assert terminal.finish() == 0
    assert "retry in " in terminal.screen
    assert "(1 of " in terminal.screen
    # The line is erased before the result.
    assert "\x1b[2K" in terminal.screen.rpartition("(2 of ")[2].rpartition("no assets")[0]


def test_narrow_list_has_the_phases(sandbox, uploaded):
    terminal = Terminal("assets", "list", sandbox=sandbox, columns=50)
    assert terminal.finish() == 0
    lines = plain(terminal.screen).split("\r\n")[:-1]
    assert [line.split() for line in lines] == [
        ["second", "ready"],
        [uploaded[1]],
        ["first", "ready"],
        [uploaded[0]],
    ]
