import pytest

from livepeer_async.cli.sample_video import read_clip
from livepeer_async.sandbox import Answer, CutConnection, Fault, On
from support.clock import wait_until
from support.command_line import documents, lines_of, read_report, run, untimed
from support.constants import TIMEOUT
from support.disk_limits import small_disk

EARLIER = '{"key": "a", "place": "a.mp4", "state": "ready"}\n'


def test_wrong_key_stops_the_run_and_keeps_the_report(sandbox, folder, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    report.write_text(EARLIER)
    command = ["ingest", folder, "--report", report]
    done = run_here(*command, sandbox=sandbox, LIVEPEER_API_KEY="wrong-key")
    assert done.returncode == 3
    assert "check LIVEPEER_API_KEY" in done.stderr.decode()
    assert "wrong-key" not in done.stderr.decode()
    assert report.read_text() == EARLIER


def test_revoked_key_stops_the_run(open_sandbox, folder, run_here):
    refused = Answer(401, b'{"errors":["no token"]}')
    faults = [Fault(On(method="POST", path="request-upload"), refused)]
    with open_sandbox(faults=faults) as sandbox:
        done = run_here("ingest", folder, "--json", sandbox=sandbox)
    assert done.returncode == 3
    assert "check LIVEPEER_API_KEY" in lines_of(done.stderr)[-1]
    assert {row["state"] for row in documents(lines_of(done.stdout))} <= {"unfinished"}


def test_outage_halts_the_run_and_is_printed(open_sandbox, folder, start):
    silence = Fault(On(path="request-upload"), CutConnection())
    with open_sandbox(faults=[silence]) as sandbox:
        process = start("ingest", folder, "--retries", "1", sandbox=sandbox)
        wait_until(lambda: silence.fired)
        sandbox.faults.append(Fault(On(), CutConnection()))
        printed = []
        while not printed or b" halted: " not in printed[-1]:
            printed.append(process.stderr.readline())
            assert printed[-1]
        before = [line.split()[1].decode() for line in printed[:-1]]
        assert len(before) == len(set(before)) > 0
        sandbox.faults.clear()
        output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert b" the server responds again after " in errors
    assert output.startswith(b"ready        4")


def test_report_on_a_full_device_does_not_stop_uploads(sandbox, folder, run_here):
    done = run_here("ingest", folder, "--report", "/dev/full", sandbox=sandbox)
    assert done.returncode == 1
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    printed = lines_of(done.stderr)
    assert untimed(printed[0]).startswith(
        "/dev/full can't be written: No space left on device; the uploads cont"
    )
    assert sum("No space left" in line for line in printed) == 1
    assert printed[-1] == (
        "Error: /dev/full lacks 4 rows; free disk space and run the same command again"
    )


def test_full_standard_output_does_not_stop_uploads(sandbox, folder, start):
    with open("/dev/full", "wb") as full:
        process = start("ingest", folder, "--json", sandbox=sandbox, stdout=full)
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "Traceback" not in errors.decode()
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    assert "Error: standard output lacks 4 rows" in errors.decode()


@pytest.mark.slow
def test_report_is_complete_once_the_disk_has_room(sandbox, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.mp4").write_bytes(read_clip())
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        if not disk.is_real:
            pytest.skip("only root may mount a disk")
        report = disk.folder / "report.jsonl"
        report.write_text(EARLIER * 10)
        disk.fill()
        command = ["ingest", folder, "--report", report, "--journal", tmp_path / "j"]
        done = run(*command, sandbox=sandbox)
        assert done.returncode == 1
        there = len(read_report(report))
        assert there < 40
        assert f"{report} lacks {40 - there} rows" in done.stderr.decode()
        disk.free()
        done = run(*command, sandbox=sandbox)
        assert done.returncode == 0
        assert [row["is_earlier"] for row in read_report(report)] == [True] * 40
    assert len(sandbox.assets) == 40
