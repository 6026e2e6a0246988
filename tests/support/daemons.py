"""Daemons that refuse to run as root, in a temporary folder that can't outlive the tests."""

import contextlib
import os
import pwd
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.clock import POLL_SECONDS
from support.constants import TIMEOUT

# Its stdin ends on `close()`, and with the tests, even if they are killed.
CLEAN_UP = """
import glob, os, shutil, signal, sys, time
folder = sys.argv[1]
sys.stdin.buffer.read()
for path in glob.glob(folder + "/*.pid") + glob.glob(folder + "/*/postmaster.pid"):
    with open(path) as file:
        process = int(file.readline())
    try:
        os.kill(process, signal.SIGQUIT)
        for _ in range(500):
            os.kill(process, 0)
            time.sleep(0.01)
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(folder, ignore_errors=True)
"""


class DaemonFolder:
    """A folder for a daemon and its files, and the user that runs it.

    It is deleted on `close()`, or when this process ends in any other way. Before that, the
    processes end that the files `*.pid` and `*/postmaster.pid` in it name.

    Attributes:
        path: The folder, which belongs to the user.
        credentials: Options of `subprocess` for processes of the user.
    """

    def __init__(self):
        self.credentials = unprivileged_credentials()
        parents = filter(is_open_to_all, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
        self.path = Path(tempfile.mkdtemp(prefix="livepeer-async-", dir=next(parents)))
        # In a session of its own, because Ctrl-C must not end it.
        self._cleaner = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", CLEAN_UP, self.path],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self.path.chmod(0o755)
        self.give(self.path)

    def give(self, path):
        """Make the user the owner of a file."""
        if self.credentials:
            os.chown(path, self.credentials["user"], self.credentials["group"])

    def write(self, name, text):
        """Write a file that only the user can read; return its path."""
        path = self.path / name
        path.write_text(text)
        path.chmod(0o600)
        self.give(path)
        return path

    def run(self, *command):
        """Run a program as the user."""
        done = subprocess.run(
            command, cwd=self.path, capture_output=True, text=True, check=False, **self.credentials
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def start(self, *command, log, is_ready):
        """Start a program as the user, with its output in a log; wait until it is ready."""
        with (self.path / log).open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self.credentials,
            )
        deadline = time.monotonic() + TIMEOUT
        while not is_ready():
            has_failed = process.poll() is not None or time.monotonic() > deadline
            assert not has_failed, (self.path / log).read_text()
            time.sleep(POLL_SECONDS)
        return process

    def close(self):
        """End the processes and delete the folder."""
        self._cleaner.communicate()


def unprivileged_credentials():
    """Return options of `subprocess` that give up root's rights, or none without these rights."""
    if os.geteuid() != 0:
        return {}
    users = sorted(pwd.getpwall(), key=lambda user: user.pw_name != "nobody")
    for user in users:
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        if user.pw_uid != 0:
            # A container may lack the user's ID.
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(["true"], check=True, **options)
                return options
    raise RuntimeError("root can't become any other user; wanted one that may run a daemon")


def is_open_to_all(path):
    """Whether every user can enter a folder."""
    path = Path(path).resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def copy_if_closed(folder, root, *parts):
    """Copy parts of a folder if the user of a `DaemonFolder` can't enter it.

    Returns:
        The folder, or the copy.
    """
    if not folder.credentials or is_open_to_all(root):
        return root
    copy = folder.path / "installation"
    for part in parts:
        if (root / part).is_dir():
            shutil.copytree(root / part, copy / part, symlinks=True)
        else:
            (copy / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / part, copy / part)
    return copy


def free_port():
    """Return a free port outside the range of the system, which could use it during a restart."""
    for port in random.sample(range(15_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("none of 100 ports is free")
