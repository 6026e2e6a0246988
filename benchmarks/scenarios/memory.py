"""Memory of concurrent uploads, and of an application that passes bodies of visitors through."""

import os
import subprocess
import sys
from pathlib import Path

from suite.figures import OURS, Figure
from suite.processes import cpu_of, environment, run, serve
from suite.setup import CLIENTS, MIB, SERVERS, alternate, free_port, wait_until_open

UPLOADS, LENGTH = 16, 128 * MIB
VISITORS, MIB_EACH = 16, 64
PEAK_FROM_NOW = "5"


def measure(setup):
    """Measure uploads, and visitors."""
    return [measure_uploads(setup), *measure_visitors(setup)]


def measure_uploads(setup):
    """Measure the peak resident set of a client above that before its uploads."""
    title = f"{UPLOADS} uploads of 128 MiB at once, memory above an idle client"
    figure, folder = Figure("memory", "uploads", title, "MiB"), setup.copies(LENGTH, UPLOADS)
    with setup.sink() as origin:
        sides = {
            OURS: setup.ours("upload.py", f"{origin}/api", folder, UPLOADS, "uploaded"),
            "httpx": setup.ours("httpx_upload.py", origin, folder),
        }
        for side, command in alternate(sides, setup.runs):
            figure.add(side, run(command).printed["memory"])
    return figure


def measure_visitors(setup):
    """Measure the peak resident set of an application above that of the idle one, and its CPU."""
    what = f"{VISITORS} visitors of a FastAPI application passed through"
    memory = Figure("memory", "visitors", f"{what}, memory per visitor", "MiB")
    cpu = Figure("memory", "visitors-cpu", f"{what}, CPU of the application per GiB", "s")
    with setup.sink() as origin:
        for _ in range(setup.runs):
            peak, seconds = visit(setup, origin)
            memory.add(OURS, peak / VISITORS)
            cpu.add(OURS, seconds * 1024 / VISITORS / MIB_EACH)
    return [memory, cpu]


def visit(setup, origin):
    """Run the application with all visitors; return MiB above idle, and CPU seconds."""
    port = free_port()
    account = {"LIVEPEER_API_KEY": "key", "LIVEPEER_BASE_URL": f"{origin}/api"}
    command = [setup.python, SERVERS / "application.py", port]
    with serve(command, variables=account, says_port=False) as program:
        wait_until_open(port)
        pid = program.process.pid
        Path(f"/proc/{pid}/clear_refs").write_text(PEAK_FROM_NOW)
        idle, began = peak_mib(pid), cpu_of(pid)
        visitors = [sys.executable, CLIENTS / "visitors.py", port, VISITORS, MIB_EACH]
        subprocess.run(list(map(str, visitors)), check=True, env=environment(os.environ))
        return peak_mib(pid) - idle, cpu_of(pid) - began


def peak_mib(pid):
    """Return the peak resident set of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
