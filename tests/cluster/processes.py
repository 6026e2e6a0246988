"""Processes that share a manifest and a journal, each with a link to PostgreSQL of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from cluster.observer import Observer
from restarts.checks import count_bytes, find_requests, is_stored
from restarts.command import write_files
from support import command_line
from support.clock import POLL_SECONDS
from support.constants import MIB
from support.cut_proxy import CutProxy

# With this rate, a part of 8 MiB takes 8 s, and the first file longer than the partition rule's 15.
RATE = MIB
LENGTHS = (24 * MIB, 6 * MIB + 1)
RUN_SECONDS = 240.0
UPLOADER = Path(__file__).with_name("uploader.py")


class UploadingProcess:
    """A process that uploads the files.

    Args:
        command: The program and its arguments.
        sandbox: The server.
        proxy: The process's link to PostgreSQL.
        output: The path of its output, without a suffix.
    """

    def __init__(self, command, *, sandbox, proxy, output):
        self.proxy = proxy
        self._output = output
        environment = command_line.environment(sandbox)
        with self._path("out").open("wb") as out, self._path("err").open("wb") as err:
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
            )

    def _path(self, suffix):
        return Path(f"{self._output}.{suffix}")

    @property
    def lines(self):
        """The decoded lines of its output."""
        return [json.loads(line) for line in self._path("out").read_text().splitlines()]

    @property
    def log(self):
        """Its standard error."""
        return self._path("err").read_text()

    def stop(self):
        """Stop it as Ctrl-Z does, without its consent."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self):
        """Let it go on after `stop`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def finish(self):
        """Wait for its end, and return the exit status."""
        status = self.process.wait(RUN_SECONDS)
        assert "Traceback" not in self.log, self.log
        return status


class Cluster:
    """Files, a sandbox, a database, and the processes that upload; a context manager.

    Attributes:
        observer: The transfers so far.
        processes: The processes, oldest first.
    """

    def __init__(self, sandbox, database, folder, lengths=LENGTHS):
        self.sandbox = sandbox
        self.database = database
        self.observer = Observer(sandbox)
        self.processes = []
        self.files = write_files(folder / "files", lengths, Random(1))
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self):
        self._stack.enter_context(self.observer)
        return self

    def __exit__(self, *_):
        for it in self.processes:
            it.kill()
        self._stack.close()

    def start_ingest(self):
        """Start `livepeer-async ingest`."""
        options = ("--concurrency", 1, "--max-rate", RATE, "--json", "--verbose")
        return self._start(
            lambda journal: [
                *(*command_line.COMMAND, "ingest", self.files[0].parent, "--journal", journal),
                *options,
            ]
        )

    def start_uploader(self):
        """Start the program that wants all files until they are ready."""
        return self._start(lambda url: [sys.executable, UPLOADER, url, RATE, *self.files])

    def _start(self, command):
        proxy = self._stack.enter_context(CutProxy(self.database.server.port))
        url = self.database.url_of(port=proxy.port)
        process = UploadingProcess(
            command(url),
            sandbox=self.sandbox,
            proxy=proxy,
            output=self._folder / f"process{len(self.processes)}",
        )
        self.processes.append(process)
        return process

    def start_two(self):
        """Start a process that sends the first file, and one that wants it too."""
        holder = self.start_ingest()
        self.wait_until(lambda: self.is_sending(self.files[0]))
        other = self.start_uploader()
        self.wait_until(lambda: self.is_sending(self.files[1]))
        return holder, other

    def wait_until(self, condition, seconds=60.0):
        """Wait for a condition; a process that fails must not be waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [it.log for it in self.processes if it.process.poll() not in {None, 0, -9}]
            assert not ended, "\n".join(ended)
            assert time.monotonic() < deadline, "\n".join(it.log for it in self.processes)
            time.sleep(POLL_SECONDS)

    def is_of(self, transfer, path):
        """Whether a transfer has bytes of a file."""
        return any(it is transfer.request for it in find_requests(self.sandbox, path.name))

    def is_sending(self, path):
        """Whether bytes of a file are arriving, in the middle of a chunk."""
        arriving = [it for it in self.observer.active if it.request.received > MIB]
        return any(self.is_of(it, path) for it in arriving)

    def count_ready(self):
        """Count the ready assets."""
        return len(self._ready())

    def _ready(self):
        return [it for it in self.sandbox.assets if it.phase == "ready" and not it.is_deleted]

    def count(self, path):
        """Count the bytes sent of a file."""
        return count_bytes(path.stat().st_size, find_requests(self.sandbox, path.name))

    def count_repeated(self):
        """Count the bytes that were sent more than once."""
        return sum(self.count(path).repeated for path in self.files)

    def check(self):
        """Check that each file has one ready asset with its bytes, and what was sent again."""
        assets = {Path(it.name).name: it for it in self._ready()}
        assert self.count_ready() == len(assets) == len(self.files), self._ready()
        for path in self.files:
            assert is_stored(self.sandbox, assets[path.name].playback_id, path), path.name
            found = self.count(path)
            assert 0 <= found.repeated <= found.lost, f"{path.name}: {found}"
