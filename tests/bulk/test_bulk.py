"""Ingestion of a folder with many files and faults, by a command that is killed repeatedly.

LIVEPEER_ASYNC_BULK_FILES   number of files up to 32 KiB; 10,000 in `nox -s bulk`
LIVEPEER_ASYNC_BULK_LARGE   number of files of 24 to 48 MiB; 20 in `nox -s bulk`
LIVEPEER_ASYNC_BULK_SEED    seed of the files and faults
"""

import hashlib
import json
import os
import subprocess
import time
from collections import Counter
from random import Random

import pytest
from anyio.from_thread import start_blocking_portal

from bulk.conftest import LINES
from livepeer_async.sandbox import Answer, CutAnswer, CutConnection, Fault, LoseAnswer, On, Sandbox
from support import command_line
from support.constants import MIB

FILES = int(os.environ.get("LIVEPEER_ASYNC_BULK_FILES", "40"))
LARGE = int(os.environ.get("LIVEPEER_ASYNC_BULK_LARGE", "1"))
SEED = int(os.environ.get("LIVEPEER_ASYNC_BULK_SEED", "1"))
IS_LONG = FILES >= 1000
LARGE_LENGTHS = (24 * MIB, 48 * MIB) if IS_LONG else (9 * MIB, 17 * MIB)

# The fraction of assets at which the command is killed.
KILLS = (0.2, 0.5, 0.8) if IS_LONG else (0.8,)
RUN_SECONDS = 2400.0 if IS_LONG else 90.0

# 5 % of the requests of each kind have a fault.
ACTIONS = {
    "tus": (
        CutConnection(after_bytes=700),
        CutConnection(after_bytes=5_000_000, how="fin"),
        LoseAnswer(),
        CutAnswer(),
        Answer(500),
    ),
    "api": (CutConnection(), LoseAnswer(), CutAnswer(), Answer(500), Answer(502)),
}
FAULTS = [
    Fault(On(path=path, probability=0.01), action)
    for kind, path in (("tus", "/upload/tus"), ("api", r"/asset($|/request|/[^/]+$)"))
    for action in ACTIONS[kind]
]


def make_files(folder):
    """Write random files; return their SHA-256 by name."""
    rng = Random(SEED)
    digests = {}
    for number in range(FILES + LARGE):
        is_large = number >= FILES
        length = rng.randint(*LARGE_LENGTHS) if is_large else rng.randint(1, 32 * 1024)
        content = rng.randbytes(length)
        # Random prefixes put large files between small ones.
        name = f"{rng.randrange(10**6):06}-{number:05}.mp4"
        place = folder / f"{number % 7}"
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


@pytest.fixture(scope="module")
def sandbox():
    times = {"waiting_seconds": 0.05, "processing_seconds": 0.2}
    sandbox = Sandbox(storage="s3", faults=FAULTS, seed=SEED, **times)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(sandbox) as sandbox:
        yield sandbox


class IngestCommand:
    """The command with its folder, journal and report."""

    def __init__(self, sandbox, place):
        self.sandbox = sandbox
        self.folder = place / "in"
        self.folder.mkdir()
        self.arguments = ["ingest", self.folder, "--journal", place / "the.journal"]
        self.report = place / "report.jsonl"
        self.screen = place / "screen.txt"
        self.requests = self.received = 0
        self.violations = []

    def start(self):
        command = [*command_line.COMMAND, *map(str, [*self.arguments, "--report", self.report])]
        environment = command_line.environment(self.sandbox)
        with self.screen.open("ab") as screen:
            return subprocess.Popen(command, stdout=screen, stderr=screen, env=environment)

    def kill_at(self, assets):
        """Kill the command once the server has `assets` assets."""
        process = self.start()
        try:
            deadline = time.monotonic() + RUN_SECONDS
            while len(self.sandbox.assets) < assets:
                assert process.poll() is None, self.screen.read_text()
                assert time.monotonic() < deadline, f"fewer than {assets} assets"
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        self.count_requests()

    def count_requests(self):
        """Count the requests of a process, and clear the log: it keeps the last 20,000."""
        seen = self.sandbox.requests
        self.requests += len(seen)
        self.received += sum(it.received for it in seen if "/upload/tus" in it.path)
        self.violations += self.sandbox.violations
        self.sandbox.clear_log()

    def finish(self):
        """Run to the end; return the exit status."""
        process = self.start()
        try:
            return process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            self.count_requests()

    def rows(self):
        return [json.loads(line) for line in self.report.read_text().splitlines()]


def test_killed_ingestion_makes_each_file_ready_once(sandbox, tmp_path, record_property):
    command = IngestCommand(sandbox, tmp_path)
    digests = make_files(command.folder)
    began = time.monotonic()
    for part in KILLS:
        command.kill_at(part * len(digests))
    status = command.finish()
    seconds = time.monotonic() - began
    rows = command.rows()
    assert status == 0, Counter(row["state"] for row in rows)
    assert Counter(row["state"] for row in rows) == {"ready": len(digests)}
    assert {os.path.basename(row["key"]) for row in rows} == set(digests)
    ready = {it.id: it for it in sandbox.assets if it.phase == "ready" and not it.is_deleted}
    assert {row["asset_id"] for row in rows} == set(ready)
    names = {it.id: os.path.basename(it.name) for it in ready.values()}
    assert sorted(names.values()) == sorted(digests)
    for asset in ready.values():
        assert sandbox.stored_sha256(asset.playback_id) == digests[names[asset.id]], asset.name
    # Kills and lost responses leave only assets without bytes.
    leftovers = [it for it in sandbox.assets if it.id not in ready and not it.is_deleted]
    assert {it.phase for it in leftovers} <= {"uploading"}
    assert command.violations == []
    report(record_property, command, rows, leftovers, seconds)


def report(record_property, command, rows, leftovers, seconds):
    """Print the counts."""
    faults = Counter(type(fault.do).__name__ for fault in FAULTS for _ in range(fault.fired))
    length = sum(row["bytes"] for row in rows)
    lines = [
        f"{len(rows)} rows ready, killed {len(KILLS)} times, {seconds:.0f} s",
        f"{command.requests} requests, {sum(faults.values())} of them with a fault: {dict(faults)}",
        f"{command.received} bytes received for {length}: {command.received / length:.4f}",
        f"{sum(row['is_earlier'] for row in rows)} rows finished by earlier runs",
        f"{len(leftovers)} assets without bytes left",
        *command.screen.read_text().splitlines()[-12:],
    ]
    record_property(LINES, "\n".join(lines))
