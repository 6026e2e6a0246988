import json
import os
import re
import signal

import pytest

from livepeer_async import AsyncLivepeer
from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.journal.records import Record, RecordState
from livepeer_async.sandbox import Answer, CutConnection, Fault, LoseAnswer, On, Slow
from livepeer_async.sources.identity import SourceIdentity
from support.clock import wait_until
from support.constants import MIB


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "uploads.journal"


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "long.mp4", 20 * MIB)
    return tmp_path / "long.mp4"


@pytest.fixture
def upload(run_here):
    def begin(*arguments, sandbox):
        done = run_here("upload", *arguments, "--json", sandbox=sandbox)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    return begin


def test_second_run_reports_the_same_asset(sandbox, clip, upload, run_here):
    _, (first,) = upload(clip, sandbox=sandbox)
    done = run_here("upload", clip, sandbox=sandbox)
    assert first["asset_id"] in done.stdout.decode()
    assert "1 of 1 ready in " in done.stderr.decode()
    assert done.stderr.decode().endswith(
        "1 file uploaded by an earlier run; use --force to upload again\n"
    )
    assert (done.returncode, len(sandbox.assets)) == (0, 1)


@pytest.mark.parametrize("option", ["--force", "--no-journal"])
def test_force_and_no_journal_upload_again(sandbox, clip, option, upload):
    upload(clip, sandbox=sandbox)
    done, (second,) = upload(clip, option, sandbox=sandbox)
    assert (done.returncode, second["attempts"], len(sandbox.assets)) == (0, 1, 2)


def test_killed_command_is_resumed(open_sandbox, video, journal, start, upload):
    slow = Fault(On(method="PATCH", nth=2), Slow(500_000))
    with open_sandbox(storage="s3", faults=[slow]) as sandbox:
        process = start("upload", video, "--journal", journal, sandbox=sandbox)
        wait_until(lambda: slow.fired)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sandbox.clear_log()
        done, (line,) = upload(video, "--journal", journal, sandbox=sandbox)
        assert (done.returncode, line["phase"], len(sandbox.assets)) == (0, "ready", 1)
        sent = sum(request.received for request in sandbox.requests if request.method == "PATCH")
        assert sent <= 20 * MIB - 8 * MIB
        assert sandbox.stored(line["playback_id"]).read_bytes() == video.read_bytes()


def test_exhausted_retries_suggest_the_same_command(open_sandbox, video, journal, run_here):
    faults = [Fault(On(method="PATCH", nth=2), CutConnection(1000))]
    faults.append(Fault(On(method="HEAD"), Answer(503)))
    with open_sandbox(storage="s3", faults=faults) as sandbox:
        command = ["upload", video, "--journal", journal, "--retries", "1"]
        done = run_here(*command, sandbox=sandbox)
        assert done.returncode == 1
        assert "run the same command to resume" in done.stderr.decode()
        sandbox.faults.clear()
        done = run_here(*command, sandbox=sandbox)
        assert done.returncode == 0
        assert len(sandbox.assets) == 1
    printed = done.stderr.decode().splitlines()
    assert printed[0].endswith("long.mp4: continuing from 8.0 MiB of 20.0 MiB")
    assert not any(line.endswith("continuing from 8.0 MiB") for line in printed)
    assert printed[-1].startswith("1 of 1 ready, 12.0 MiB sent in ")


def test_list_shows_records(sandbox, clip, journal, upload, run_here):
    upload(clip, "--journal", journal, sandbox=sandbox)
    done = run_here("journal", "list", "--journal", journal, sandbox=sandbox)
    (asset,) = sandbox.assets
    assert done.returncode == 0
    assert str(clip) in done.stdout.decode()
    assert asset.id in done.stdout.decode()
    lines = run_here("journal", "list", "--journal", journal, "--json", sandbox=sandbox).stdout
    assert json.loads(lines) == {
        "key": str(clip),
        "state": "ready",
        "name": "clip.mp4",
        "asset_id": asset.id,
        "playback_id": asset.playback_id,
        "size": len(read_clip()),
        "journal": str(journal),
    }


def test_list_needs_no_key_and_names_its_file(sandbox, clip, tmp_path, run_here):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert b"there is no journal in" in run_here("journal", "list", **state).stderr
    run_here("upload", clip, sandbox=sandbox, **state)
    done = run_here("journal", "list", **state)
    assert done.returncode == 0
    assert sandbox.assets[0].id in done.stdout.decode()
    (file,) = (tmp_path / "state" / "livepeer-async").glob("*.journal")
    assert done.stderr.decode() == f"journal: {file}\n"
    other = run_here("journal", "list", LIVEPEER_API_KEY="other", **state)
    assert b"there is no journal" in other.stderr
    assert run_here("journal", "forget", clip, **state).returncode == 0
    assert run_here("journal", "list", **state).stderr.decode() == f"journal: {file} (empty)\n"


