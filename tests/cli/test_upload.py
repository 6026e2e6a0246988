import hashlib
import json
import os
import re
import stat

import pytest

from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.sandbox import Answer, FailProcessing, Fault, On, WrongSize
from support.command_line import Terminal, lines_of, plain, run
from support.constants import MIB, UNREACHABLE_API

SHA256 = hashlib.sha256(read_clip()).hexdigest()
HOSTILE = "a\nb \x1b]0;owned\x07\x1b[2J [bold]c[bold] :smile: 👩‍👩‍👧.mp4"


def busy(seconds=1):
    answer = Answer(503, headers={"Retry-After": f"{seconds}"})
    return Fault(On(method="PATCH", nth=1), answer)


def test_file_becomes_a_ready_asset_and_a_table(sandbox, clip):
    done = run("upload", clip, sandbox=sandbox)
    (asset,) = sandbox.assets
    assert done.returncode == 0
    assert (asset.name, asset.phase) == ("clip.mp4", "ready")
    header, line = lines_of(done.stdout)
    assert header.split()[0] == "name"
    assert line.split()[:3] == ["clip.mp4", asset.id, asset.playback_id]
    # The page plays no asset of this machine.
    assert "link" not in header
    assert b"lvpr.tv" not in done.stdout + done.stderr
    assert sandbox.stored_sha256(asset.playback_id) == SHA256


def test_pipe_gets_lines_without_control_sequences(sandbox, clip):
    done = run("upload", clip, sandbox=sandbox, FORCE_COLOR="1", COLUMNS="30")
    printed = lines_of(done.stderr)
    assert printed[0] == "clip.mp4: uploading 139.6 KiB"
    assert printed[-2].startswith("clip.mp4: ready after ")
    assert printed[-1].startswith("1 of 1 ready, 139.6 KiB sent in ")
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\r" not in done.stdout + done.stderr


def test_second_run_counts_no_bytes(sandbox, clip, run_here):
    assert run_here("upload", clip, sandbox=sandbox).returncode == 0
    done = run_here("upload", clip, sandbox=sandbox)
    summary, earlier = lines_of(done.stderr)[-2:]
    assert summary.startswith("1 of 1 ready in ")
    assert earlier.startswith("1 file uploaded by an earlier run")


def test_state_without_a_wait_has_one_name(open_sandbox, clip, run_here):
    with open_sandbox(processing_seconds=60) as sandbox:
        done = run_here("upload", clip, "--no-wait", sandbox=sandbox)
    printed = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0
    assert printed.count("arrived") == 3
    assert not any(word in printed for word in ("processing", "waiting", "done"))


