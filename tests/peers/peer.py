"""Start and stop a tus server that others wrote.

In comes the version wanted and a directory for its files; out goes a `Peer` that says where it
listens. The packages are installed by `nox -s peers`, which names their folder in the environment
variable `LIVEPEER_ASYNC_PEERS`; without it there are no peers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS: Final = ("1.0.0", "2.x")
"""The version that Livepeer Studio runs, and the newest."""

_SERVER: Final = Path(__file__).with_name("server.mjs")
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running server.

    Attributes:
        version: One of `VERSIONS`.
        base_url: The creation URL, without the token that decides the upload's ID.
        directory: Where the server keeps the uploads.
    """

    version: str
    base_url: str
    directory: Path

    def creation_url(self, token: str) -> str:
        """Name the URL whose creation makes the upload with the ID `token`."""
        return f"{self.base_url}?token={token}"

    def stored(self, token: str) -> bytes:
        """Read what the server keeps of the upload with the ID `token`."""
        return (self.directory / token).read_bytes()


def find_modules() -> Path | None:
    """Find the folder of the installed packages, or None where nobody installed them.

    Raises:
        FileNotFoundError: The environment names a folder that isn't there. That must not look like
            "no peers", or a broken installation would pass for a run without failures.
    """
    named = os.environ.get("LIVEPEER_ASYNC_PEERS")
    if not named:
        return None
    modules = Path(named)
    if not modules.is_dir():
        raise FileNotFoundError(f"LIVEPEER_ASYNC_PEERS is {named!r}; wanted a folder")
    return modules


@contextlib.contextmanager
def run_peer(version: str, directory: Path, *, max_size: int | None = None) -> Iterator[Peer]:
    """Run a server until the block ends.

    Args:
        version: One of `VERSIONS`.
        directory: Where the server keeps the uploads.
        max_size: The longest upload that it takes, `2.x` only.

    Raises:
        RuntimeError: There are no peers, no Node.js, or the server did not start.
    """
    modules = find_modules()
    node = shutil.which("node")
    if modules is None or node is None:
        raise RuntimeError("no packages or no node; the peers are run by `nox -s peers`")
    command = [node, str(_SERVER), "--modules", str(modules), "--version", version]
    command += ["--directory", str(directory)]
    if max_size is not None:
        command += ["--max-size", str(max_size)]
    # A group of its own, because Node.js may come with a launcher that starts the real process:
    # both must end. The pipe to stdin ends the server even where this process is killed.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield _started(process, version, directory)
    finally:
        _stop(process)


def _started(process: subprocess.Popen[str], version: str, directory: Path) -> Peer:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"tus server {version} ended with status {process.wait()}")
    said = json.loads(line)
    base_url = f"http://127.0.0.1:{said['port']}{said['path']}"
    return Peer(version=version, base_url=base_url, directory=directory)


def _stop(process: subprocess.Popen[str]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            break
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
