import json
import os
import resource
import stat

import msgspec
import pytest

from livepeer_async.cli.output.formatting import json_line
from livepeer_async.cli.output.report import bad_row_document, row_document
from livepeer_async.cli.output.report_file import ReportFile, open_report
from livepeer_async.errors import ConfigurationError, SourceChanged
from livepeer_async.ingest.events import RowEnded, RowState
from livepeer_async.ingest.rows import BadRow, Row
from support.disk_limits import small_disk

ENDED = RowEnded(row=Row(source="a", is_url=False, key="a"), state=RowState.READY)
EARLIER = json_line(row_document(ENDED, "")) + "\n"


@pytest.fixture
def failures():
    return []


@pytest.fixture
def opened(tmp_path, failures):
    def begin(path=tmp_path / "report.jsonl"):
        return open_report(str(path), on_error=lambda *failure: failures.append(failure))

    return begin


def test_lines_are_written_at_once(tmp_path, opened):
    with opened() as report:
        report.write("one")
        assert (tmp_path / "report.jsonl").read_text() == "one\n"
        report.write("two")
    assert (tmp_path / "report.jsonl").read_text() == "one\ntwo\n"


def test_earlier_report_stays_until_the_first_line(tmp_path, opened):
    path = tmp_path / "report.jsonl"
    path.write_text(EARLIER * 3)
    path.chmod(0o644)
    with opened():
        pass
    assert path.read_text() == EARLIER * 3
    with opened() as report:
        report.write("this run")
    assert path.read_text() == "this run\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_run_without_rows_leaves_an_empty_report(tmp_path, opened):
    (tmp_path / "report.jsonl").write_text(EARLIER)
    with opened() as report:
        report.begin()
    assert (tmp_path / "report.jsonl").read_bytes() == b""


def test_new_report_is_private_and_removed_if_unused(tmp_path, opened):
    with opened():
        assert stat.S_IMODE((tmp_path / "report.jsonl").stat().st_mode) == 0o600
    assert not (tmp_path / "report.jsonl").exists()
    with pytest.raises(LookupError), opened():
        raise LookupError
    assert not (tmp_path / "report.jsonl").exists()


@pytest.mark.parametrize("place", ["missing/report.jsonl", "", "a\0b", "pipe"])
def test_unwritable_path_is_refused(tmp_path, opened, place):
    os.mkfifo(tmp_path / "pipe")
    refused = pytest.raises(ConfigurationError, match=r"can't be written: .*; create its folder")
    with refused, opened(os.path.join(tmp_path, place)):
        pass


def test_full_device_is_reported_once_and_lines_counted(opened, failures):
    with opened("/dev/full") as report:
        for number in range(5):
            report.write(f"line {number}")
    assert report.missing == 5
    ((name, error),) = failures
    assert (name, error.strerror) == ("/dev/full", "No space left on device")


def check_whole_lines(path, report, added):
    """Check that each line is whole and in order, and that the missing ones were counted."""
    numbers = [json.loads(line)["number"] for line in path.read_text().splitlines()]
    assert path.read_bytes().endswith(b"\n")
    assert numbers == sorted(numbers)
    assert len(numbers) + report.missing == added


def numbered(number):
    return json.dumps({"number": number, "filling": "x" * 150})


def test_full_disk_keeps_whole_lines_and_later_ones(tmp_path, opened, failures):
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        if not disk.is_real:
            pytest.skip("only root may mount a disk")
        path = disk.folder / "report.jsonl"
        with opened(path) as report:
            report.write(numbered(0))
            disk.fill()
            for number in range(1, 100):
                report.write(numbered(number))
            assert report.missing > 50
            check_whole_lines(path, report, 100)
            disk.free()
            report.write(numbered(100))
        check_whole_lines(path, report, 101)
        assert numbered(100) in path.read_text()
    assert len(failures) == 1


def test_file_size_limit_keeps_whole_lines(tmp_path, opened, failures):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with opened() as report:
            for number in range(20):
                report.write(numbered(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check_whole_lines(tmp_path / "report.jsonl", report, 20)
    assert failures[0][1].strerror == "File too large"


def test_closed_pipe_on_standard_output_is_raised(failures):
    reading, writing = os.pipe()
    os.close(reading)
    report = ReportFile(
        writing, "standard output", on_error=lambda *it: failures.append(it), is_shared=True
    )
    with pytest.raises(BrokenPipeError):
        report.write("line")
    os.close(writing)
    assert failures == []


SIGNED = "https://user:hush@cdn.example/a.mp4?signature=hush"


def test_row_document_has_no_secrets():
    row = Row(source=SIGNED, is_url=True, key=SIGNED, manifest="videos.csv", line=7)
    error = SourceChanged("it changed", source="a.mp4")
    ended = RowEnded(row=row, state=RowState.FAILED, seconds=1.23456, attempts=2, error=error)
    line = json_line(row_document(ended, "it changed; upload it again"))
    assert "hush" not in line
    assert json.loads(line) == {
        "key": "https://cdn.example/a.mp4",
        "place": "videos.csv:7",
        "state": "failed",
        "asset_id": None,
        "playback_id": None,
        "playerUrl": None,
        "playbackUrl": None,
        "bytes": None,
        "seconds": 1.235,
        "attempts": 2,
        "verified": None,
        "error": {"type": "SourceChanged", "message": "it changed; upload it again"},
        "is_earlier": False,
    }


def test_bad_row_document_has_the_same_fields():
    line = json_line(bad_row_document(BadRow("Überblick\udcff.mp4", "it is empty")))
    assert line.isascii()
    assert list(json.loads(line)) == list(row_document(ENDED, ""))
    # Strict parsers reject lone surrogates.
    assert msgspec.json.decode(line)["place"] == "Überblick\\udcff.mp4"
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
def test_other_files_are_not_overwritten(tmp_path, opened, content):
    path = tmp_path / "report.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="isn't a report"), opened():
        pass
    assert path.read_bytes() == content


def test_two_runs_cannot_write_one_report(tmp_path, opened):
    with opened() as report:
        report.write(EARLIER.strip())
        with pytest.raises(ConfigurationError, match="in use by another run; wait"), opened():
            pass
        report.write(EARLIER.strip())
    with opened() as report:
        report.write(EARLIER.strip())
    assert (tmp_path / "report.jsonl").read_text() == EARLIER


def test_report_of_bad_rows_is_overwritten(tmp_path, opened):
    path = tmp_path / "report.jsonl"
    path.write_text(json_line(bad_row_document(BadRow("shows.csv:2", "no such file"))) + "\n")
    with opened() as report:
        report.write("this run")
    assert path.read_text() == "this run\n"
