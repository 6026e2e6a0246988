"""Many files over four workers, with faults, and kills at random moments.

LIVEPEER_ASYNC_CLUSTER_FILES   number of files of the long test; 10,000 by default
LIVEPEER_ASYNC_CLUSTER_SEED    seed of files, faults and kills; random by default
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from cluster.conftest import LINES
from ingest_cluster import processes
from support.command_line import COMMAND, environment
from support.constants import MIB, TIMEOUT
from support.daemons import free_port
from support.postgres import PASSWORD

pytestmark = pytest.mark.cluster

FILES = int(os.environ.get("LIVEPEER_ASYNC_CLUSTER_FILES", "10000"))
SEED = int(os.environ.get("LIVEPEER_ASYNC_CLUSTER_SEED", Random().randrange(10**6)))
WORKERS = 4
KILLED = ("worker", "worker", "coordinator")
POLL_SECONDS = 0.2
RUN_SECONDS = 1500.0
CHUNK = 8 * MIB
PROGRAM = Path(__file__).with_name("sandbox_program.py")


class SandboxProcess:
    """A sandbox in a process of its own; a context manager.

    Attributes:
        api_key: the key of its account.
        base_url: its URL.
    """

    def __init__(self, seed):
        path = os.pathsep.join(it for it in sys.path if it)
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONPATH=path),
        )
        account = json.loads(self._process.stdout.readline())
        self.api_key, self.base_url = account["api_key"], account["base_url"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def ask(self, what):
        """Ask for the `state` or the `counts`."""
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Machines:
    """A coordinator and its workers, which share a journal; a context manager."""

    def __init__(self, sandbox, database, place):
        self.sandbox = sandbox
        self.folder = place / "in"
        self.report = place / "report.jsonl"
        self.screen = place / "screen.txt"
        self._stack = ExitStack()
        self._place = f"127.0.0.1:{free_port()}"
        self._options = ["--listen", self._place, "--journal", database.url, "--report"]
        self.workers = []
        self.coordinator = None

    def __enter__(self):
        return self

    def __exit__(self, *details):
        return self._stack.__exit__(*details)

    def start_coordinator(self):
        """Type the command."""
        command = [*COMMAND, "ingest", self.folder, *self._options, self.report]
        screen = self._stack.enter_context(self.screen.open("ab"))
        running = processes.running(
            list(map(str, command)), env=environment(self.sandbox), stdout=screen, stderr=screen
        )
        self.coordinator = self._stack.enter_context(running)

    def start_worker(self):
        """Start a worker that joins."""
        command = [*COMMAND, "worker", self._place]
        env = environment(self.sandbox, PGPASSWORD=PASSWORD)
        screen = self._stack.enter_context(self.screen.open("ab"))
        running = processes.running(command, env=env, stdout=screen, stderr=screen)
        self.workers.append(self._stack.enter_context(running))

    def kill(self, what, random):
        """Kill the coordinator or a worker, and start it again."""
        process = self.coordinator if what == "coordinator" else random.choice(self.workers)
        process.kill()
        process.wait(TIMEOUT)
        if what == "coordinator":
            self.start_coordinator()
        else:
            self.workers.remove(process)
            self.start_worker()

    def wait_until(self, condition):
        """Wait until the state of the sandbox fulfils a condition; return it."""
        deadline = time.monotonic() + RUN_SECONDS
        while not condition(state := self.sandbox.ask("state")):
            assert self.coordinator.poll() is None, self.screen.read_text()
            assert time.monotonic() < deadline, f"{state}\n{self.screen.read_text()}"
            time.sleep(POLL_SECONDS)
        return state


def write_files(folder, random, small, large):
    """Write random files; return their SHA-256 by name."""
    folder.mkdir()
    digests = {}
    for number in range(small + large):
        length = random.randint(1, 8192) if number < small else random.randint(CHUNK, 3 * CHUNK)
        content = random.randbytes(length)
        # Random prefixes put large files between small ones.
        name = f"{random.randrange(10**6):06}-{number:05}.mp4"
        (folder / name).write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


@pytest.mark.timeout(RUN_SECONDS)
@pytest.mark.parametrize(("files", "large"), [(300, 16), (FILES, 60)])
def test_killed_processes_make_each_file_ready_once(
    files, large, postgres, tmp_path, record_property
):
    random = Random(SEED)
    moments = sorted(random.uniform(0.05, 0.9) for _ in KILLED)
    began = time.monotonic()
    with SandboxProcess(SEED) as sandbox, Machines(sandbox, postgres, tmp_path) as machines:
        digests = write_files(machines.folder, random, files - large, large)
        machines.start_coordinator()
        for _ in range(WORKERS):
            machines.start_worker()
        kills = []
        for moment, what in zip(moments, random.sample(KILLED, len(KILLED)), strict=True):
            machines.wait_until(lambda state, part=moment: state["ready"] >= part * files)
            state = sandbox.ask("state")
            machines.kill(what, random)
            kills.append(f"{what} at {state['ready']} ready, {state['sending']} chunks in flight")
        status = machines.coordinator.wait(RUN_SECONDS)
        found = sandbox.ask("counts")
        rows = [json.loads(line) for line in machines.report.read_text().splitlines()]
        screen = machines.screen.read_text()
    seconds = time.monotonic() - began
    files_found = found["files"].values()
    cut = [received for it in files_found for _, received in it["killed"]]
    repeated, length = (sum(it[name] for it in files_found) for name in ("repeated", "length"))
    again = [it for it in files_found if it["repeated"] > it["lost"]]
    killed = sum(it["repeated"] - it["lost"] for it in again)
    lines = [
        f"seed {SEED}: {len(rows)} rows, {len(found['ready'])} ready assets, {seconds:.0f} s",
        *kills,
        f"{found['requests']} requests, {found['faults']} of them with a fault",
        f"{len(found['violations'])} violations, leftovers {found['leftovers']}",
        f"{len(cut)} chunks cut by kills, {sum(cut)} bytes of them received",
        (
            f"{repeated} bytes received again, of {length}; {killed} of them for kills, in "
            f"{len(again)} files"
        ),
    ]
    record_property(LINES, "\n".join(lines))
    assert status == 0, screen
    assert "Traceback" not in screen
    assert Counter(row["state"] for row in rows) == {"ready": files}
    check(found, digests, rows)


def check(found, digests, rows):
    """Each file has one ready asset, no two writers met, and kills repeat at most a chunk."""
    assert found["violations"] == []
    assert sorted(name for _, name, _ in found["ready"]) == sorted(digests)
    assert {name: digest for _, name, digest in found["ready"]} == digests
    assert {row["asset_id"] for row in rows} == {asset_id for asset_id, _, _ in found["ready"]}
    # Kills and lost responses leave only assets without bytes.
    assert set(found["leftovers"]) <= {"uploading"}
    # Without a journal entry, a chunk is sent again even if the server had received all of it.
    most = len(KILLED) * CHUNK
    for name, file in found["files"].items():
        assert 0 <= file["repeated"] <= file["lost"] + most, (name, file)
        assert len(file["killed"]) <= len(KILLED), (name, file)
        assert all(length <= CHUNK for length, _ in file["killed"]), (name, file)
