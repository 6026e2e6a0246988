"""Time `from livepeer_async import AsyncLivepeer` beyond its four dependencies.

    python benchmarks/startup.py

Processes alternate: one imports the dependencies only, the other the package too.
"""

import statistics
import subprocess
import sys

ROUNDS = 21
DEPENDENCIES = "import httpx, anyio, msgspec, aiofiles"
TIMED = "import time; started = time.perf_counter(); {}; print(time.perf_counter() - started)"


def milliseconds(statement):
    """Return the time of a statement in a new interpreter in milliseconds."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1e3


def main():
    """Print both medians and the difference."""
    alone, whole = [], []
    for _ in range(ROUNDS):
        alone.append(milliseconds(DEPENDENCIES))
        whole.append(milliseconds(f"{DEPENDENCIES}; from livepeer_async import AsyncLivepeer"))
    first, second = statistics.median(alone), statistics.median(whole)
    print(f"dependencies alone {first:6.1f} ms")
    print(f"with the package   {second:6.1f} ms   beyond {second - first:6.1f} ms")


if __name__ == "__main__":
    main()