def test_key_in_several_journals_is_not_forgotten(sandbox, clip, tmp_path, run_here):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    for key in (sandbox.api_key, sandbox.add_user()):
        run_here("upload", clip, sandbox=sandbox, **{**state, "LIVEPEER_API_KEY": key})
    done = run_here("journal", "forget", clip, **state)
    assert done.returncode == 1
    assert b"name one of them with --journal" in done.stderr


def test_empty_or_damaged_journal_is_reported(tmp_path, run_here):
    state = {"XDG_STATE_HOME": str(tmp_path)}
    folder = tmp_path / "livepeer-async"
    folder.mkdir()
    (folder / "a.journal").touch()
    (folder / "b.journal").write_bytes(b"not SQLite" * 100)
    done = run_here("journal", "list", **state)
    assert done.returncode == 1
    assert len(done.stderr.decode().splitlines()) == 2


def test_forgotten_file_is_uploaded_again(sandbox, clip, journal, upload, run_here):
    upload(clip, "--journal", journal, sandbox=sandbox)
    done = run_here(
        "journal", "forget", os.path.relpath(clip), "--journal", journal, sandbox=sandbox
    )
    assert done.returncode == 0
    upload(clip, "--journal", journal, sandbox=sandbox)
    assert len(sandbox.assets) == 2
    done = run_here("journal", "forget", "nothing", "--journal", journal, sandbox=sandbox)
    assert done.returncode == 1
    assert "has no 'nothing'" in done.stderr.decode()


def test_owned_orphans_are_deleted(open_sandbox, clip, journal, run_here):
    faults = [
        Fault(On(method="DELETE"), Answer(404, b'{"errors":["not found"]}')),
        Fault(On(method="POST", path="/upload/tus", nth=1), CutConnection(0)),
    ]
    with open_sandbox(faults=faults) as sandbox:
        assert run_here("upload", clip, "--journal", journal, sandbox=sandbox).returncode == 0
        sandbox.faults.clear()
        listed = run_here("journal", "orphans", "--journal", journal, sandbox=sandbox)
        left, used = sandbox.assets
        assert left.id in listed.stdout.decode()
        assert used.id not in listed.stdout.decode()
        command = ["journal", "orphans", "--journal", journal, "--delete"]
        deleted = run_here(*command, sandbox=sandbox)
        assert "deleted 1 asset" in deleted.stderr.decode()
        assert [asset.is_deleted for asset in sandbox.assets] == [True, False]
        again = run_here(*command, sandbox=sandbox)
        assert (again.returncode, again.stdout) == (0, b"")
        assert again.stderr.decode() == "no assets are left over\n"


def test_orphans_of_unknown_origin_are_not_deleted(open_sandbox, clip, journal, run_here):
    lost = Fault(On(path="request-upload", nth=1), LoseAnswer())
    with open_sandbox(faults=[lost]) as sandbox:
        assert run_here("upload", clip, "--journal", journal, sandbox=sandbox).returncode == 0
        command = ["journal", "orphans", "--journal", journal, "--delete"]
        done = run_here(*command, sandbox=sandbox)
        assert done.returncode == 1
        assert "name and time" in done.stdout.decode()
        assert "deleted nothing: the journal has the ID of none of them" in done.stderr.decode()
        assert "may belong to another user" in done.stderr.decode()
        line = json.loads(run_here(*command, "--json", sandbox=sandbox).stdout)
        assert (line["asset_id"], line["is_ours"]) == (sandbox.assets[0].id, False)
        assert [asset.is_deleted for asset in sandbox.assets] == [False, False]


@pytest.mark.parametrize("way", ["--delete", "--dismiss", "--dismiss ID"])
def test_uncertain_orphan_is_ended_by_the_user(open_sandbox, clip, journal, run_here, way):
    lost = Fault(On(path="request-upload", nth=1), LoseAnswer())
    with open_sandbox(faults=[lost]) as sandbox:
        run_here("upload", clip, "--journal", journal, sandbox=sandbox)
        left, used = sandbox.assets
        option, *named = way.split()
        named = [left.id] if named or option == "--delete" else []
        command = ["journal", "orphans", "--journal", journal]
        # Without IDs, the journal is enough: no key is needed.
        done = run_here(*command, option, *named, sandbox=sandbox if named else None)
        assert done.returncode == 0
        assert [it.is_deleted for it in sandbox.assets] == [option == "--delete", False]
        again = run_here(*command, sandbox=sandbox)
        assert again.stderr.decode() == "no assets are left over\n"
        refused = run_here(*command, "--delete", used.id, sandbox=sandbox)
        assert refused.returncode == 1
        assert f"{used.id} isn't left over" in refused.stderr.decode()
        assert not sandbox.assets[1].is_deleted


