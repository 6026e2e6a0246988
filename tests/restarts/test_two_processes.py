"""Two processes on one journal at once: each upload has one writer, whatever happens to either."""

import os
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from random import Random

import pytest

from restarts.conftest import at_length
from restarts.judge import find_requests, judge_amounts, judge_end
from restarts.plan import IS_LONG, SEED
from restarts.restarting import finish, has_body
from support.clock import wait_until

pytestmark = pytest.mark.timeout(120)
TIMES = range(10 if IS_LONG else 1)
# Longer than the server waits for a part of a broken PATCH, and the client until it believes it.
STOPPED_SECONDS = 2.0


@pytest.fixture
def two(command):
    """Two processes that were started at the same time."""
    with ExitStack() as stack:
        yield [stack.enter_context(command.started()) for _ in range(2)]


def sends(sandbox):
    """Whether bytes of a file are on their way at this moment."""
    return any(has_body(request) and not request.is_over for request in sandbox.requests)


def carried(end):
    """Name the files that a process brought over itself."""
    return {line["source"] for line in end.lines if not line["error"] and line["attempts"]}


def judge_refusals(*ends):
    """What a process didn't do was in use, and it says so."""
    for end in ends:
        errors = {line["error"]["type"] for line in end.lines if line["error"]}
        assert (end.status, errors) in [(0, set()), (1, {"UploadInUse"})], end.said


def stop_between_writes(process, journal):
    """Stop a process where it doesn't hold the journal: there the other could only give up."""
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if not is_locked(journal):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    pytest.fail("it writes all the time")


def is_locked(journal):
    """Whether somebody is in the middle of a write."""
    with closing(sqlite3.connect(journal, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def judge_third(command):
    """A third run finds all ready, and makes nothing."""
    made = len(command.sandbox.assets)
    end = command.run()
    judge_end(command, end)
    return end, len(command.sandbox.assets) - made


@pytest.mark.parametrize("_time", TIMES)
def test_each_upload_has_one_writer(command, two, _time):
    first, second = (finish(process) for process in two)
    judge_refusals(first, second)
    assert carried(first).isdisjoint(carried(second))
    assert carried(first) | carried(second) == {str(path) for path in command.files}
    assert len(command.sandbox.assets) == len(command.files)
    # No kill, so no byte twice: two writers would have sent some.
    assert judge_amounts(command).again == 0
    assert judge_third(command)[1] == 0


@at_length
@pytest.mark.parametrize("time_", TIMES)
def test_one_of_two_is_killed_and_the_other_carries_on(command, two, time_):
    random = Random(SEED + time_)
    wait_until(lambda: sends(command.sandbox))
    time.sleep(random.uniform(0, 1.0))
    victim, other = random.sample(two, 2)
    victim.kill()
    victim.communicate()
    judge_refusals(finish(other))
    judge_third(command)
    judge_amounts(command)


@pytest.mark.parametrize("time_", TIMES)
def test_what_a_stopped_process_carries_is_its_own(command, two, time_):
    random = Random(SEED + time_)
    wait_until(lambda: sends(command.sandbox))
    time.sleep(random.uniform(0, 0.5))
    sleeper, other = random.sample(two, 2)
    stop_between_writes(sleeper, command.journal)
    try:
        time.sleep(STOPPED_SECONDS)
        awake = finish(other)
    finally:
        sleeper.send_signal(signal.SIGCONT)
    woken = finish(sleeper)
    judge_refusals(awake, woken)
    assert carried(awake).isdisjoint(carried(woken))
    assert judge_third(command)[1] == 0
    assert judge_amounts(command).again == 0


@at_length
def test_a_process_that_comes_later_takes_nothing_over(command, two):
    """It gets what is done, and refuses what is being done."""
    wait_until(lambda: sends(command.sandbox))
    judge_refusals(command.run(), *(finish(process) for process in two))
    uploads = [list(find_requests(command.sandbox, path.name)) for path in command.files]
    assert all(it.status in {201, 204} for requests in uploads for it in requests)
    assert judge_third(command)[1] == 0
