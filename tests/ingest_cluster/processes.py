"""Schedulers and workers as processes of their own."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from support.command_line import COMMAND, environment
from support.constants import TIMEOUT

HERE = os.path.dirname(__file__)


@contextmanager
def scheduler(port=0, **variables):
    """Run a scheduler; yield its process, which has its `address`."""
    program = [sys.executable, os.path.join(HERE, "scheduler_program.py"), str(port)]
    env = {**os.environ, **variables}
    with running(program, stdout=subprocess.PIPE, env=env) as process:
        process.address = process.stdout.readline().decode().strip()
        yield process


@contextmanager
def worker(address, sandbox=None, *, cwd=None, command=COMMAND, threads=2, **variables):
    """Run a worker; yield its process, which has joined."""
    place = address.partition("://")[2]
    arguments = [*command, "worker", place, "--threads", str(threads)]
    env = environment(sandbox, **variables)
    with running(arguments, env=env, cwd=cwd, stderr=subprocess.PIPE) as process:
        read_until(process, "joined")
        yield process


def read_until(process, text):
    """Read lines of standard error up to one with a text; return them."""
    lines = []
    while not lines or text not in lines[-1]:
        line = process.stderr.readline().decode()
        assert line, f"{text!r} is missing in {lines}"
        lines.append(line)
    return lines


@contextmanager
def running(arguments, **options):
    """Run a process, and kill it at the end."""
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            # A stopped process only obeys this.
            process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