@pytest.mark.parametrize("options", [["--delete", "--dismiss"], ["an-id"]])
def test_orphans_rejects_contradictions(sandbox, options, run_here):
    assert run_here("journal", "orphans", *options, sandbox=sandbox).returncode == 2


def test_key_without_lists_says_that_it_cannot_look(open_sandbox, clip, journal, run_here):
    lost = Fault(On(path="request-upload", nth=1), LoseAnswer())
    with open_sandbox(faults=[lost]) as sandbox:
        key = sandbox.add_key("POST /asset/request-upload", "GET /asset/:id")
        command = ["upload", clip, "--journal", journal]
        runs = [run_here(*command, sandbox=sandbox, LIVEPEER_API_KEY=key) for _ in range(2)]
        assert [done.returncode for done in runs] == [0, 0]
        said = "1 request for uploads got no response and may have left assets without bytes"
        assert said in runs[0].stderr.decode()
        assert said not in runs[1].stderr.decode()
        command = ["journal", "orphans", "--journal", journal]
        listed = run_here(*command, sandbox=sandbox, LIVEPEER_API_KEY=key)
        assert (listed.returncode, "--dismiss" in listed.stderr.decode()) == (0, True)
        run_here(*command, "--dismiss", sandbox=sandbox, LIVEPEER_API_KEY=key)
        again = run_here(*command, sandbox=sandbox, LIVEPEER_API_KEY=key)
        assert again.stderr.decode() == "no assets are left over\n"


@pytest.mark.parametrize("allowed", ["POST /asset/request-upload", "GET /asset/:id"])
def test_key_that_may_not_upload_fails_before_any_byte(sandbox, clip, allowed, run_here):
    key = sandbox.add_key(allowed)
    done = run_here("upload", clip, sandbox=sandbox, LIVEPEER_API_KEY=key)
    assert done.returncode == 3
    assert "it needs POST /asset/request-upload and GET /asset/ID" in done.stderr.decode()
    assert not sandbox.assets


def test_unusable_journal_has_no_traceback(sandbox, clip, tmp_path, run_here):
    (tmp_path / "notes.txt").write_text("name,path\n" * 100)
    done = run_here("upload", clip, "--journal", tmp_path / "notes.txt", sandbox=sandbox)
    assert done.returncode == 1
    assert "isn't a journal: the file isn't an SQLite database" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert sandbox.assets == []


def test_unwritable_home_runs_without_a_journal(sandbox, clip, tmp_path, run_here):
    (tmp_path / "file").touch()
    done = run_here("upload", clip, sandbox=sandbox, XDG_STATE_HOME=str(tmp_path / "file"))
    assert done.returncode == 0
    assert "running without a journal" in done.stderr.decode()


@pytest.mark.parametrize("command", ["upload", "ingest"])
def test_missing_folder_of_the_journal_is_named(sandbox, clip, tmp_path, command, run_here):
    source = clip if command == "upload" else tmp_path
    done = run_here(command, source, "--journal", tmp_path / "none" / "j", sandbox=sandbox)
    assert done.returncode == 1
    expected = f"there is no folder {tmp_path / 'none'}; create it, or use another file"
    assert expected in done.stderr.decode()


