import pytest

from livepeer_async.cli.sample_video import read_clip
from livepeer_async.sandbox import Fault, LoseAnswer, On


@pytest.fixture
def folder(tmp_path):
    shows = tmp_path / "shows"
    shows.mkdir()
    for number in range(4):
        (shows / f"{number}.mp4").write_bytes(read_clip())
    return shows


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.csv", "names no videos"),
        ("empty.jsonl", "names no videos"),
        ("folder", "has no videos"),
    ],
)
def test_empty_manifest_is_a_failure(sandbox, tmp_path, name, message, run_here):
    place = tmp_path / name
    if place.suffix:
        place.write_text("path,name\n" if place.suffix == ".csv" else "")
    else:
        place.mkdir()
    for options in ([], ["--check"], ["--json"]):
        done = run_here("ingest", place, *options, sandbox=sandbox)
        assert done.returncode == 1
        assert done.stderr.decode().splitlines()[-1] == f"Error: {place} {message}"
        assert done.stdout == b""


def test_second_run_has_nothing_to_send(sandbox, folder, run_here):
    run_here("ingest", folder, sandbox=sandbox)
    done = run_here("ingest", folder, sandbox=sandbox)
    ready, elapsed = done.stdout.decode().splitlines()
    assert ready.split(maxsplit=2) == ["ready", "4", "4 of them by other runs"]
    assert elapsed.startswith("time ")
    assert len(done.stderr.splitlines()) == 2
    done = run_here("ingest", folder, "--json", sandbox=sandbox)
    assert done.stderr.decode().splitlines() == ["4 of 4 ready, 4 by other runs"]


def test_uncertain_leftovers_are_reported_once(open_sandbox, folder, tmp_path, run_here):
    lost = Fault(On(path="request-upload", nth=1), LoseAnswer())
    with open_sandbox(faults=[lost]) as sandbox:
        command = ["ingest", folder, "--journal", tmp_path / "j"]
        first, second = (run_here(*command, sandbox=sandbox).stderr.decode() for _ in range(2))
        left = sandbox.assets[0]
    assert (
        f"1 asset ({left.name}, {left.id}) was perhaps left over by a request whose response was "
        "lost, judging by name and time: to look, delete or dismiss, use livepeer-async journal "
        f"orphans --journal {tmp_path}/j"
    ) in first.splitlines()
    assert "left over" not in second