@pytest.fixture
def namesakes(clip, tmp_path):
    """Clips of one name in two folders."""
    paths = [tmp_path / folder / "clip.mp4" for folder in ("2023", "2024")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(clip.read_bytes())
    return paths


def test_files_of_one_name_are_told_apart(sandbox, namesakes, run_here):
    done = run_here("upload", *namesakes, sandbox=sandbox)
    names = ["2023/clip.mp4", "2024/clip.mp4"]
    assert [line.split()[0] for line in lines_of(done.stdout)] == ["name", *names]
    assert sorted(asset.name for asset in sandbox.assets) == names


def test_names_follow_a_template(sandbox, clip, namesakes, run_here):
    template = "{row:02} {parent} {path} {stem} {name}"
    files = [*namesakes, clip]
    done = run_here("upload", *files, "--name-template", template, "--no-wait", sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert sorted(asset.name for asset in sandbox.assets) == [
        "01 2023 2023/clip.mp4 clip clip.mp4",
        "02 2024 2024/clip.mp4 clip clip.mp4",
        f"03 {clip.parent.name} clip.mp4 clip clip.mp4",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name-template", "{key}"], "has the unknown field {key}; wanted one or more of {name}"),
        (["--name-template", "{row}", "--name", "a"], "can't be combined with --name"),
    ],
)
def test_invalid_template_starts_nothing(sandbox, clip, options, message, run_here):
    done = run_here("upload", clip, *options, sandbox=sandbox)
    assert (done.returncode, sandbox.assets) == (2, [])
    assert message in done.stderr.decode()


def test_json_is_a_line_for_each_file(sandbox, clip, tmp_path):
    missing = tmp_path / "missing.mp4"
    done = run("upload", clip, missing, "--json", "--verify", "hash", sandbox=sandbox)
    assert done.returncode == 1
    results = {result["source"]: result for result in map(json.loads, lines_of(done.stdout))}
    (asset,) = sandbox.assets
    ready = results[str(clip)]
    assert ready.pop("seconds") > 0
    assert ready == {
        "source": str(clip),
        "asset_id": asset.id,
        "playback_id": asset.playback_id,
        "playerUrl": f"https://lvpr.tv/?v={asset.playback_id}",
        "playbackUrl": f"https://lvpr.tv/?v={asset.playback_id}",
        "phase": "ready",
        "size": clip.stat().st_size,
        "verified": "hash",
        "sha256": SHA256,
        "attempts": 1,
        "error": None,
    }
    failed = results[str(missing)]
    assert failed["error"]["type"] == "SourceNotReadable"
    assert "No such file" in failed["error"]["message"]
    assert (failed["asset_id"], failed["sha256"], failed["attempts"]) == (None, None, 0)


def test_failed_sources_do_not_stop_others(sandbox, clip, tmp_path, run_here):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    bad = [tmp_path / "missing.mp4", empty, "a\x01b.mp4"]
    done = run_here("upload", *bad, clip, sandbox=sandbox)
    assert done.returncode == 1
    printed = [line for line in lines_of(done.stderr) if line.startswith("Error: ")]
    assert "empty.mp4: failed" in lines_of(done.stderr)
    assert done.stderr.decode().count("empty.mp4 is empty") == 1
    assert len(printed) == 3
    assert "No such file or directory; check the path" in printed[0]
    assert printed[1].startswith("Error: empty.mp4 is empty")
    assert [asset.phase for asset in sandbox.assets] == ["ready"]
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("variables", [{}, {"LIVEPEER_BASE_URL": UNREACHABLE_API}])
def test_json_has_each_file_if_nothing_starts(variables, sandbox, clip, run_here):
    account = {"LIVEPEER_API_KEY": "wrong", **variables}
    copy = clip.with_name("copy.mp4")
    copy.write_bytes(read_clip())
    done = run_here("upload", clip, copy, "--json", "--retries", "0", sandbox=sandbox, **account)
    first, second = map(json.loads, lines_of(done.stdout))
    assert first | {"source": str(copy)} == second
    assert first["source"] == str(clip)
    assert first["error"]["type"] == ("ConnectFailed" if variables else "NotAuthenticated")
    (line,) = lines_of(done.stderr)
    assert line == f"Error: {first['error']['message']}"


@pytest.fixture
def video(tmp_path):
    """A file that is too long for the creation request."""
    write_video(tmp_path / "long.mp4", 9 * MIB)
    return tmp_path / "long.mp4"


def test_retry_is_printed_once(open_sandbox, video):
    with open_sandbox(faults=[busy()]) as sandbox:
        done = run("upload", video, sandbox=sandbox)
    assert done.returncode == 0
    (line,) = [line for line in lines_of(done.stderr) if "503 from" in line]
    assert line.startswith("long.mp4: 503 from PATCH ")
    assert line.endswith("; retry 1 of 8 in 1 s")


def test_terminal_shows_the_retry_until_bytes_move(open_sandbox, video):
    with open_sandbox(faults=[busy(2)]) as sandbox:
        terminal = Terminal("upload", video, sandbox=sandbox, columns=120)
        assert terminal.finish() == 0
    printed = plain(terminal.screen)
    assert re.search(r"retry in [12] s \(1 of 8\)", printed)
    assert "503 from" in printed
    assert "(1 of 8)" not in printed[printed.rindex("long.mp4 ") :]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable_file_fails(sandbox, clip):
    clip.chmod(stat.S_IWUSR)
    done = run("upload", clip, sandbox=sandbox)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr.decode()


def test_file_named_twice_is_uploaded_and_reported_once(sandbox, clip, run_here, monkeypatch):
    monkeypatch.chdir(clip.parent)
    os.symlink("clip.mp4", "link.mp4")
    names = ["clip.mp4", "./clip.mp4", clip, "../" + clip.parent.name + "/clip.mp4"]
    for wanted, more in ((1, []), (2, ["link.mp4"])):
        done = run_here("upload", *names, *more, "--no-journal", "--json", sandbox=sandbox)
        assert done.returncode == 0
        assert len(lines_of(done.stdout)) == wanted
        assert "clip.mp4 is named 4 times, and is one upload" in lines_of(done.stderr)
    assert len(sandbox.assets) == 3


def test_standard_input_is_uploaded_under_its_name(sandbox):
    done = run("upload", "-", "--name", "talk", "--json", sandbox=sandbox, stdin=read_clip())
    assert done.returncode == 0
    (asset,) = sandbox.assets
    assert asset.name == "talk"
    assert json.loads(done.stdout)["source"] == "-"
    assert sandbox.stored_sha256(asset.playback_id) == SHA256


def test_long_standard_input_is_exact(sandbox, tmp_path):
    write_video(tmp_path / "long.mp4", 20 * MIB, seed=1)
    content = (tmp_path / "long.mp4").read_bytes()
    done = run("upload", "-", "--json", "--verify", "hash", sandbox=sandbox, stdin=content)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["size"], result["verified"]) == (20 * MIB, "hash")
    assert result["sha256"] == hashlib.sha256(content).hexdigest()


