"""API calls while many assets become ready, in real time."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

from suite.figures import OURS, Figure
from suite.processes import run, serve
from suite.setup import SERVERS

ASSETS, SECONDS = 1000, 60


def measure(setup):
    """Measure the number of calls, in all runs at the same time: they mostly wait."""
    title = f"waiting for {ASSETS:,} assets that become ready over {SECONDS} s"
    calls = Figure("polling", "calls", f"{title}, API calls", "")
    cpu = Figure("polling", "cpu", f"{title}, client CPU with start-up", "s")
    with ThreadPoolExecutor(setup.runs) as threads:
        for requests, seconds in threads.map(lambda seed: wait(setup, seed), range(setup.runs)):
            calls.add(OURS, requests)
            cpu.add(OURS, seconds)
    return [calls, cpu]


def wait(setup, seed):
    """Run a server and a client; return the number of requests, and CPU seconds."""
    path = setup.folder / f"waited{seed}"
    command = [setup.python, SERVERS / "waiting.py", path, ASSETS, SECONDS, seed]
    with serve(command) as program:
        sandbox = program.printed
        finished = run(setup.ours("wait.py", sandbox["key"], sandbox["url"], path))
        with contextlib.suppress(BrokenPipeError):
            program.process.stdin.write(b"\n")
            program.process.stdin.flush()
        return json.loads(program.process.stdout.readline())["requests"], finished.cpu
