import json
import os
import stat
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from cli.shell import PATIENCE, Terminal, plain, run, untimed, wait_until
from livepeer_async.cli.clip import read_clip, write_video
from livepeer_async.cli.ingest_command import read_rate
from livepeer_async.sandbox import Answer, CutConnection, FailProcessing, Fault, On
from restarts.limits import small_disk

MIB = 1024 * 1024
FIELDS = [
    *("key", "place", "state", "asset_id", "playback_id", "bytes", "seconds", "attempts"),
    *("verified", "error", "is_earlier"),
]


@pytest.fixture
def folder(tmp_path):
    """A folder with four videos and what is none."""
    shows = tmp_path / "shows"
    (shows / "two").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4", "two/c.mp4"):
        (shows / name).write_bytes(read_clip())
    write_video(shows / "two/long.mp4", 9 * MIB)
    (shows / "notes.txt").write_text("no video")
    return shows


@pytest.fixture
def table(folder, tmp_path):
    """A table with two good rows and three bad ones."""
    table = tmp_path / "videos.csv"
    table.write_text(
        "path,key,name\nshows/a.mp4,a,First\nshows/missing.mp4,,\nshows/b.mp4,a,\n"
        "/etc/hostname,,\nshows/two/c.mp4,c,\n"
    )
    return table


def lines_of(output):
    return output.decode().splitlines()


def documents(lines):
    return [json.loads(line) for line in lines]


def table_of(done):
    """Give the table at the end: what comes after each name."""
    return {line[:10].strip(): line[10:].strip() for line in lines_of(done.stdout)}


def read_report(path):
    return documents(path.read_text().splitlines())


def test_a_folder_becomes_ready_assets_and_a_small_table(sandbox, folder, run_here):
    done = run_here("ingest", folder, sandbox=sandbox)
    assert done.returncode == 0
    assert {asset.name for asset in sandbox.assets} == {"a.mp4", "b.mp4", "c.mp4", "long.mp4"}
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    ready, sent = lines_of(done.stdout)
    assert ready == "ready        4"
    assert sent.startswith("sent   9.4 MiB  in ")
    assert sent.endswith("/s")
    assert done.stderr == b""


