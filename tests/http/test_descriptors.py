import errno
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys

import certifi
import pytest

from livepeer_async import AsyncLivepeer, errors
from livepeer_async.http import descriptors
from livepeer_async.http.descriptors import (
    SHORTAGE_TIMEOUT,
    Descriptors,
    open_in_thread,
)
from livepeer_async.http.shortages import is_shortage, shortage_error
from livepeer_async.tus import TusClient
from support.clock import VirtualClock
from support.descriptors import low_limit, no_free_descriptors, shortage

pytestmark = pytest.mark.anyio
LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Opening:
    """Fails for a number of times, then succeeds."""

    def __init__(self, failures, error=None):
        self.failures = failures
        self._error = error or shortage()

    def open(self):
        self.failures -= 1
        if self.failures >= 0:
            raise self._error
        return "opened"

    async def __call__(self):
        return self.open()


def chained(error):
    outer = RuntimeError("a library's error")
    outer.__cause__ = ExceptionGroup("several", [ValueError("another"), error])
    return outer


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_shortage_is_found_in_the_chain(code):
    assert is_shortage(shortage(code))
    assert is_shortage(chained(shortage(code)))
    assert not is_shortage(chained(OSError(errno.ENOENT, "none")))


def test_shortage_is_found_behind_other_errors(tmp_path):
    with no_free_descriptors() as limited:
        with pytest.raises(sqlite3.OperationalError) as raised:
            sqlite3.connect(tmp_path / "another").execute("SELECT 1")
        assert is_shortage(raised.value)
        assert is_shortage(socket.gaierror(socket.EAI_AGAIN, "temporary failure"))
        limited.close()
        assert not is_shortage(raised.value)
        assert not is_shortage(socket.gaierror(socket.EAI_AGAIN, "temporary failure"))


def test_error_names_the_limit_and_what_to_do():
    error = shortage_error(shortage(), "'a.mp4' can't be opened")
    assert str(error) == (
        f"too many open files (limit {LIMIT}): 'a.mp4' can't be opened; raise the limit, for "
        "example with `ulimit -n 4096`"
    )
    assert error.limit == LIMIT
    assert errors.is_transient(error)
    system = shortage_error(shortage(errno.ENFILE), "x")
    assert "in the system" in str(system)
    assert "ulimit" not in str(system)


async def test_opening_is_tried_until_a_descriptor_is_free():
    clock, messages, closed, waited = VirtualClock(), [], [], []
    waiting = Descriptors(clock.as_clock())
    waiting.on_shortage = messages.append

    async def close_idle():
        closed.append(clock.now)

    async def after_wait():
        waited.append(clock.now)

    waiting.close_idle = close_idle
    assert await waiting.open_file(Opening(3), "'a' can't be opened", after_wait=after_wait)
    assert (len(clock.sleeps), len(closed), len(waited)) == (3, 3, 3)
    (message,) = messages
    assert "fewer uploads at once" in message


async def test_shortage_ends_in_one_typed_error():
    clock = VirtualClock()
    waiting = Descriptors(clock.as_clock())
    for _ in range(2):
        with pytest.raises(errors.TooManyOpenFiles, match="'a' can't be opened") as raised:
            await waiting.open_file(Opening(10_000), "'a' can't be opened")
        assert raised.value.__cause__.errno == errno.EMFILE
        # The second one fails at once, because nothing was opened meanwhile.
        assert SHORTAGE_TIMEOUT <= clock.now < SHORTAGE_TIMEOUT + 5
    assert await waiting.open_file(Opening(0), "x") == "opened"
    with pytest.raises(errors.TooManyOpenFiles):
        await waiting.open_file(Opening(10_000), "x")
    assert clock.now >= 2 * SHORTAGE_TIMEOUT


async def test_other_errors_are_raised_at_once():
    clock = VirtualClock()
    with pytest.raises(FileNotFoundError):
        await Descriptors(clock.as_clock()).open_file(
            Opening(1, FileNotFoundError(errno.ENOENT, "none")), "x"
        )
    assert clock.sleeps == []


async def test_shortage_halves_the_uploads_for_a_while():
    clock = VirtualClock()
    waiting = Descriptors(clock.as_clock())
    waiting.max_uploads(0)
    unlimited = waiting.max_uploads(12)
    await waiting.open_file(Opening(2), "x")
    assert unlimited is None or unlimited > 12
    assert waiting.max_uploads(12) == 6
    assert waiting.max_uploads(6) == 6
    clock.advance(descriptors.GROWTH_PERIOD)
    assert waiting.max_uploads(6) == 7


def test_low_limit_reduces_uploads_and_is_told_once():
    messages = []
    waiting = Descriptors()
    waiting.on_shortage = messages.append
    used = len(os.listdir("/proc/self/fd"))
    with low_limit(used + 20):
        assert waiting.max_uploads(0) in {5, 6, 7}
        waiting.max_uploads(0)
    (message,) = messages
    assert f"too many open files (limit {used + 20})" in message


def test_thread_waits_for_a_descriptor():
    opening = Opening(1)
    assert open_in_thread(opening.open, "x") == "opened"
    with pytest.raises(FileNotFoundError):
        open_in_thread(Opening(1, FileNotFoundError(errno.ENOENT, "none")).open, "x")


NEW_CLIENT = """
from livepeer_async import AsyncLivepeer, errors
from support.descriptors import no_free_descriptors
with no_free_descriptors():
    for _ in range(2):
        try:
            AsyncLivepeer("key")
        except errors.TooManyOpenFiles as error:
            print(error)
AsyncLivepeer("key")
"""


def test_new_client_without_a_descriptor_is_a_typed_error():
    # In a new process, which hasn't imported what a client needs.
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", NEW_CLIENT],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("too many open files (limit ") == 2


@pytest.mark.parametrize("create", [lambda: AsyncLivepeer("key"), TusClient])
def test_certificates_without_a_descriptor_are_a_typed_error(create, monkeypatch, tmp_path):
    create()  # imports what a client needs
    # The tests load each file of certificates only once.
    monkeypatch.setenv("SSL_CERT_FILE", str(shutil.copy(certifi.where(), tmp_path)))
    with no_free_descriptors(), pytest.raises(errors.TooManyOpenFiles, match="certificates"):
        create()
