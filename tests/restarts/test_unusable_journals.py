"""Unusable journals: one error message, no loss, and the same command succeeds later."""

import json
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from livepeer_async import AsyncLivepeer
from livepeer_async.journal.sqlite.database import SCHEMA_VERSION
from livepeer_async.sandbox import Fault, On, Stall
from restarts.checks import assert_assets, check_amounts
from restarts.command import RestartedCommand, carries_file_bytes, finish
from support import command_line
from support.clock import wait_until
from support.constants import MIB
from support.disk_limits import SMALL_FILES, UNPRIVILEGED, small_disk

pytestmark = pytest.mark.timeout(120)
DISK = MIB
obeys_file_modes = pytest.mark.skipif(
    sys.platform != "linux" and os.geteuid() == 0, reason="root may write everything"
)
# Less than the busy timeout of 10 s.
LOCKED_SECONDS = 3.0


@pytest.fixture
def started(portal, sandbox, make_files, journal):
    """A command with two files, one of which an earlier run has finished."""
    first, second = make_files(3000, 9_000_000)

    async def upload():
        account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        async with AsyncLivepeer(journal=journal, **account) as livepeer:
            await livepeer.upload(first)

    portal.call(upload)
    return RestartedCommand(sandbox, [first, second], journal)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", DISK) as disk:
        if not disk.is_real:
            pytest.skip("only root may mount a disk")
        yield disk


def set_version(journal, version):
    """Set the journal's schema version."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def move(command, folder):
    """Move the journal."""
    command.journal = Path(shutil.move(command.journal, folder / command.journal.name))


def run(command, *, program=command_line.COMMAND):
    arguments = ["upload", *command.files, "--journal", command.journal, "--json"]
    return command_line.run(*arguments, sandbox=command.sandbox, command=program)


def assert_refused(command, sentence, **options):
    """Assert that the command fails with one sentence, and changes nothing."""
    assets, records = command.sandbox.assets, command.copy().records
    done = run(command, **options)
    stderr = done.stderr.decode()
    assert (done.returncode, "Traceback" in stderr) == (1, False)
    assert stderr.count(f"the journal {command.journal} {sentence}") == 1
    assert len(stderr.splitlines()) == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["error"]["type"] for line in lines] == ["JournalError"] * len(command.files)
    assert (command.sandbox.assets, command.copy().records) == (assets, records)


def assert_continues(command, *, program=command_line.COMMAND):
    """Assert that the same command makes the rest ready, and repeats nothing."""
    done = run(command, program=program)
    assert done.returncode == 0, done.stderr
    assert_assets(command, [json.loads(line) for line in done.stdout.splitlines()])
    assert command.sandbox.violations == []
    assert command.names_beside_journal() == set()
    assert len(command.sandbox.assets) == len(command.files)
    assert check_amounts(command).repeated == 0


@pytest.mark.slow
def test_newer_journal_is_not_changed(started):
    set_version(started.journal, SCHEMA_VERSION + 1)
    before = started.journal.read_bytes()
    assert_refused(started, "was written by a newer livepeer-async (version 2 of the file")
    assert started.journal.read_bytes() == before
    set_version(started.journal, SCHEMA_VERSION)
    assert_continues(started)


@obeys_file_modes
@pytest.mark.parametrize(
    ("of_file", "of_folder"),
    [
        (0o400, 0o700),
        pytest.param(0o444, 0o755, marks=pytest.mark.slow),
        pytest.param(0o400, 0o500, marks=pytest.mark.slow),
    ],
)
def test_read_only_journal_is_not_changed(started, tmp_path, of_file, of_folder):
    folder = tmp_path / "folder"
    folder.mkdir()
    move(started, folder)
    started.journal.chmod(of_file)
    folder.chmod(of_folder)
    before = started.journal.read_bytes()
    assert_refused(started, "is read-only: make it writable", program=UNPRIVILEGED)
    assert os.listdir(folder) == [started.journal.name]
    assert started.journal.read_bytes() == before
    folder.chmod(0o700)
    started.journal.chmod(0o600)
    assert_continues(started, program=UNPRIVILEGED)


@pytest.mark.slow
@obeys_file_modes
def test_read_only_folder_is_refused(sandbox, make_files, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(0o500)
    command = RestartedCommand(sandbox, make_files(3000), folder / "uploads.journal")
    done = run(command, program=UNPRIVILEGED)
    assert (done.returncode, sandbox.assets, os.listdir(folder)) == (1, [], [])
    assert done.stderr.decode().endswith("can't be opened: Permission denied\n")
    folder.chmod(0o700)
    assert_continues(command)


def test_file_size_limit_is_refused(started):
    assert_refused(started, "can't be ", program=SMALL_FILES)
    assert_continues(started)


@pytest.mark.slow
def test_full_disk_is_refused_for_a_new_journal(sandbox, make_files, disk):
    command = RestartedCommand(sandbox, make_files(3000), disk.folder / "uploads.journal")
    disk.fill()
    done = run(command)
    assert (done.returncode, sandbox.assets) == (1, [])
    assert "can't be written, the disk is full: make room and run again" in done.stderr.decode()
    disk.free()
    assert_continues(command)


@pytest.mark.slow
def test_full_disk_is_refused(started, disk):
    move(started, disk.folder)
    disk.fill()
    assert_refused(started, "can't be written, the disk is full: make room and run again")
    disk.free()
    assert_continues(started)


def test_disk_that_fills_up_during_an_upload_loses_nothing(started, disk):
    move(started, disk.folder)
    # The stall leaves time to fill the disk before the server acknowledges the first chunk.
    started.sandbox.add_fault(Fault(On(method="PATCH", nth=1), Stall(5.0, after_bytes=1)))
    with started.started() as process:
        wait_for_bytes(started)
        disk.fill()
        end = finish(process)
    assert end.status == 1
    assert [line["error"] and line["error"]["type"] for line in end.lines] == [None, "JournalError"]
    assert "the disk is full: make room and run again" in end.stderr
    disk.free()
    assert_continues(started)


@pytest.mark.slow
def test_locked_journal_is_refused_after_the_timeout(started):
    with closing(sqlite3.connect(started.journal, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_refused(started, "is locked by another program for more than 10 s")
    assert_continues(started)


@pytest.mark.slow
def test_short_lock_is_waited_for(started):
    with started.started() as process:
        wait_for_bytes(started)
        with closing(sqlite3.connect(started.journal, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(LOCKED_SECONDS)
        assert finish(process).status == 0
    assert_continues(started)


def wait_for_bytes(command):
    """Wait until the second file's bytes are in flight, and the journal has its upload URL."""
    sandbox, (_, second) = command.sandbox, command.files

    def is_sending():
        patches = [it for it in sandbox.requests if carries_file_bytes(it) and it.method == "PATCH"]
        return any(it.received and not it.is_over for it in patches)

    wait_until(is_sending)
    assert any(it.upload_url for it in command.copy().records if it.key == str(second))