def test_each_row_has_a_line_in_the_report(sandbox, table, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    done = run_here("ingest", table, "--report", report, sandbox=sandbox)
    assert done.returncode == 1
    rows = {row["place"].rpartition(":")[2]: row for row in read_report(report)}
    assert all(list(row) == FIELDS for row in rows.values())
    states = {line: row["state"] for line, row in rows.items()}
    assert states == {"2": "ready", "3": "bad", "4": "bad", "5": "bad", "6": "ready"}
    first = next(asset for asset in sandbox.assets if asset.name == "First")
    assert rows["2"] | {"seconds": 0} == {
        "key": "a",
        "place": f"{table}:2",
        "state": "ready",
        "asset_id": first.id,
        "playback_id": first.playback_id,
        "bytes": len(read_clip()),
        "seconds": 0,
        "attempts": 1,
        "verified": "size",
        "error": None,
        "is_earlier": False,
    }
    assert rows["3"]["error"]["type"] == "BadRow"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_bad_rows_are_told_before_anything_starts(sandbox, table, run_here):
    done = run_here("ingest", table, sandbox=sandbox)
    said = lines_of(done.stderr)
    assert untimed(said[0]) == (
        f"{table}:3: '{table.parent}/shows/missing.mp4' can't be read: No such file or directory"
    )
    assert untimed(said[1]).startswith(f"{table}:4: the key 'a' stands in line 2 already")
    assert untimed(said[2]).startswith(f"{table}:5: '/etc/hostname', outside of the folder")
    assert said[-1] == "3 bad rows: mend the manifest and run the same command again"
    assert (table_of(done)["ready"], table_of(done)["bad rows"]) == ("2", "3")
    assert len(sandbox.assets) == 2


def test_a_check_needs_no_key_and_no_server(table, folder, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    done = run_here("ingest", table, "--check", "--report", report)
    assert done.returncode == 1
    assert lines_of(done.stdout) == [f"{table}: 2 good rows, 279.3 KiB; 3 bad rows"]
    assert len(lines_of(done.stderr)) == 3 + 1
    assert [row["state"] for row in read_report(report)] == ["bad"] * 3
    done = run_here("ingest", folder, "--check")
    assert done.returncode == 0
    assert done.stderr == b""
    (line,) = lines_of(done.stdout)
    assert line.startswith(f"{folder}: 4 good rows, 9.4 MiB; 0 bad rows; 1 other file in the ")


def test_a_check_tells_fifty_bad_rows_and_how_many_more(tmp_path, run_here):
    (tmp_path / "many.jsonl").write_text('{"path": "missing.mp4"}\n' * 60)
    done = run_here("ingest", tmp_path / "many.jsonl", "--check")
    said = lines_of(done.stderr)
    assert (done.returncode, len(said)) == (1, 51)
    assert said[-1] == "and 10 more bad rows: --report takes them all"
    done = run_here("ingest", tmp_path / "many.jsonl", "--check", "--json")
    assert len(documents(lines_of(done.stdout))) == 60


def test_strict_starts_nothing_where_a_row_is_bad(sandbox, table, run_here):
    done = run_here("ingest", table, "--strict", sandbox=sandbox)
    assert (done.returncode, sandbox.assets) == (1, [])
    assert "nothing was started, as --strict wants it" in lines_of(done.stderr)
    assert table_of(done)["ready"] == "0"
    assert table_of(done)["unfinished"] == "2"


def test_json_is_a_line_for_each_row_and_nothing_else(sandbox, table, run_here):
    done = run_here("ingest", table, "--json", "--verify", "none", sandbox=sandbox)
    rows = documents(lines_of(done.stdout))
    assert done.returncode == 1
    assert sorted(row["state"] for row in rows) == ["bad", "bad", "bad", "ready", "ready"]
    assert {row["verified"] for row in rows} == {None}


def test_the_embedded_sandbox_needs_no_key(folder):
    done = run("ingest", folder, "--sandbox", "--storage", "s3", "--no-wait", "--max-rate", "1G")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in lines_of(done.stdout)] == ["ready", "arrived", "sent"]
    assert "the same command" not in done.stderr.decode()


def test_a_second_run_names_what_the_first_has_made(sandbox, folder, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    first = run_here("ingest", folder, "--report", report, sandbox=sandbox)
    before = {row["key"]: row["asset_id"] for row in read_report(report)}
    (folder / "d.mp4").write_bytes(read_clip())
    sandbox.clear_log()
    second = run_here("ingest", folder, "--report", report, sandbox=sandbox)
    assert (first.returncode, second.returncode) == (0, 0)
    rows = {row["key"]: row for row in read_report(report)}
    assert {key: rows[key]["asset_id"] for key in before} == before
    assert [key for key, row in rows.items() if not row["is_earlier"]] == [str(folder / "d.mp4")]
    assert table_of(second)["ready"] == "5  4 of them by an earlier run"
    assert len(sandbox.assets) == 5


def test_what_fails_is_told_once_and_counted_by_kind(open_sandbox, folder, tmp_path, run_here):
    for number in range(8):
        (folder / f"bad-{number}.mp4").write_bytes(read_clip())
    report = tmp_path / "report.jsonl"
    broken = Fault(On(asset="^bad-"), FailProcessing("no video track"))
    with open_sandbox(faults=[broken]) as sandbox:
        done = run_here("ingest", folder, "--report", report, sandbox=sandbox)
    said = lines_of(done.stderr)
    assert done.returncode == 1
    (error,) = [number for number, line in enumerate(said) if line.startswith("Error: ")]
    assert [untimed(line).startswith(f"{folder}/bad-") for line in said[:error]] == [True] * 8
    assert said[error] == "Error: 8 rows failed that need you:"
    assert said[error + 1].startswith(f"  8 AssetFailed; the first is {folder}/bad-")
    assert said[error + 1].endswith("; check that the file plays as a video")
    assert "the same command" not in done.stderr.decode()
    assert said[-1] == f"{report} has a line for each row that ended"
    assert (table_of(done)["ready"], table_of(done)["failed"]) == ("4", "8")
    errors = [row["error"] for row in read_report(report) if row["state"] == "failed"]
    assert {error["type"] for error in errors} == {"AssetFailed"}
    assert len(errors) == 8


@contextmanager
def serving(content):
    """Serve a video to whoever asks, and redirect who asks for another."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_relayed_url_shows_nothing_of_its_signature(sandbox, tmp_path):
    report = tmp_path / "report.jsonl"
    with serving(read_clip()) as url:
        row = {"url": f"{url}/talk.mp4?signature=hush"}
        (tmp_path / "urls.jsonl").write_text(json.dumps(row))
        command = ["ingest", tmp_path / "urls.jsonl", "--relay", "--report", report, "--json"]
        done = run(*command, sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    (line,) = read_report(report)
    assert line == documents(lines_of(done.stdout))[0]
    assert (line["key"], line["state"]) == (f"{url}/talk.mp4", "ready")
    assert "hush" not in (done.stdout + done.stderr).decode() + report.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "MANIFEST"),
        (["nowhere"], "nowhere isn't there; a manifest is JSON lines"),
        (["{folder}", "--report", "{folder}/no/x"], "No such file or directory; make its folder"),
        (["{folder}", "--report", "{folder}/two"], "Is a directory"),
        (["{folder}", "--report", "-"], "--json writes to standard output"),
        (["{table}", "--report", "{table}"], "would overwrite the manifest"),
        (["{table}", "--report", "{folder}/j", "--journal", "{folder}/j"], "overwrite the journal"),
        (["{table}", "--no-journal", "--journal", "x"], "leaves nothing for --journal"),
        (["{table}", "--max-rate", "fast"], "'fast' is no rate; wanted bytes per second"),
        (["{table}", "--max-rate", "10k"], "10k is too slow; wanted at least 64k bytes per second"),
        (["{table}", "--storage", "s3"], "say --sandbox too"),
        (["{folder}/a.mp4"], "a.mp4 is a video and no manifest: livepeer-async upload "),
        (["{folder}/a.mp4", "{folder}/b.mp4"], "put a glob in quotes"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, list) else "",
)
def test_a_command_that_cant_work_begins_nothing(sandbox, table, arguments, said, run_here):
    folder = table.parent / "shows"
    arguments = [it.format(folder=folder, table=table) for it in arguments]
    before = table.read_bytes()
    done = run_here("ingest", *arguments, sandbox=sandbox)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert (done.stdout, sandbox.assets, table.read_bytes()) == (b"", [], before)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1.5M", 1.5 * MIB),
        ("2g", 2 * 1024 * MIB),
        (" 100000 ", 100000),
        ("10MB", 10 * MIB),
        ("10MiB", 10 * MIB),
        ("64 KiB/s", 65536),
    ],
)
def test_rates_are_read_as_those_of_curl(text, rate):
    assert read_rate(text) == rate


def test_a_wrong_key_ends_all_and_leaves_the_report_of_before(sandbox, folder, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    report.write_text("{an earlier run}\n")
    command = ["ingest", folder, "--report", report]
    done = run_here(*command, sandbox=sandbox, LIVEPEER_API_KEY="wrong-key")
    assert done.returncode == 3
    assert "check LIVEPEER_API_KEY" in done.stderr.decode()
    assert "wrong-key" not in done.stderr.decode()
    assert report.read_text() == "{an earlier run}\n"


def test_a_key_that_is_withdrawn_meanwhile_ends_all(open_sandbox, folder, run_here):
    refused = Answer(401, b'{"errors":["no token"]}')
    faults = [Fault(On(method="POST", path="request-upload"), refused)]
    with open_sandbox(faults=faults) as sandbox:
        done = run_here("ingest", folder, "--json", sandbox=sandbox)
    assert done.returncode == 3
    assert "check LIVEPEER_API_KEY" in lines_of(done.stderr)[-1]
    assert {row["state"] for row in documents(lines_of(done.stdout))} <= {"unfinished"}


def test_an_outage_halts_all_and_is_told(open_sandbox, folder, start):
    # The first GET is the command's own, which looks whether anybody is there.
    silence = Fault(On(path="request-upload"), CutConnection())
    with open_sandbox(faults=[silence]) as sandbox:
        process = start("ingest", folder, "--retries", "1", sandbox=sandbox)
        wait_until(lambda: silence.fired)
        sandbox.faults.append(Fault(On(), CutConnection()))
        said = []
        while not said or b" halted: " not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1]
        before = [line.split()[1].decode() for line in said[:-1]]
        assert len(before) == len(set(before)) > 0
        sandbox.faults.clear()
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert b" the server answers again, after " in errors
    assert output.startswith(b"ready        4")


def test_a_report_on_a_full_device_stops_nothing(sandbox, folder, run_here):
    done = run_here("ingest", folder, "--report", "/dev/full", sandbox=sandbox)
    assert done.returncode == 1
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    said = lines_of(done.stderr)
    assert untimed(said[0]).startswith(
        "/dev/full can't be written: No space left on device; the uploads go"
    )
    assert sum("No space left" in line for line in said) == 1
    assert said[-1] == (
        "Error: /dev/full lacks 4 rows; make room, and the same command writes it anew"
    )


def test_standard_output_on_a_full_device_stops_nothing(sandbox, folder, start):
    with open("/dev/full", "wb") as full:
        process = start("ingest", folder, "--json", sandbox=sandbox, stdout=full)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" not in errors.decode()
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    assert "Error: standard output lacks 4 rows" in errors.decode()


def test_a_disk_that_is_full_is_written_to_anew_once_it_has_room(sandbox, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.mp4").write_bytes(read_clip())
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        if not disk.is_real:
            pytest.skip("only root may mount a disk")
        report = disk.folder / "report.jsonl"
        report.write_text("{an earlier run}\n" * 10)
        disk.fill()
        command = ["ingest", folder, "--report", report, "--journal", tmp_path / "j"]
        done = run(*command, sandbox=sandbox)
        assert done.returncode == 1
        there = len(read_report(report))
        assert there < 40
        assert f"{report} lacks {40 - there} rows" in done.stderr.decode()
        disk.make_room()
        done = run(*command, sandbox=sandbox)
        assert done.returncode == 0
        assert [row["is_earlier"] for row in read_report(report)] == [True] * 40
    assert len(sandbox.assets) == 40


def test_a_terminal_shows_bars_counts_and_failures(open_sandbox, folder):
    broken = Fault(On(asset="^b.mp4"), FailProcessing("no video track"))
    with open_sandbox(faults=[broken], processing_seconds=1) as sandbox:
        terminal = Terminal("ingest", folder, sandbox=sandbox, columns=120)
        assert terminal.finish() == 1
    said = plain(terminal.screen)
    assert "long.mp4                ━" in said
    assert "3 of 4 ready, 1 failed" in said
    # A line as long as that may be broken anywhere.
    assert "b.mp4:asset" in "".join(said.split())
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")


def test_what_is_no_terminal_gets_a_line_for_each_failure_alone(open_sandbox, folder):
    broken = Fault(On(asset="^b.mp4"), FailProcessing("no video track"))
    with open_sandbox(faults=[broken]) as sandbox:
        done = run("ingest", folder, sandbox=sandbox, FORCE_COLOR="1")
    said = lines_of(done.stderr)
    assert b"\x1b" not in done.stdout + done.stderr
    assert untimed(said[0]).startswith(f"{folder}/b.mp4: asset ")
    assert said[1:] == ["Error: 1 row failed that need you:", f"  1 AssetFailed, {folder}/b.mp4"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals")
def test_a_terminal_of_40_columns_is_enough(sandbox, folder):
    terminal = Terminal("ingest", folder, sandbox=sandbox, columns=40, rows=12)
    assert terminal.finish() == 0
    assert "4 of 4 ready" in plain(terminal.screen)