def test_empty_standard_input_fails(sandbox):
    done = run("upload", "-", sandbox=sandbox, stdin=b"")
    assert done.returncode == 1
    assert "stdin is empty" in done.stderr.decode()


def test_standard_input_on_a_terminal_is_a_usage_error():
    terminal = Terminal("upload", "-", LIVEPEER_API_KEY="k")
    assert terminal.finish() == 2
    assert "pipe a video into it" in terminal.screen


def test_embedded_sandbox_needs_no_key(clip, run_here):
    done = run_here("upload", clip, "--sandbox", "--storage", "s3", "--no-wait", "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    # On a slow machine it may be ready when it is polled; a wait would have verified it.
    assert result["phase"] != "uploading"
    assert result["verified"] is None


def test_long_name_is_shortened_on_the_screen_only(sandbox, clip, run_here):
    done = run_here("upload", clip, "--name", "n" * 5000, sandbox=sandbox)
    assert done.returncode == 0
    assert sandbox.assets[0].name == "n" * 5000
    assert max(map(len, lines_of(done.stdout + done.stderr))) < 200


def test_hostile_name_is_cleaned(sandbox, clip):
    hostile = clip.rename(clip.parent / HOSTILE)
    piped = run("upload", hostile, "--json", sandbox=sandbox)
    assert piped.returncode == 0
    assert b"\x1b" not in piped.stdout + piped.stderr
    assert json.loads(piped.stdout)["source"] == str(hostile)
    terminal = Terminal("upload", hostile, sandbox=sandbox, columns=160)
    assert terminal.finish() == 0
    assert "\x1b]0;" not in terminal.screen
    assert "\x1b[2J" not in terminal.screen
    assert "\na b �]0;owned��[2J [bold]c[bold] :smile: 👩👩👧.mp4  " in plain(terminal.screen)
    assert {asset.name for asset in sandbox.assets} == {HOSTILE}


def test_terminal_shows_bars_and_restores_the_cursor(sandbox, clip):
    terminal = Terminal("upload", clip, "--verify", "hash", sandbox=sandbox, columns=120)
    assert terminal.finish() == 0
    assert "━━━" in terminal.screen
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")
    assert "1 of 1 ready" in plain(terminal.screen)
    assert f"{SHA256[:8]}…" in terminal.screen


def test_no_color_disables_colours(sandbox, clip):
    terminal = Terminal("upload", clip, sandbox=sandbox, NO_COLOR="1")
    assert terminal.finish() == 0
    assert "━━━" in terminal.screen
    assert "\x1b[3" not in terminal.screen


def test_dumb_terminal_gets_lines(sandbox, clip):
    terminal = Terminal("upload", clip, sandbox=sandbox, TERM="dumb")
    assert terminal.finish() == 0
    assert "clip.mp4: ready after " in terminal.screen
    assert "\x1b" not in terminal.screen


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (WrongSize(by=-1), "its content is wrong; delete the asset (livepeer-async assets delete "),
        (FailProcessing("no video track"), "no video track; check that the file plays"),
    ],
)
def test_wrong_or_failed_asset_is_a_failure(open_sandbox, clip, action, message, run_here):
    with open_sandbox(faults=[Fault(On(), action)]) as sandbox:
        done = run_here("upload", clip, sandbox=sandbox)
    assert done.returncode == 1
    assert done.stdout == b""
    assert message in done.stderr.decode()


def test_timeout_suggests_assets_wait(open_sandbox, clip, run_here):
    with open_sandbox(processing_seconds=60) as sandbox:
        done = run_here("upload", clip, "--ready-timeout", "0.3", sandbox=sandbox)
        (asset,) = sandbox.assets
    assert done.returncode == 1
    assert f"livepeer-async assets wait {asset.id}" in done.stderr.decode()
