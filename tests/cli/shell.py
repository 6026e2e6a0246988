"""The command line as a user's shell runs it: real processes, with pipes or on a terminal."""

import contextlib
import fcntl
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
# Of the tests' own environment only what a process needs to run.
KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "XDG_STATE_HOME",
    "COVERAGE_PROCESS_START",
)
# However busy the machine is, what is waited for comes sooner than that; and whoever must not wait
# for something has to wait longer for it.
PATIENCE = 60.0
FOR_EVER = 1000.0

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def environment(sandbox=None, **variables):
    """Make an environment, with the account of a sandbox where one is given."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    if sandbox is not None:
        env |= {"LIVEPEER_API_KEY": sandbox.api_key, "LIVEPEER_BASE_URL": sandbox.base_url}
    return env | variables


def run(*arguments, sandbox=None, given=None, command=COMMAND, **variables):
    """Run a command with pipes to its end; `given` is what it reads, nothing by default."""
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
    """Press Ctrl-C; give what the process has to say until it has ended, which it does soon."""
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    return output.decode(), errors.decode()


def wait_until(is_true):
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


class Terminal:
    """A command on a terminal of its own.

    Attributes:
        screen: all that was written to the terminal so far, control sequences included.
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
            assert time.monotonic() < deadline, f"{text!r} never came: {self.screen!r}"
            assert self._read(0.1), f"{text!r} never came: {self.screen!r}"

    def hang_up(self):
        """Close the terminal, as its window's button does."""
        os.close(self._master)
        os.killpg(self.process.pid, signal.SIGHUP)

    def finish(self):
        """Read to the end and give the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(0.2):
            assert time.monotonic() < deadline, f"it never ended: {self.screen!r}"
        os.close(self._master)
        return self.process.wait(PATIENCE)

    def _read(self, seconds):
        """Read what there is; say whether more may come."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return self.process.poll() is None
        # A terminal whose last process has ended gives an error instead of an end.
        with contextlib.suppress(OSError):
            piece = os.read(self._master, 65536)
            self.screen += piece.decode(errors="replace")
            return bool(piece)
        return False


def untimed(line):
    """Take the time of day off a line of a log; it has to be there."""
    assert re.match(r"\d\d:\d\d:\d\d ", line), line
    return line[9:]


def plain(text):
    """Take the control sequences out of a text."""
    return ESCAPE.sub("", text)