def test_missing_home_runs_without_a_journal(sandbox, clip, run_here, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", home)
    done = run_here("upload", clip, sandbox=sandbox, XDG_STATE_HOME="")
    assert done.returncode == 0
    assert "running without a journal (Could not" in done.stderr.decode()


def test_contradicting_options_are_rejected(sandbox, clip, run_here):
    done = run_here("upload", clip, "--no-journal", "--force", sandbox=sandbox)
    assert done.returncode == 2
    assert "can't be combined with" in done.stderr.decode()


@pytest.mark.parametrize("command", [["list"], ["orphans"], ["forget", "x"]])
def test_missing_journal_is_not_created(sandbox, tmp_path, command, run_here):
    missing = tmp_path / "typo.journal"
    done = run_here("journal", *command, "--journal", missing, sandbox=sandbox)
    assert (done.returncode, missing.exists()) == (1, False)
    assert "there is no journal" in done.stderr.decode()


def test_force_uploads_complete_files_again(sandbox, clip, run_here):
    assert run_here("upload", clip, "--no-wait", sandbox=sandbox).returncode == 0
    assert run_here("upload", clip, "--force", sandbox=sandbox).returncode == 0
    assert len(sandbox.assets) == 2


def test_refused_force_keeps_the_earlier_record(sandbox, clip, journal, run_here):
    command = ["upload", clip, "--journal", journal]
    assert run_here(*command, sandbox=sandbox).returncode == 0
    listing = ["journal", "list", "--journal", journal, "--json"]
    before = run_here(*listing, sandbox=sandbox).stdout
    refused = ["--playback-policy", '{"type": "private"}']
    forced = run_here(*command, "--force", *refused, sandbox=sandbox)
    assert (forced.returncode, b"422" in forced.stderr) == (1, True)
    assert run_here(*listing, sandbox=sandbox).stdout == before
    again = run_here(*command, sandbox=sandbox)
    assert (again.returncode, len(sandbox.assets)) == (0, 1)
    clip.write_bytes(read_clip() + b"more")
    changed = run_here(*command, sandbox=sandbox)
    assert "has changed since it was uploaded" in changed.stderr.decode()


def test_signature_of_a_url_key_is_not_shown(sandbox, journal, portal, run_here):
    urls = ["https://h/one.mp4?sign=hush", "https://h/two.mp4?sign=1", "https://h/two.mp4?sign=2"]

    async def write_records():
        async with AsyncLivepeer(
            sandbox.api_key, base_url=sandbox.base_url, journal=journal
        ) as livepeer:
            for url in urls:
                identity = SourceIdentity(length=1)
                record = Record(
                    key=url,
                    state=RecordState.READY,
                    name="one",
                    identity=identity,
                    requested_at=0.0,
                )
                await livepeer.journal.write(record)

    portal.call(write_records)
    command = ["journal", "list", "--journal", journal]
    table = run_here(*command, sandbox=sandbox).stdout.decode()
    lines = run_here(*command, "--json", sandbox=sandbox).stdout.decode().splitlines()
    assert "https://h/one.mp4" in table
    assert json.loads(lines[0])["key"] == "https://h/one.mp4"
    assert "sign=" not in table + "".join(lines)
    command = ["journal", "forget", "https://h/one.mp4", "--journal", journal]
    assert run_here(*command, sandbox=sandbox).returncode == 0
    command[2] = "https://h/two.mp4"
    done = run_here(*command, sandbox=sandbox)
    assert done.returncode == 1
    assert "2 records are shown as 'https://h/two.mp4'" in done.stderr.decode()


def test_changes_of_assets_reach_the_journal(sandbox, clip, run_here):
    assert run_here("upload", clip, sandbox=sandbox).returncode == 0
    (asset,) = sandbox.assets
    assert run_here("assets", "update", asset.id, "--name", "New", sandbox=sandbox).returncode == 0
    (line,) = run_here("journal", "list", "--json", sandbox=sandbox).stdout.splitlines()
    assert json.loads(line)["name"] == "New"
    assert run_here("assets", "delete", asset.id, "--yes", sandbox=sandbox).returncode == 0
    assert run_here("journal", "list", "--json", sandbox=sandbox).stdout == b""
    assert run_here("journal", "orphans", "--json", sandbox=sandbox).stdout == b""


def test_forget_says_what_stays_on_the_server(sandbox, clip, journal, run_here):
    run_here("upload", clip, "--journal", journal, sandbox=sandbox)
    forget = ["journal", "forget", clip, "--journal", journal]
    done = run_here(*forget, sandbox=sandbox)
    assert done.stderr.decode() == (
        "its asset stays on the server; to delete it: livepeer-async assets delete "
        f"{sandbox.assets[0].id}\n"
    )
    again = run_here(*forget, sandbox=sandbox)
    assert "wanted a key, the path of a file or an asset ID" in again.stderr.decode()


# As older versions wrote them for a file that was named twice, and keys that look like options.
ODD_KEYS = ["/videos/a.mp4\0002", "--talk", "line\nbreak"]


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("form", ["table", "json", "asset ID"])
def test_forget_takes_what_list_prints(key, form, sandbox, journal, portal, run_here):
    record = Record(
        key=key,
        state=RecordState.READY,
        name="a.mp4",
        asset_id="asset-1",
        identity=SourceIdentity(length=1),
        requested_at=0.0,
    )

    async def write_record():
        options = {"base_url": sandbox.base_url, "journal": journal}
        async with AsyncLivepeer(sandbox.api_key, **options) as livepeer:
            await livepeer.journal.write(record)

    portal.call(write_record)
    command = ["journal", "list", "--journal", journal]
    if form == "table":
        last = run_here(*command, sandbox=sandbox, COLUMNS="200").stdout.decode().splitlines()[-1]
        printed = re.split("  +", last.strip())[-1]
    else:
        (line,) = run_here(*command, "--json", sandbox=sandbox).stdout.decode().splitlines()
        printed = re.search('"key": "([^"]*)"', line)[1] if form == "json" else "asset-1"
    assert "\0" not in printed
    forget = ["journal", "forget", printed, "--journal", journal]
    done = run_here(*forget, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    assert run_here(*command, "--json", sandbox=sandbox).stdout == b""
