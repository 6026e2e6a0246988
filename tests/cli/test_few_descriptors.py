"""Commands with few file descriptors; the sandbox is in another process."""

import pytest

from support import command_line
from support.descriptors import with_few_descriptors

LIMIT = 32
FILES = 60


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "shows"
    for number in range(FILES):
        path = folder / str(number % 3) / f"{number:03}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 5000)
    return folder


@pytest.fixture
def state(tmp_path):
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def test_all_files_are_ready_with_few_descriptors(sandbox, videos, state):
    paths = sorted(videos.rglob("*.mp4"))
    command = with_few_descriptors(LIMIT)
    done = command_line.run("upload", *paths, sandbox=sandbox, command=command, **state)
    assert done.returncode == 0, done.stderr.decode()
    assert f"{FILES} of {FILES} ready".encode() in done.stderr
    assert f"too many open files (limit {LIMIT})".encode() in done.stderr
    assert b"ulimit -n" in done.stderr


@pytest.mark.slow
def test_all_rows_are_ready_with_few_descriptors(sandbox, videos, state):
    done = command_line.run(
        "ingest", videos, sandbox=sandbox, command=with_few_descriptors(LIMIT), **state
    )
    assert done.returncode == 0, done.stderr.decode()
    assert command_line.table_of(done)["ready"].startswith(str(FILES))
