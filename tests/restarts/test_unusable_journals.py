"""A journal that can't be used: one sentence, nothing lost, and the same command goes on later."""

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
from livepeer_async.journal.database import SCHEMA_VERSION
from livepeer_async.sandbox import Fault, On, Stall
from restarts.conftest import at_length
from restarts.judge import judge_amounts, judge_assets
from restarts.restarting import Restarting, finish, has_body
from support import command_line
from support.clock import wait_until
from support.disk_limits import SMALL_FILES, UNPRIVILEGED, small_disk

pytestmark = pytest.mark.timeout(120)
DISK = 1024 * 1024
obeying_modes = pytest.mark.skipif(
    sys.platform != "linux" and os.geteuid() == 0, reason="root may write everything"
)
# Less than a writer waits for.
LOCKED_SECONDS = 3.0


@pytest.fixture
def begun(portal, sandbox, make_files, journal):
    """A command whose first file an earlier run has finished, with one more."""
    first, second = make_files(3000, 9_000_000)

    async def upload():
        account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        async with AsyncLivepeer(journal=journal, **account) as livepeer:
            await livepeer.upload(first)

    portal.call(upload)
    return Restarting(sandbox, [first, second], journal)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", DISK) as disk:
        if not disk.is_real:
            pytest.skip("only root may mount a disk")
        yield disk


def set_version(journal, version):
    """Let a journal be of another version."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def move(command, folder):
    """Put the journal elsewhere."""
    command.journal = Path(shutil.move(command.journal, folder / command.journal.name))


def run(command, *, through=command_line.COMMAND):
    arguments = ["upload", *command.files, "--journal", command.journal, "--json"]
    return command_line.run(*arguments, sandbox=command.sandbox, command=through)


def judge_refusal(command, sentence, **how):
    """The command says in one sentence why nothing can be remembered, and does nothing."""
    assets, records = command.sandbox.assets, command.copy().records
    done = run(command, **how)
    said = done.stderr.decode()
    assert (done.returncode, "Traceback" in said) == (1, False)
    assert said.count(f"the journal {command.journal} {sentence}") == 1
    assert len(said.splitlines()) == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["error"]["type"] for line in lines] == ["JournalError"] * len(command.files)
    assert (command.sandbox.assets, command.copy().records) == (assets, records)


def judge_going_on(command, *, through=command_line.COMMAND):
    """The same command makes the rest ready, and what was ready isn't made again."""
    done = run(command, through=through)
    assert done.returncode == 0, done.stderr
    judge_assets(command, [json.loads(line) for line in done.stdout.splitlines()])
    assert command.sandbox.violations == []
    assert command.names_beside_journal() == set()
    assert len(command.sandbox.assets) == len(command.files)
    assert judge_amounts(command).again == 0


def test_a_newer_journal_is_left_alone(begun):
    set_version(begun.journal, SCHEMA_VERSION + 1)
    before = begun.journal.read_bytes()
    judge_refusal(begun, "was written by a newer livepeer-async (version 2 of the file")
    assert begun.journal.read_bytes() == before
    set_version(begun.journal, SCHEMA_VERSION)
    judge_going_on(begun)


@obeying_modes
@pytest.mark.parametrize(
    ("of_file", "of_folder"),
    [
        (0o400, 0o700),
        pytest.param(0o444, 0o755, marks=at_length),
        pytest.param(0o400, 0o500, marks=at_length),
    ],
)
def test_a_journal_that_may_only_be_read_is_left_alone(begun, tmp_path, of_file, of_folder):
    folder = tmp_path / "folder"
    folder.mkdir()
    move(begun, folder)
    begun.journal.chmod(of_file)
    folder.chmod(of_folder)
    before = begun.journal.read_bytes()
    judge_refusal(begun, "may only be read: make it writable", through=UNPRIVILEGED)
    assert os.listdir(folder) == [begun.journal.name]
    assert begun.journal.read_bytes() == before
    folder.chmod(0o700)
    begun.journal.chmod(0o600)
    judge_going_on(begun, through=UNPRIVILEGED)


@at_length
@obeying_modes
def test_a_folder_that_may_only_be_read_gets_no_journal(sandbox, make_files, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(0o500)
    command = Restarting(sandbox, make_files(3000), folder / "uploads.journal")
    done = run(command, through=UNPRIVILEGED)
    assert (done.returncode, sandbox.assets, os.listdir(folder)) == (1, [], [])
    assert done.stderr.decode().endswith("can't be opened: Permission denied\n")
    folder.chmod(0o700)
    judge_going_on(command)


def test_a_journal_without_room_is_refused(begun):
    judge_refusal(begun, "can't be ", through=SMALL_FILES)
    judge_going_on(begun)


@at_length
def test_a_full_disk_takes_no_new_journal(sandbox, make_files, disk):
    command = Restarting(sandbox, make_files(3000), disk.folder / "uploads.journal")
    disk.fill()
    done = run(command)
    assert (done.returncode, sandbox.assets) == (1, [])
    assert "can't be written, the disk is full: make room and run again" in done.stderr.decode()
    disk.free()
    judge_going_on(command)


@at_length
def test_a_disk_that_is_full_before_is_refused(begun, disk):
    move(begun, disk.folder)
    disk.fill()
    judge_refusal(begun, "can't be written, the disk is full: make room and run again")
    disk.free()
    judge_going_on(begun)


def test_a_disk_that_fills_up_meanwhile_loses_nothing(begun, disk):
    move(begun, disk.folder)
    # So that the disk is full before the first chunk is through.
    begun.sandbox.add_fault(Fault(On(method="PATCH", nth=1), Stall(5.0, after_bytes=1)))
    with begun.started() as process:
        wait_for_bytes(begun)
        disk.fill()
        end = finish(process)
    assert end.status == 1
    assert [line["error"] and line["error"]["type"] for line in end.lines] == [None, "JournalError"]
    assert "the disk is full: make room and run again" in end.said
    disk.free()
    judge_going_on(begun)


@at_length
def test_a_journal_that_stays_locked_is_refused(begun):
    with closing(sqlite3.connect(begun.journal, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        judge_refusal(begun, "is locked by another program for more than 10 s")
    judge_going_on(begun)


@at_length
def test_a_lock_that_ends_in_time_is_waited_for(begun):
    with begun.started() as process:
        wait_for_bytes(begun)
        with closing(sqlite3.connect(begun.journal, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(LOCKED_SECONDS)
        assert finish(process).status == 0
    judge_going_on(begun)


def wait_for_bytes(command):
    """Wait until the second file's bytes are on their way, and its upload URL is written down."""
    sandbox, (_, second) = command.sandbox, command.files

    def is_underway():
        patches = [it for it in sandbox.requests if has_body(it) and it.method == "PATCH"]
        return any(it.received and not it.is_over for it in patches)

    wait_until(is_underway)
    assert any(it.upload_url for it in command.copy().records if it.key == str(second))
