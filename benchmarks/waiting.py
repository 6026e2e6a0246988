"""Count the calls that waiting for many assets costs, and how late each end is noticed.

    python benchmarks/waiting.py [--assets 1000] [--seconds 60]

The assets are planted in an embedded sandbox and become ready at random moments; all runs in real
time, through real sockets.
"""

import argparse
import random
import statistics
import sys
import time
from pathlib import Path

import anyio

from livepeer_async import AsyncLivepeer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from planting import garden, plant


async def measure(assets, seconds):
    """Wait for all; give the requests that the server saw, and the seconds after each fact."""
    rng = random.Random(1)
    started, late = time.monotonic(), []
    async with (
        garden(lambda: time.monotonic() - started) as sandbox,
        AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer,
    ):
        ready_at = {}
        for _ in range(assets):
            after = rng.uniform(0, seconds)
            ready_at[plant(sandbox, ready_after=after)] = time.monotonic() + after
        cpu = time.process_time()
        async for result in livepeer.assets.wait_many(list(ready_at), timeout=seconds + 60):
            if result.error is not None:
                raise result.error
            late.append(time.monotonic() - ready_at[result.asset_id])
        return len(sandbox.requests), late, time.process_time() - cpu


def main():
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    calls, late, cpu = anyio.run(measure, options.assets, options.seconds)
    print(
        f"{options.assets} assets, ready over {options.seconds:.0f} s: {calls} calls, noticed "
        f"after {statistics.median(late):.2f} s at the median, {max(late):.2f} s at the most; "
        f"{cpu:.2f} s of CPU, the sandbox's included"
    )


if __name__ == "__main__":
    main()
