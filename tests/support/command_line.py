"""Runs `livepeer-async` in processes of its own, with pipes or on a terminal."""

import codecs
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
import threading
import time

from support.clock import POLL_SECONDS
from support.constants import TIMEOUT

COMMAND = [sys.executable, "-m", "livepeer_async.cli"]
# Variables that a process needs to run; the others of the tests' environment are left out.
INHERITED = (
    "PATH",
    "HOME",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "XDG_STATE_HOME",
    "COVERAGE_PROCESS_START",
)
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def environment(sandbox=None, **variables):
    """Build an environment, with the account of a sandbox if one is given."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    if sandbox is not None:
        env |= {"LIVEPEER_API_KEY": sandbox.api_key, "LIVEPEER_BASE_URL": sandbox.base_url}
    return env | variables


def run(*arguments, sandbox=None, stdin=None, command=COMMAND, **variables):
    """Run a command with pipes to its end; `stdin` is what it reads, nothing by default."""
    return subprocess.run(
        [*command, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env=environment(sandbox, **variables),
        timeout=TIMEOUT,
        check=False,
    )


def start(
    *arguments,
    sandbox=None,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    **variables,
):
    """Start a command with pipes."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment(sandbox, **variables),
    )


def interrupt(process):
    """Press Ctrl-C, wait for the end, and return the output and the errors."""
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT)
    return output.decode(), errors.decode()


class Terminal:
    """A command on a terminal of its own.

    Attributes:
        screen: Everything written to the terminal, with control sequences.
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
        self._is_open = True
        # Always read: a command blocks once some KiB of its output are unread.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, keys):
        """Type on the terminal."""
        os.write(self._master, keys.encode())

    def read_until(self, text):
        """Wait until a text was written."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.screen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.screen!r}"
            has_ended = not self._reader.is_alive()
            assert not has_ended or text in self.screen, f"no {text!r} in {self.screen!r}"
            time.sleep(POLL_SECONDS)

    def hang_up(self):
        """Close the terminal, as closing its window does."""
        self._close()
        os.killpg(self.process.pid, signal.SIGHUP)

    def finish(self):
        """Wait for the end and return the exit status."""
        self._reader.join(TIMEOUT)
        assert not self._reader.is_alive(), f"still running: {self.screen!r}"
        self._close()
        return self.process.wait(TIMEOUT)

    def _close(self):
        self._is_open = False
        self._reader.join()
        os.close(self._master)

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while self._is_open:
            ready, _, _ = select.select([self._master], [], [], 0.1)
            if not ready:
                continue
            try:
                block = os.read(self._master, 65536)
            except OSError:  # the last process has ended
                return
            if not block:
                return
            self.screen += decoder.decode(block)


def untimed(line):
    """Remove the time of day from a log line, which must have one."""
    assert re.match(r"\d\d:\d\d:\d\d ", line), line
    return line[9:]


def plain(text):
    """Remove the control sequences from a text."""
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
