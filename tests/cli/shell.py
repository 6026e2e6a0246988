"""Runs the command line in real processes, with pipes or on a terminal, and reads its output."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

COMMAND = [sys.executable, "-m", "livepeer_async.cli"]
# Variables of the test process that a command needs.
KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "XDG_STATE_HOME",
    "COVERAGE_PROCESS_START",
)
# Longer than anything takes on a busy machine, and longer than any test waits.
PATIENCE = 60.0
NEVER = 1000.0

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def environment(sandbox=None, **variables):
    """Return an environment, with the account of a sandbox if there is one."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    if sandbox is not None:
        env |= {"LIVEPEER_API_KEY": sandbox.api_key, "LIVEPEER_BASE_URL": sandbox.base_url}
    return env | variables


def run(*arguments, sandbox=None, given=None, command=COMMAND, **variables):
    """Run a command with pipes; `given` is its standard input, empty by default."""
    return subprocess.run(
        [*command, *map(str, arguments)],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        env=environment(sandbox, **variables),
        timeout=PATIENCE,
        check=False,
    )


def start(*arguments, sandbox=None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **variables):
    """Start a command with pipes."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(sandbox, **variables),
    )


def interrupt(process):
    """Press Ctrl-C, and return the output until the process ends."""
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    return output.decode(), errors.decode()


def wait_until(is_true):
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


class Terminal:
    """A command on a terminal of its own.

    Attributes:
        screen: everything that was written to the terminal, with control sequences.
    """

    def __init__(self, *arguments, sandbox=None, columns=100, rows=40, **variables):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(sandbox, **variables),
            start_new_session=True,
        )
        os.close(slave)
        self.screen = ""

    def type(self, keys):
        """Type on the terminal."""
        os.write(self._master, keys.encode())

    def read_until(self, text):
        """Read until a text has been written."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert time.monotonic() < deadline, f"no {text!r}: {self.screen!r}"
            assert self._read(0.1), f"no {text!r}: {self.screen!r}"

    def hang_up(self):
        """Close the terminal, as its window's button does."""
        os.close(self._master)
        os.killpg(self.process.pid, signal.SIGHUP)

    def finish(self):
        """Read to the end and return the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(0.2):
            assert time.monotonic() < deadline, f"still running: {self.screen!r}"
        os.close(self._master)
        return self.process.wait(PATIENCE)

    def _read(self, seconds):
        """Read what there is; return whether more may come."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return self.process.poll() is None
        # When the last process of a terminal has ended, reading fails.
        with contextlib.suppress(OSError):
            piece = os.read(self._master, 65536)
            self.screen += piece.decode(errors="replace")
            return bool(piece)
        return False


def untimed(line):
    """Remove the time of day from a line of a log."""
    assert re.match(r"\d\d:\d\d:\d\d ", line), line
    return line[9:]


def plain(text):
    """Remove control sequences from a text."""
    return ESCAPE.sub("", text)


def lines_of(output):
    """Return the lines of an output."""
    return output.decode().splitlines()


def documents(lines):
    """Parse JSON lines."""
    return [json.loads(line) for line in lines]


def table_of(done):
    """Return the table at the end of an ingestion: the rest of each line by its first words."""
    return {line[:10].strip(): line[10:].strip() for line in lines_of(done.stdout)}


def read_report(path):
    """Parse a report."""
    return documents(path.read_text().splitlines())
