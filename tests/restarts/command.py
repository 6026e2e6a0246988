"""An upload command with a journal that is started, killed and started again."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from msgspec import Struct

from livepeer_async.sandbox import Sandbox
from livepeer_async.sandbox.request_log import SeenRequest
from restarts.journal_contents import JournalContents, read_copy
from restarts.plan import Instant
from support import command_line
from support.clock import wait_until

# Ten times the duration of a command that isn't killed.
RUN_SECONDS = 240.0


class Kill(Struct, frozen=True):
    """A kill, and the state at that moment.

    Attributes:
        seconds: Time since the start of the interpreter.
        requests: The number of requests that the process had sent.
        is_sending: Whether bytes of a file were in flight.
        is_processing: Whether an asset was complete but not ready.
        is_late: Whether all files were ready.
    """

    seconds: float
    requests: int
    is_sending: bool
    is_processing: bool
    is_late: bool


class Result(Struct, frozen=True):
    """A command that ended by itself.

    Attributes:
        lines: Its output, decoded.
    """

    status: int
    lines: list[dict]
    stderr: str


class RestartedCommand:
    """The command with its files, its journal and its server."""

    def __init__(self, sandbox: Sandbox, files: list[Path], journal: Path) -> None:
        self.sandbox = sandbox
        self.files = files
        self.journal = journal

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen]:
        """Start the command, and kill it at the end of the block."""
        arguments = ["upload", *self.files, "--journal", self.journal, "--json"]
        with command_line.start(*arguments, sandbox=self.sandbox) as process:
            try:
                yield process
            finally:
                process.kill()

    def kill_at(self, instant: Instant) -> Kill | Result:
        """Start the command, and kill it unless it ends before."""
        before, began = len(self.sandbox.requests), time.monotonic()
        with self.started() as process:
            if not instant.is_early:
                wait_until(lambda: len(self.sandbox.requests) > before)
            try:
                return finish(process, instant.seconds)
            except subprocess.TimeoutExpired:
                sent = self.sandbox.requests[before:]
                phases = {asset.phase for asset in self.sandbox.assets}
                process.kill()
                _, stderr = process.communicate()
        assert "Traceback" not in stderr.decode()
        return Kill(
            seconds=time.monotonic() - began,
            requests=len(sent),
            is_sending=any(carries_file_bytes(request) and not request.is_over for request in sent),
            is_processing=not phases.isdisjoint({"waiting", "processing"}),
            is_late=self.copy().finished == len(self.files),
        )

    def run(self) -> Result:
        """Run the command to its end."""
        with self.started() as process:
            return finish(process)

    def list_orphans(self) -> list[dict]:
        """Run `journal orphans`."""
        command = ["journal", "orphans", "--journal", self.journal, "--json"]
        done = command_line.run(*command, sandbox=self.sandbox)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def copy(self) -> JournalContents:
        """Read a copy of the journal file."""
        return read_copy(self.journal)

    def names_beside_journal(self) -> set[str]:
        """List the other files of the journal."""
        found = self.journal.parent.glob(f"{self.journal.name}?*")
        return {path.name for path in found}


def finish(process: subprocess.Popen, seconds: float = RUN_SECONDS) -> Result:
    """Wait for the end of a process, and read its output."""
    output, stderr = process.communicate(timeout=seconds)
    assert "Traceback" not in stderr.decode()
    lines = [json.loads(line) for line in output.splitlines()]
    return Result(status=process.returncode, lines=lines, stderr=stderr.decode())


def carries_file_bytes(request: SeenRequest) -> bool:
    """Whether a request has bytes of a file."""
    is_upload = "/upload/tus" in request.path and request.method in {"POST", "PATCH"}
    return is_upload and int(request.headers.get("content-length", 0)) > 0


def write_files(folder: Path, lengths: list[int], random: Random) -> list[Path]:
    """Write random files, named by their number."""
    folder.mkdir()
    paths = [folder / f"{number:02}.mp4" for number in range(len(lengths))]
    for path, length in zip(paths, lengths, strict=True):
        path.write_bytes(random.randbytes(length))
    return paths
