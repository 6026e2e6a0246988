import pytest

from cli.written import documents, lines_of, read_report
from livepeer_async.cli.sample_video import read_clip
from livepeer_async.sandbox import Answer, CutConnection, Fault, On
from support.clock import wait_until
from support.command_line import run, untimed
from support.constants import TIMEOUT
from support.disk_limits import small_disk

EARLIER = '{"key": "a", "place": "a.mp4", "state": "ready"}\n'


def test_a_wrong_key_ends_all_and_leaves_the_report_of_before(sandbox, folder, tmp_path, run_here):
    report = tmp_path / "report.jsonl"
    report.write_text(EARLIER)
    command = ["ingest", folder, "--report", report]
    done = run_here(*command, sandbox=sandbox, LIVEPEER_API_KEY="wrong-key")
    assert done.returncode == 3
    assert "check LIVEPEER_API_KEY" in done.stderr.decode()
    assert "wrong-key" not in done.stderr.decode()
    assert report.read_text() == EARLIER


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
        output, errors = process.communicate(timeout=TIMEOUT)
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
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "Traceback" not in errors.decode()
    assert {asset.phase for asset in sandbox.assets} == {"ready"}
    assert "Error: standard output lacks 4 rows" in errors.decode()


@pytest.mark.slow
def test_a_disk_that_is_full_is_written_to_anew_once_it_has_room(sandbox, tmp_path):
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
