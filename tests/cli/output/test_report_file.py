import json
import os
import resource
import stat

import msgspec
import pytest

from livepeer_async.cli.output.report import bad_line, ended_line
from livepeer_async.cli.output.report_file import ReportFile, open_report
from livepeer_async.errors import ConfigurationError, SourceChanged
from livepeer_async.ingest.events import RowEnded, RowState
from livepeer_async.ingest.rows import BadRow, Row
from support.disk_limits import small_disk

EARLIER = (
    ended_line(RowEnded(row=Row(source="a", is_url=False, key="a"), state=RowState.READY), "")
    + "\n"
)


@pytest.fixture
def told():
    return []


@pytest.fixture
def opened(tmp_path, told):
    def begin(path=tmp_path / "report.jsonl"):
        return open_report(str(path), on_trouble=lambda *trouble: told.append(trouble))

    return begin


def test_lines_are_in_the_file_at_once(tmp_path, opened):
    with opened() as report:
        report.add("one")
        assert (tmp_path / "report.jsonl").read_text() == "one\n"
        report.add("two")
    assert (tmp_path / "report.jsonl").read_text() == "one\ntwo\n"


def test_an_earlier_report_stays_until_the_first_line_of_this_run(tmp_path, opened):
    path = tmp_path / "report.jsonl"
    path.write_text(EARLIER * 3)
    path.chmod(0o644)
    with opened():
        pass
    assert path.read_text() == EARLIER * 3
    with opened() as report:
        report.add("this run")
    assert path.read_text() == "this run\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_run_without_rows_leaves_an_empty_report(tmp_path, opened):
    (tmp_path / "report.jsonl").write_text(EARLIER)
    with opened() as report:
        report.begin()
    assert (tmp_path / "report.jsonl").read_bytes() == b""


def test_a_new_report_is_its_owners_alone_and_goes_where_nothing_began(tmp_path, opened):
    with opened():
        assert stat.S_IMODE((tmp_path / "report.jsonl").stat().st_mode) == 0o600
    assert not (tmp_path / "report.jsonl").exists()
    with pytest.raises(LookupError), opened():
        raise LookupError
    assert not (tmp_path / "report.jsonl").exists()


@pytest.mark.parametrize("place", ["missing/report.jsonl", "", "a\0b", "pipe"])
def test_a_place_that_cant_be_written_to_is_refused(tmp_path, opened, place):
    os.mkfifo(tmp_path / "pipe")
    refused = pytest.raises(ConfigurationError, match=r"can't be written: .*; make its folder")
    with refused, opened(os.path.join(tmp_path, place)):
        pass


def test_a_device_without_room_is_told_once_and_each_line_counted(opened, told):
    with opened("/dev/full") as report:
        for number in range(5):
            report.add(f"line {number}")
    assert report.missing == 5
    ((name, error),) = told
    assert (name, error.strerror) == ("/dev/full", "No space left on device")


def judge_whole_lines(path, report, added):
    """Each line is whole, in order, and those that aren't there were counted."""
    numbers = [json.loads(line)["number"] for line in path.read_text().splitlines()]
    assert path.read_bytes().endswith(b"\n")
    assert numbers == sorted(numbers)
    assert len(numbers) + report.missing == added


def numbered(number):
    return json.dumps({"number": number, "filling": "x" * 150})


def test_a_full_disk_leaves_whole_lines_and_takes_later_ones(tmp_path, opened, told):
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        if not disk.is_real:
            pytest.skip("only root may mount a disk")
        path = disk.folder / "report.jsonl"
        with opened(path) as report:
            report.add(numbered(0))
            disk.fill()
            for number in range(1, 100):
                report.add(numbered(number))
            assert report.missing > 50
            judge_whole_lines(path, report, 100)
            disk.free()
            report.add(numbered(100))
        judge_whole_lines(path, report, 101)
        assert numbered(100) in path.read_text()
    assert len(told) == 1


def test_a_limit_on_files_leaves_whole_lines(tmp_path, opened, told):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with opened() as report:
            for number in range(20):
                report.add(numbered(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    judge_whole_lines(tmp_path / "report.jsonl", report, 20)
    assert told[0][1].strerror == "File too large"


def test_a_line_that_was_torn_in_a_pipe_ends_before_the_next(told):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    report = ReportFile(writing, "standard output", on_trouble=lambda *it: told.append(it))
    line = "x" * (1 << 20)
    report.add(line)
    torn = os.read(reading, 1 << 21)
    report.add("next")
    assert 0 < len(torn) < len(line)
    assert os.read(reading, 100) == b"\nnext\n"
    assert (report.missing, len(told)) == (1, 1)
    os.close(reading)
    os.close(writing)


def test_nobody_who_reads_standard_output_is_no_trouble_of_the_file(told):
    reading, writing = os.pipe()
    os.close(reading)
    report = ReportFile(
        writing, "standard output", on_trouble=lambda *it: told.append(it), is_ours=False
    )
    with pytest.raises(BrokenPipeError):
        report.add("line")
    os.close(writing)
    assert told == []


SIGNED = "https://user:hush@cdn.example/a.mp4?signature=hush"


def test_a_line_tells_how_a_row_ended_without_secrets():
    row = Row(source=SIGNED, is_url=True, key=SIGNED, manifest="videos.csv", line=7)
    error = SourceChanged("it changed", source="a.mp4")
    ended = RowEnded(row=row, state=RowState.FAILED, seconds=1.23456, attempts=2, error=error)
    line = ended_line(ended, "it changed; upload it again")
    assert "hush" not in line
    assert json.loads(line) == {
        "key": "https://cdn.example/a.mp4",
        "place": "videos.csv:7",
        "state": "failed",
        "asset_id": None,
        "playback_id": None,
        "bytes": None,
        "seconds": 1.235,
        "attempts": 2,
        "verified": None,
        "error": {"type": "SourceChanged", "message": "it changed; upload it again"},
        "is_earlier": False,
    }


def test_a_line_tells_of_a_bad_row_in_the_same_fields():
    line = bad_line(BadRow("Filme/Überblick\udcff.mp4", "it is empty; wanted a video file"))
    assert line.isascii()
    ended = RowEnded(row=Row(source="a", is_url=False, key="a"), state=RowState.READY)
    assert list(json.loads(line)) == list(json.loads(ended_line(ended, "")))
    # A strict reader has no lone surrogates.
    assert msgspec.json.decode(line)["place"] == "Filme/Überblick\\udcff.mp4"
    assert json.loads(line)["state"] == "bad"


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\0\x18ftypmp42",
        b"SQLite format 3\0",
        b"path,name\n",
        b'{"path": "a.mp4"}\n',
        b'{"key": "a", "path": "a.mp4"}\n{"key": "b", "place": ""}\n',
    ],
)
def test_what_is_no_report_isnt_overwritten(tmp_path, opened, content):
    path = tmp_path / "report.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no report"), opened():
        pass
    assert path.read_bytes() == content


def test_two_runs_dont_write_one_report(tmp_path, opened):
    with opened() as report:
        report.add(EARLIER.strip())
        with pytest.raises(ConfigurationError, match="by another run; wait"), opened():
            pass
        report.add(EARLIER.strip())
    with opened() as report:
        report.add(EARLIER.strip())
    assert (tmp_path / "report.jsonl").read_text() == EARLIER


def test_a_report_with_a_bad_row_first_may_be_overwritten(tmp_path, opened):
    path = tmp_path / "report.jsonl"
    path.write_text(bad_line(BadRow("shows.csv:2", "no such file")) + "\n")
    with opened() as report:
        report.add("this run")
    assert path.read_text() == "this run\n"
