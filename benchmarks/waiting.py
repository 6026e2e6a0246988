"""Measure the API calls of a wait for many assets, and the delay until each is noticed.

    python benchmarks/waiting.py [--assets 1000] [--seconds 60]

The assets become ready at random times in an embedded sandbox, in real time.
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
from support.polling import add_asset, sandbox_with_clock


async def measure(assets, seconds):
    """Wait for all; return the number of requests, the delays, and the CPU time."""
    rng = random.Random(1)
    started, late = time.monotonic(), []
    async with (
        sandbox_with_clock(lambda: time.monotonic() - started) as sandbox,
        AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer,
    ):
        ready_at = {}
        for _ in range(assets):
            after = rng.uniform(0, seconds)
            ready_at[add_asset(sandbox, ready_after=after)] = time.monotonic() + after
        cpu = time.process_time()
        async for result in livepeer.assets.wait_many(list(ready_at), timeout=seconds + 60):
            if result.error is not None:
                raise result.error
            late.append(time.monotonic() - ready_at[result.asset_id])
        return len(sandbox.requests), late, time.process_time() - cpu


def main():
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    calls, late, cpu = anyio.run(measure, options.assets, options.seconds)
    print(
        f"{options.assets} assets, ready over {options.seconds:.0f} s: {calls} calls, noticed "
        f"after {statistics.median(late):.2f} s at the median, {max(late):.2f} s at most; "
        f"{cpu:.2f} s of CPU including the sandbox"
    )


if __name__ == "__main__":
    main()
