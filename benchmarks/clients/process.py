"""What the Python clients share: the peak of memory, and printing results for the runner."""

import json
import os
import time
from pathlib import Path

MIB = 1 << 20
BLOCK = 256 * 1024


def peak_mib():
    """Return the peak resident set of this process in MiB.

    From /proc: `getrusage` includes the peak of the parent.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Stopwatch:
    """Measures from its creation: wall time, CPU time of this process, and that of idle cores."""

    def __init__(self):
        self._started = self._now()

    @staticmethod
    def _now():
        _, _, _, _, idle, waiting, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        ticks = (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), time.process_time(), ticks

    def read(self):
        """Return the three times in seconds."""
        values = zip(self._now(), self._started, strict=True)
        return dict(zip(("seconds", "cpu", "idle"), (b - a for b, a in values), strict=True))


def report(**values):
    """Print results as one line of JSON."""
    print(json.dumps(values), flush=True)
