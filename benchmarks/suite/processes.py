"""Child processes: clients that are measured, and servers that run meanwhile.

The operating system accounts the CPU time of a finished process (`wait4`).
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_CLIENT_SECONDS = 300.0
STOP_SECONDS = 10.0
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True)
class Finished:
    """A process that has ended.

    Attributes:
        cpu: CPU time of the process and its children, in seconds.
        wall: Seconds from its start to its end.
        printed: The last line that it printed, if it is JSON.
    """

    cpu: float
    wall: float
    printed: object = None


def environment(variables):
    """Return the environment of a client: without proxies, and with compiled modules."""
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**inherited, **variables}


def run(command, variables=None, during=None):
    """Run a client to its end.

    Args:
        command: The program and its arguments.
        variables: Added to the environment.
        during: Called with the process while it runs.

    Raises:
        RuntimeError: It failed, or took longer than `MAX_CLIENT_SECONDS`.
    """
    command = [str(part) for part in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=errors, env=environment(variables or {})
        )
        timer = threading.Timer(MAX_CLIENT_SECONDS, process.kill)
        timer.start()
        try:
            if during is not None:
                during(process)
        except BaseException:
            process.kill()
            raise
        finally:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            text = (output.read() + errors.read()).decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
        return Finished(usage.ru_utime + usage.ru_stime, wall, last_document(output.read()))


def has_ended(process):
    """Return whether a process has ended, and leave its accounts to `run`."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def last_document(output):
    """Decode the last line of an output, or return None if it isn't JSON."""
    lines = output.splitlines()
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Program:
    """A server program that runs.

    Attributes:
        printed: The JSON that it has printed.
    """

    process: subprocess.Popen
    printed: dict


def cpu_of(pid):
    """Return the CPU time of a running process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serve(command, *, variables=None, says_port=True):
    """Run a server until the block ends; yield a `Program`.

    Args:
        command: The program and its arguments. It ends when its stdin does, or by SIGTERM.
        variables: Added to the environment.
        says_port: Whether it prints a line of JSON once it listens.

    Raises:
        RuntimeError: It ended before it listened.
    """
    command = [str(part) for part in command]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(variables or {})
    )
    try:
        printed = {}
        if says_port:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(command)} ended with status {process.wait()}")
            printed = json.loads(line)
        yield Program(process, printed)
    finally:
        process.stdin.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
