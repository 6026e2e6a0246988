"""What the Python clients share: the peak of memory, and printing results for the runner."""

import json
from pathlib import Path

MIB = 1 << 20
BLOCK = 256 * 1024


def peak_mib():
    """Return the peak resident set of this process in MiB.

    From /proc: `getrusage` includes the peak of the parent.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(**values):
    """Print results as one line of JSON."""
    print(json.dumps(values), flush=True)
