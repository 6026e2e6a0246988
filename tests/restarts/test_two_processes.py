"""Two concurrent processes on one journal: each upload has one writer."""

import os
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from random import Random

import pytest

from restarts.checks import assert_complete, check_amounts, find_requests
from restarts.command import carries_file_bytes, finish
from restarts.plan import IS_LONG, SEED
from support.clock import wait_until

pytestmark = pytest.mark.timeout(120)
REPETITIONS = range(10 if IS_LONG else 1)
# Longer than the server waits for the rest of a broken PATCH, and than the client settles.
STOPPED_SECONDS = 2.0


@pytest.fixture
def processes(command):
    """Two processes that were started at the same time."""
    with ExitStack() as stack:
        yield [stack.enter_context(command.started()) for _ in range(2)]


def is_receiving(sandbox):
    """Whether bytes of a file are in flight."""
    return any(carries_file_bytes(request) and not request.is_over for request in sandbox.requests)


def uploaded(end):
    """Return the files that a process has uploaded itself."""
    return {line["source"] for line in end.lines if not line["error"] and line["attempts"]}


def assert_upload_in_use(*ends):
    """Each failure of the processes is `UploadInUse`."""
    for end in ends:
        errors = {line["error"]["type"] for line in end.lines if line["error"]}
        assert (end.status, errors) in [(0, set()), (1, {"UploadInUse"})], end.stderr


def stop_between_writes(process, journal):
    """Stop a process while it doesn't hold the journal's lock."""
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if not is_locked(journal):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    pytest.fail("the journal is always locked")


def is_locked(journal):
    """Whether a transaction holds the journal."""
    with closing(sqlite3.connect(journal, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def run_again(command):
    """Run the command a third time; return the result, and the number of new assets."""
    before = len(command.sandbox.assets)
    end = command.run()
    assert_complete(command, end)
    return end, len(command.sandbox.assets) - before


@pytest.mark.parametrize("_repetition", REPETITIONS)
def test_each_upload_has_one_writer(command, processes, _repetition):
    first, second = (finish(process) for process in processes)
    assert_upload_in_use(first, second)
    assert uploaded(first).isdisjoint(uploaded(second))
    assert uploaded(first) | uploaded(second) == {str(path) for path in command.files}
    assert len(command.sandbox.assets) == len(command.files)
    # Without a kill, only a second writer would repeat bytes.
    assert check_amounts(command).repeated == 0
    assert run_again(command)[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_other_process_continues_after_a_kill(command, processes, repetition):
    random = Random(SEED + repetition)
    wait_until(lambda: is_receiving(command.sandbox))
    time.sleep(random.uniform(0, 1.0))
    killed, other = random.sample(processes, 2)
    killed.kill()
    killed.communicate()
    assert_upload_in_use(finish(other))
    run_again(command)
    check_amounts(command)


@pytest.mark.slow
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_stopped_process_keeps_its_uploads(command, processes, repetition):
    random = Random(SEED + repetition)
    wait_until(lambda: is_receiving(command.sandbox))
    time.sleep(random.uniform(0, 0.5))
    stopped, other = random.sample(processes, 2)
    stop_between_writes(stopped, command.journal)
    try:
        time.sleep(STOPPED_SECONDS)
        active = finish(other)
    finally:
        stopped.send_signal(signal.SIGCONT)
    resumed = finish(stopped)
    assert_upload_in_use(active, resumed)
    assert uploaded(active).isdisjoint(uploaded(resumed))
    assert run_again(command)[1] == 0
    assert check_amounts(command).repeated == 0


@pytest.mark.slow
def test_later_process_does_not_take_over_an_upload(command, processes):
    wait_until(lambda: is_receiving(command.sandbox))
    assert_upload_in_use(command.run(), *(finish(process) for process in processes))
    uploads = [list(find_requests(command.sandbox, path.name)) for path in command.files]
    assert all(it.status in {201, 204} for requests in uploads for it in requests)
    assert run_again(command)[1] == 0
