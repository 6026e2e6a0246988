"""Whether the process of an owner has certainly ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from livepeer_async.journal.postgres.processes import current_process
from support.clock import wait_until

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")

# Its command has a space and a parenthesis, as the fields of /proc/PID/stat may.
PROGRAM = """
import ctypes, sys
from livepeer_async.journal.postgres.processes import current_process
ctypes.CDLL(None).prctl(15, b"a) S 1 (", 0, 0, 0)
process = current_process()
print(process.pid, process.started, process.machine, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def owner(child):
    """The child as an owner in the journal."""
    pid, started, machine = child.stdout.readline().split(" ", 2)
    here = current_process()
    assert machine.strip() == here.machine
    return replace(here, pid=int(pid), started=int(started))


def state_of(process):
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(") ")[2][0]


def test_running_and_stopped_processes_have_not_ended(child, owner):
    here = current_process()
    assert not here.has_ended(here)
    assert not owner.has_ended(here)
    child.send_signal(signal.SIGSTOP)
    wait_until(lambda: state_of(child) == "T")
    assert not owner.has_ended(here)


def test_killed_process_has_ended_even_as_a_zombie(child, owner):
    child.kill()
    wait_until(lambda: state_of(child) == "Z")
    assert owner.has_ended(current_process())
    child.wait()
    assert owner.has_ended(current_process())


def test_process_id_that_is_used_again_has_ended(owner):
    assert replace(owner, started=owner.started - 1).has_ended(current_process())


@pytest.mark.parametrize("machine", ["", "another-boot pid:[4026531836]"])
def test_process_of_another_machine_may_run(child, owner, machine):
    child.kill()
    child.wait()
    assert not replace(owner, machine=machine).has_ended(current_process())


def test_process_is_not_judged_from_an_unknown_machine(child, owner):
    child.kill()
    child.wait()
    unknown = replace(current_process(), machine="")
    assert not owner.has_ended(unknown)
    assert not replace(owner, machine="").has_ended(unknown)


@pytest.mark.parametrize("hidden", ["stat of others", "own stat"])
def test_process_that_proc_hides_may_run(owner, monkeypatch, hidden):
    if hidden == "own stat":
        assert not replace(owner, started=0).has_ended(current_process())
        return
    here, read_text = current_process(), Path.read_text

    def read_visible(path, **options):
        if path == Path(f"/proc/{owner.pid}/stat"):
            raise FileNotFoundError(path)
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", read_visible)
    assert not owner.has_ended(here)
    assert replace(owner, pid=2**22 + 1).has_ended(here)


@pytest.mark.parametrize("pid", [0, -1])
def test_process_id_of_no_process_is_not_judged(owner, pid):
    assert not replace(owner, pid=pid).has_ended(current_process())


def test_machine_names_the_namespace_of_process_ids():
    namespace = os.readlink("/proc/self/ns/pid")
    assert current_process().machine.endswith(namespace)
