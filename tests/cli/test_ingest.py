import json
import stat
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import typer

from livepeer_async.cli.options import parse_rate
from livepeer_async.cli.sample_video import read_clip
from livepeer_async.sandbox import FailProcessing, Fault, On
from support.command_line import documents, lines_of, read_report, run, table_of, untimed
from support.constants import MIB, VERY_LONG

FIELDS = [
    *("key", "place", "state", "asset_id", "playback_id", "playerUrl", "playbackUrl"),
    *("bytes", "seconds", "attempts", "verified", "error", "is_earlier"),
]


def test_folder_becomes_ready_assets_and_a_table(sandbox, folder, run_here):
    done = run_here("ingest", folder, sandbox=sandbox)
    assert done.returncode == 0
    assert {asset.name for asset in sandbox.assets} == {
        *("a.mp4", "b.mp4", "two/c.mp4", "two/long.mp4"),
    }
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    ready, sent = lines_of(done.stdout)
    assert ready.rstrip() == "ready        4"
    assert sent.startswith("sent   9.4 MiB  in ")
    assert sent.endswith("/s")


def test_report_is_written_by_default_and_named(sandbox, folder, tmp_path, run_here):
    command = ["ingest", folder, "--journal", tmp_path / "j"]
    done = run_here(*command, sandbox=sandbox)
    (report,) = tmp_path.glob("shows-*.report.jsonl")
    first, last = lines_of(done.stderr)
    assert untimed(first) == f"report: {report}"
    assert last == f"{report} has a line for each row that ended"
    assets = {row["asset_id"]: row["playbackUrl"] for row in read_report(report)}
    assert assets == {it.id: f"https://lvpr.tv/?v={it.playback_id}" for it in sandbox.assets}
    assert run_here(*command, sandbox=sandbox).returncode == 0
    assert {row["asset_id"] for row in read_report(report)} == set(assets)
    assert [row["is_earlier"] for row in read_report(report)] == [True] * 4


@pytest.mark.parametrize("options", [["--no-report"], ["--json"], ["--check"]])
def test_no_report_is_written(sandbox, folder, tmp_path, options, run_here):
    done = run_here("ingest", folder, "--journal", tmp_path / "j", *options, sandbox=sandbox)
    assert (done.returncode, list(tmp_path.glob("*.report.jsonl"))) == (0, [])
    assert b"report" not in done.stderr


@pytest.mark.parametrize("is_folder", [True, False])
def test_other_file_is_not_overwritten_by_the_report(
    sandbox, folder, tmp_path, is_folder, run_here
):
    command = ["ingest", folder, "--journal", tmp_path / "j"]
    run_here(*command, sandbox=sandbox)
    (report,) = tmp_path.glob("shows-*.report.jsonl")
    if is_folder:
        report.unlink()
        report.mkdir()
    else:
        report.write_text("mine\n")
    done = run_here(*command, sandbox=sandbox)
    (note,) = lines_of(done.stderr)
    assert done.returncode == 0
    assert note.startswith(f"running without a report: the report {report} ")
    assert is_folder or report.read_text() == "mine\n"


