"""Runs server programs, most of them of other projects.

A program prints one line of JSON once it listens, and ends when its stdin does: it can't outlive
the tests, even if they are killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_STOP_SECONDS: Final = 5.0


def find_modules(variable: str) -> Path | None:
    """Find the folder of installed Node.js packages, or None if they aren't installed.

    Args:
        variable: The environment variable that names the folder.

    Raises:
        FileNotFoundError: The environment names a folder that doesn't exist. A broken installation
            must not look like skipped tests.
    """
    named = os.environ.get(variable)
    if not named:
        return None
    modules = Path(named)
    if not modules.is_dir():
        raise FileNotFoundError(f"{variable} is {named!r}; wanted a folder")
    return modules


def node_command(script: Path, *, variable: str, session: str) -> list[str]:
    """Build the command that runs a Node.js script with its packages.

    Args:
        script: The script; it takes the folder of the packages as `--modules`.
        variable: The environment variable that names that folder.
        session: The nox session that installs them.

    Raises:
        RuntimeError: There are no packages, or no Node.js.
    """
    modules = find_modules(variable)
    node = shutil.which("node")
    if modules is None or node is None:
        raise RuntimeError(f"no packages or no node; `nox -s {session}` runs {script.name}")
    return [node, str(script), "--modules", str(modules)]


@contextlib.contextmanager
def run_server(
    command: Sequence[str], *, env: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Run a program until the block ends; yield the JSON that it printed.

    Args:
        command: The program and its arguments.
        env: Variables to add to the environment.

    Raises:
        RuntimeError: It did not start.
    """
    # A process group, because Node.js may have a launcher that starts the real process: both must
    # end. The pipe to stdin ends the program even if this process is killed.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with status {process.wait()}")
        yield json.loads(line)
    finally:
        _stop(process)


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
