"""A folder of very many files, over a bad line, by a command that is killed again and again.

LIVEPEER_ASYNC_BULK_FILES   small files, of up to 32 KiB; `nox -s bulk` takes 10,000
LIVEPEER_ASYNC_BULK_LARGE   large ones, of 24 to 48 MiB; `nox -s bulk` takes 20
LIVEPEER_ASYNC_BULK_SEED    of the files and of the faults
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

FILES = int(os.environ.get("LIVEPEER_ASYNC_BULK_FILES", "80"))
LARGE = int(os.environ.get("LIVEPEER_ASYNC_BULK_LARGE", "1"))
SEED = int(os.environ.get("LIVEPEER_ASYNC_BULK_SEED", "1"))
IS_LONG = FILES >= 1000
MIB = 1024 * 1024
LARGE_LENGTHS = (24 * MIB, 48 * MIB) if IS_LONG else (9 * MIB, 17 * MIB)

# Of the files that there are, at so many assets the command is killed.
KILLS = (0.2, 0.5, 0.8) if IS_LONG else (0.8,)
PATIENCE = 2400.0 if IS_LONG else 90.0

# Of the requests of each kind five in a hundred meet something.
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
    """Make videos of all lengths; give their digests by name."""
    rng = Random(SEED)
    digests = {}
    for number in range(FILES + LARGE):
        is_large = number >= FILES
        length = rng.randint(*LARGE_LENGTHS) if is_large else rng.randint(1, 32 * 1024)
        content = rng.randbytes(length)
        # Large ones lie in between: folders are walked by name.
        name = f"{rng.randrange(10**6):06}-{number:05}.mp4"
        place = folder / f"{number % 7}"
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


@pytest.fixture(scope="module")
def sandbox():
    times = {"waiting_seconds": 0.05, "processing_seconds": 0.2}
    making = Sandbox(storage="s3", faults=FAULTS, seed=SEED, **times)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(making) as sandbox:
        yield sandbox


class Ingesting:
    """The command, its folder, its journal and its report."""

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
        """Run until there are so many assets on the server, and kill."""
        process = self.start()
        try:
            deadline = time.monotonic() + PATIENCE
            while len(self.sandbox.assets) < assets:
                assert process.poll() is None, self.screen.read_text()
                assert time.monotonic() < deadline, "so many assets never came"
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        self.take_log()

    def take_log(self):
        """Count what the sandbox has seen of one process: it keeps the last 20,000 requests."""
        seen = self.sandbox.requests
        self.requests += len(seen)
        self.received += sum(it.received for it in seen if "/upload/tus" in it.path)
        self.violations += self.sandbox.violations
        self.sandbox.clear_log()

    def finish(self):
        """Run to the end; give the status."""
        process = self.start()
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            self.take_log()

    def rows(self):
        return [json.loads(line) for line in self.report.read_text().splitlines()]


def test_a_killed_ingestion_over_a_bad_line_ends_with_each_file_ready_once(
    sandbox, tmp_path, record_property
):
    command = Ingesting(sandbox, tmp_path)
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
    assert sorted(it.name for it in ready.values()) == sorted(digests)
    for asset in ready.values():
        assert sandbox.stored_sha256(asset.playback_id) == digests[asset.name], asset.name
    # What kills and lost answers left behind has no bytes, and nobody takes it for an asset.
    left = [it for it in sandbox.assets if it.id not in ready and not it.is_deleted]
    assert {it.phase for it in left} <= {"uploading"}
    assert command.violations == []
    tell(record_property, command, rows, left, seconds)


def tell(record_property, command, rows, left, seconds):
    """Print what it came to."""
    struck = Counter(type(fault.do).__name__ for fault in FAULTS for _ in range(fault.fired))
    length = sum(row["bytes"] for row in rows)
    lines = [
        f"{len(rows)} rows ready, killed {len(KILLS)} times, {seconds:.0f} s",
        f"{command.requests} requests, of which {sum(struck.values())} were struck: {dict(struck)}",
        f"{command.received} bytes received for {length}: {command.received / length:.4f}",
        f"{sum(row['is_earlier'] for row in rows)} rows were done by earlier runs",
        f"{len(left)} assets without bytes are left over",
        *command.screen.read_text().splitlines()[-12:],
    ]
    record_property(LINES, "\n".join(lines))