def test_unusable_folder_of_the_report_is_a_note(sandbox, folder, run_here):
    state = str(folder / "a.mp4")
    done = run_here("ingest", folder, "--no-journal", sandbox=sandbox, XDG_STATE_HOME=state)
    (note,) = lines_of(done.stderr)
    assert done.returncode == 0
    assert note.startswith(f"running without a report: {state}/livepeer-async: ")


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
        "playerUrl": f"https://lvpr.tv/?v={first.playback_id}",
        "playbackUrl": f"https://lvpr.tv/?v={first.playback_id}",
        "bytes": len(read_clip()),
        "seconds": 0,
        "attempts": 1,
        "verified": "size",
        "error": None,
        "is_earlier": False,
    }
    assert rows["3"]["error"]["type"] == "BadRow"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_names_follow_a_template_and_do_not_change_keys(sandbox, folder, tmp_path, run_here):
    command = ["ingest", folder, "--journal", tmp_path / "j"]
    done = run_here(*command, "--name-template", "{parent}: {stem} {row:02}", sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    names = {"shows: a 01", "shows: b 02", "two: c 03", "two: long 04"}
    assert {asset.name for asset in sandbox.assets} == names
    sandbox.clear_log()
    again = run_here(*command, sandbox=sandbox)
    assert table_of(again)["ready"] == "4  4 of them by other runs"
    assert (len(sandbox.assets), sandbox.requests) == (4, [])


def test_check_prints_the_names_of_a_template(folder, run_here):
    done = run_here("ingest", folder, "--check", "--name-template", "{parent} - {stem}")
    *names, summary = lines_of(done.stdout)
    assert names[0] == f"{folder}/a.mp4  shows - a"
    assert names[-1] == f"{folder}/two/long.mp4  two - long"
    assert summary.startswith(f"{folder}: 4 good rows")


def test_bad_rows_are_printed_before_anything_starts(sandbox, table, run_here):
    done = run_here("ingest", table, sandbox=sandbox)
    printed = lines_of(done.stderr)
    assert untimed(printed[0]) == (
        f"{table}:3: '{table.parent}/shows/missing.mp4' can't be read: No such file or directory"
    )
    assert untimed(printed[1]).startswith(f"{table}:4: the key 'a' is already used in line 2")
    assert untimed(printed[2]).startswith(f"{table}:5: '/etc/hostname' is outside of the folder")
    assert printed[-1] == "3 bad rows: fix the manifest and run the same command again"
    assert (table_of(done)["ready"], table_of(done)["bad rows"]) == ("2", "3")
    assert len(sandbox.assets) == 2


def test_check_needs_no_key_and_no_server(table, folder, tmp_path, run_here):
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
    assert line.startswith(f"{folder}: 4 good rows, 9.4 MiB; 0 bad rows; 1 other file skipped")


def test_check_prints_fifty_bad_rows(tmp_path, run_here):
    rows = "".join(f'{{"path": "missing-{number}.mp4"}}\n' for number in range(60))
    (tmp_path / "many.jsonl").write_text(rows)
    done = run_here("ingest", tmp_path / "many.jsonl", "--check")
    printed = lines_of(done.stderr)
    assert (done.returncode, len(printed)) == (1, 51)
    assert printed[-1] == "and 10 more bad rows: --report lists them all"
    done = run_here("ingest", tmp_path / "many.jsonl", "--check", "--json")
    assert len(documents(lines_of(done.stdout))) == 60


def test_strict_starts_nothing_if_a_row_is_bad(sandbox, table, run_here):
    done = run_here("ingest", table, "--strict", sandbox=sandbox)
    assert (done.returncode, sandbox.assets) == (1, [])
    assert "nothing was started, because of --strict" in lines_of(done.stderr)
    (line,) = lines_of(done.stdout)
    assert line.startswith(f"{table}: 2 good rows, ")


def test_json_is_a_line_for_each_row(sandbox, table, run_here):
    done = run_here("ingest", table, "--json", "--verify", "none", sandbox=sandbox)
    rows = documents(lines_of(done.stdout))
    assert done.returncode == 1
    assert sorted(row["state"] for row in rows) == ["bad", "bad", "bad", "ready", "ready"]
    assert {row["verified"] for row in rows} == {None}


def test_embedded_sandbox_needs_no_key(folder):
    done = run("ingest", folder, "--sandbox", "--storage", "s3", "--no-wait", "--max-rate", "1G")
    assert done.returncode == 0, done.stderr
    table = table_of(done)
    # On a slow machine some are ready when they are polled.
    assert int(table["ready"]) + int(table.get("arrived", "0")) == 4
    assert "the same command" not in done.stderr.decode()


def test_no_wait_reports_arrived_rows_and_succeeds(open_sandbox, folder, run_here):
    with open_sandbox(processing_seconds=VERY_LONG) as sandbox:
        done = run_here("ingest", folder, "--no-wait", sandbox=sandbox)
    assert done.returncode == 0, done.stderr
    ready, arrived, sent = [line.split() for line in lines_of(done.stdout)]
    assert (ready, arrived, sent[0]) == (["ready", "0"], ["arrived", "4"], "sent")


def test_second_run_reports_the_assets_of_the_first(sandbox, folder, tmp_path, run_here):
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
    assert table_of(second)["ready"] == "5  4 of them by other runs"
    assert len(sandbox.assets) == 5


def test_failures_are_printed_once_and_counted_by_kind(open_sandbox, folder, tmp_path, run_here):
    for number in range(8):
        (folder / f"bad-{number}.mp4").write_bytes(read_clip())
    report = tmp_path / "report.jsonl"
    broken = Fault(On(asset="^bad-"), FailProcessing("no video track"))
    with open_sandbox(faults=[broken]) as sandbox:
        done = run_here("ingest", folder, "--report", report, sandbox=sandbox)
    printed = lines_of(done.stderr)
    assert done.returncode == 1
    (error,) = [number for number, line in enumerate(printed) if line.startswith("Error: ")]
    assert [untimed(line).startswith(f"{folder}/bad-") for line in printed[:error]] == [True] * 8
    assert printed[error] == "Error: 8 rows failed and need your attention:"
    assert printed[error + 1].startswith(f"  8 AssetFailed; the first is {folder}/bad-")
    assert printed[error + 1].endswith("; check that the file plays as a video")
    assert "the same command" not in done.stderr.decode()
    assert printed[-1] == f"{report} has a line for each row that ended"
    assert (table_of(done)["ready"], table_of(done)["failed"]) == ("4", "8")
    errors = [row["error"] for row in read_report(report) if row["state"] == "failed"]
    assert {error["type"] for error in errors} == {"AssetFailed"}
    assert len(errors) == 8


@contextmanager
def serving(content):
    """Serve a video at any path."""

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


def test_signature_of_a_relayed_url_is_not_shown(sandbox, tmp_path):
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
    ("arguments", "message"),
    [
        ([], "MANIFEST"),
        (["nowhere"], "nowhere doesn't exist; a manifest is JSON lines"),
        (["{folder}", "--report", "{folder}/no/x"], "No such file or directory; create its folder"),
        (["{folder}", "--report", "{folder}/two"], "Is a directory"),
        (["{folder}", "--report", "-"], "use --json for standard output"),
        (["{table}", "--report", "{table}"], "would overwrite the manifest"),
        (["{table}", "--report", "x", "--no-report"], "--no-report can't be combined"),
        (["{table}", "--report", "{folder}/j", "--journal", "{folder}/j"], "overwrite the journal"),
        (
            ["{table}", "--no-journal", "--journal", "x"],
            "--no-journal can't be combined with --journal",
        ),
        (["{table}", "--max-rate", "fast"], "'fast' isn't a rate; wanted bytes per second"),
        (["{table}", "--max-rate", "10k"], "10k is too slow; wanted at least 64k bytes per second"),
        (["{table}", "--storage", "s3"], "--storage needs --sandbox"),
        (["{table}", "--name-template", "{{title}}"], "unknown field {title}; wanted one or more"),
        (["https://x.example/t.csv?sig=1"], "https://x.example/t.csv is a URL: download the"),
        (["{folder}/t.xlsx"], "t.xlsx is a spreadsheet: save it as CSV"),
        (["{folder}/a.mp4"], "a.mp4 is a video, not a manifest: use livepeer-async upload "),
        (["{folder}/a.mp4", "{folder}/b.mp4"], "put a glob in quotes"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, list) else "",
)
def test_invalid_command_starts_nothing(sandbox, table, arguments, message, run_here):
    folder = table.parent / "shows"
    arguments = [it.format(folder=folder, table=table) for it in arguments]
    before = table.read_bytes()
    done = run_here("ingest", *arguments, sandbox=sandbox)
    assert done.returncode == 2
    assert message in done.stderr.decode()
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
def test_rates_are_parsed_as_by_curl(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["10Mb/s", "10Mb", "10mb", "10Mbit", "10 Mbit/s", "10Mbps", "5Mib"]
)
def test_rates_in_bits_are_refused(text):
    with pytest.raises(typer.BadParameter, match=f"'{text}' is a rate in bits; wanted bytes"):
        parse_rate(text)
