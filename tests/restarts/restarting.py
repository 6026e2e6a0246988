"""A command that uploads files with a journal: started, killed, and started again.

In come a sandbox and a folder; out come the kills, each with what it struck, and the lines that
the command wrote when it was left alone.
"""

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
from restarts.copies import Copy, copy_journal
from restarts.plan import Instant
from support import command_line
from support.clock import wait_until

# A command that is left alone must end; none takes a tenth of this.
PATIENCE = 240.0


class Kill(Struct, frozen=True):
    """One kill, and what it struck.

    Attributes:
        seconds: after the start of the interpreter, about.
        requests: how many the process had sent by then.
        is_sending: whether bytes of a file were on their way.
        is_processing: whether the server had all bytes of an asset, and it wasn't ready.
        is_late: whether nothing was left to do.
    """

    seconds: float
    requests: int
    is_sending: bool
    is_processing: bool
    is_late: bool


class Ended(Struct, frozen=True):
    """How a command ended by itself.

    Attributes:
        lines: what it wrote, decoded.
        said: what it wrote on standard error.
    """

    status: int
    lines: list[dict]
    said: str


class Restarting:
    """The command, its files, its journal and the server that it uploads to."""

    def __init__(self, sandbox: Sandbox, files: list[Path], journal: Path) -> None:
        self.sandbox = sandbox
        self.files = files
        self.journal = journal

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen]:
        """Start the command; it doesn't outlive the block."""
        arguments = ["upload", *self.files, "--journal", self.journal, "--json"]
        with command_line.start(*arguments, sandbox=self.sandbox) as process:
            try:
                yield process
            finally:
                process.kill()

    def kill_at(self, instant: Instant) -> Kill | Ended:
        """Start the command and kill it, unless it ends before."""
        before, began = len(self.sandbox.requests), time.monotonic()
        with self.started() as process:
            if not instant.is_early:
                wait_until(lambda: len(self.sandbox.requests) > before)
            try:
                return finish(process, instant.seconds)
            except subprocess.TimeoutExpired:
                struck = self.sandbox.requests[before:]
                phases = {asset.phase for asset in self.sandbox.assets}
                process.kill()
                _, said = process.communicate()
        assert "Traceback" not in said.decode()
        return Kill(
            seconds=time.monotonic() - began,
            requests=len(struck),
            is_sending=any(has_body(request) and not request.is_over for request in struck),
            is_processing=not phases.isdisjoint({"waiting", "processing"}),
            is_late=self.copy().finished == len(self.files),
        )

    def run(self) -> Ended:
        """Run the command to its end."""
        with self.started() as process:
            return finish(process)

    def list_orphans(self) -> list[dict]:
        """List what the journal says is left over on the server."""
        command = ["journal", "orphans", "--journal", self.journal, "--json"]
        done = command_line.run(*command, sandbox=self.sandbox)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def copy(self) -> Copy:
        """Read a copy of the journal as it lies on the disk."""
        return copy_journal(self.journal)

    def names_beside_journal(self) -> set[str]:
        """List the files that belong to the journal, beside itself."""
        found = self.journal.parent.glob(f"{self.journal.name}?*")
        return {path.name for path in found}


def finish(process: subprocess.Popen, seconds: float = PATIENCE) -> Ended:
    """Wait until a process has ended by itself, and read what it wrote."""
    output, said = process.communicate(timeout=seconds)
    assert "Traceback" not in said.decode()
    lines = [json.loads(line) for line in output.splitlines()]
    return Ended(status=process.returncode, lines=lines, said=said.decode())


def has_body(request: SeenRequest) -> bool:
    """Whether a request carries bytes of a file."""
    is_upload = "/upload/tus" in request.path and request.method in {"POST", "PATCH"}
    return is_upload and int(request.headers.get("content-length", 0)) > 0


def write_files(folder: Path, lengths: list[int], random: Random) -> list[Path]:
    """Write files of which no two share a byte's worth of pattern, named by their number."""
    folder.mkdir()
    paths = [folder / f"{number:02}.mp4" for number in range(len(lengths))]
    for path, length in zip(paths, lengths, strict=True):
        path.write_bytes(random.randbytes(length))
    return paths
