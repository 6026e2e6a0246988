import json

import pytest

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
    said = done.stdout.decode()
    assert said.startswith("first\n")
    for fact in (uploaded[0], "ready", "139.6 KiB (142,994 bytes)", "sha256"):
        assert fact in said


def test_get_as_json_is_the_apis_own_document(sandbox, uploaded, run_here):
    done = run_here("assets", "get", uploaded[0], "--json", sandbox=sandbox)
    document = json.loads(done.stdout)
    assert (document["id"], document["status"]["phase"]) == (uploaded[0], "ready")
    assert {"playbackId", "createdAt", "size"} <= set(document)


def test_an_id_that_isnt_there_is_a_failure(sandbox, run_here):
    done = run_here("assets", "get", "nobody", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert "404 from GET" in line
    assert "check the ID" in line


def test_an_id_that_isnt_there_isnt_waited_for(sandbox, run_here):
    done = run_here("assets", "wait", "nobody", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert "404 from GET" in line
    assert "check the ID" in line
    assert "BASE_URL" not in line


@pytest.mark.parametrize(
    "arguments", [["assets", "list"], ["assets", "get", "a1"], ["upload", "x"]]
)
def test_a_base_url_without_its_end_is_doubted_and_not_the_id(arguments, sandbox, run_here):
    url = sandbox.base_url.removesuffix("/api")
    done = run_here(*arguments, sandbox=sandbox, LIVEPEER_BASE_URL=url)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "check LIVEPEER_BASE_URL; it ends in /api" in line
    assert "the ID" not in line
    assert "API_KEY" not in line


def test_list_shows_the_newest_first_and_says_that_there_are_more(sandbox, uploaded, run_here):
    done = run_here("assets", "list", sandbox=sandbox)
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == [
        "name",
        "second",
        "first",
    ]
    assert done.stderr == b""
    done = run_here("assets", "list", "--limit", "1", "--json", sandbox=sandbox)
    assert json.loads(done.stdout)["name"] == "second"
    assert done.stderr.decode() == "these are the newest 1; --limit shows more\n"


def test_list_of_no_assets_says_so(sandbox, run_here):
    done = run_here("assets", "list", "--phase", "failed", sandbox=sandbox)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == "no assets in the phase failed\n"


def test_wait_ends_with_the_ready_asset_or_says_that_it_isnt(
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


def test_delete_takes_all_that_it_can(sandbox, uploaded, run_here):
    done = run_here(
        "assets", "delete", uploaded[0], "nobody", uploaded[1], "--yes", sandbox=sandbox
    )
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [f"deleted {asset_id}" for asset_id in uploaded]
    assert done.stderr.decode().startswith("Error: nobody: ")
    assert all(asset.is_deleted for asset in sandbox.assets)


@pytest.mark.parametrize(("answer", "is_deleted"), [("n", False), ("", False), ("y", True)])
def test_delete_asks_on_a_terminal(sandbox, uploaded, answer, is_deleted):
    terminal = Terminal("assets", "delete", uploaded[0], sandbox=sandbox)
    terminal.read_until("Delete 1 asset for good? [y/N]")
    terminal.type(f"{answer}\n")
    assert terminal.finish() == (0 if is_deleted else 1)
    assert sandbox.assets[0].is_deleted is is_deleted


def test_names_from_the_server_cant_control_the_terminal(sandbox, upload_clip):
    (asset_id,) = upload_clip(sandbox, "x\x1b]0;owned\x07\ny")
    for command in (["list"], ["get", asset_id]):
        terminal = Terminal("assets", *command, sandbox=sandbox, columns=60)
        assert terminal.finish() == 0
        assert "\x1b]0;" not in terminal.screen
        assert "x�]0;owned� y" in plain(terminal.screen)
