"""Measure uploads to the embedded sandbox: requests per file, and memory.

    python benchmarks/uploads.py [--files 16] [--mib 1024]

The sandbox runs in its own process. Memory is the peak resident set above that of an idle client.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from livepeer_async import AsyncLivepeer

SERVE = """
import asyncio, json
from livepeer_async.sandbox import Sandbox

async def main():
    async with Sandbox(storage="s3", processing_seconds=0.0) as sandbox:
        print(json.dumps([sandbox.api_key, sandbox.base_url]), flush=True)
        await asyncio.to_thread(input)
        calls = [request.path.partition("?")[0] for request in sandbox.requests]
        tickets = sum(path.endswith("request-upload") for path in calls)
        tus = sum("/upload/tus" in path for path in calls)
        print(json.dumps([tickets, tus, len(calls)]), flush=True)

asyncio.run(main())
"""


def peak_mib():
    """Return the peak resident set of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def upload_all(key, base_url, paths):
    """Upload all paths concurrently; return the memory above that of an idle client in MiB."""
    async with AsyncLivepeer(key, base_url=base_url) as livepeer:
        [asset async for asset in livepeer.assets.list()]
        idle = peak_mib()
        async with livepeer.upload_many(paths, concurrency=len(paths)) as results:
            async for result in results:
                if result.error is not None:
                    raise result.error
        return peak_mib() - idle


def measure(name, lengths):
    """Upload files of these lengths, and print requests and memory."""
    command = [sys.executable, "-c", SERVE]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        paths = []
        for number, length in enumerate(lengths):
            path = Path(folder) / f"{number}.mp4"
            with path.open("wb") as file:
                file.truncate(length)
            paths.append(path)
        key, base_url = json.loads(server.stdout.readline())
        memory = asyncio.run(upload_all(key, base_url, paths))
        server.stdin.write("\n")
        server.stdin.flush()
        asset_requests, tus, calls = json.loads(server.stdout.readline())
    count = len(lengths)
    print(
        f"{name:24} per file: {asset_requests / count:.2f} request-upload, {tus / count:.2f} tus, "
        f"{calls / count:.2f} in total; memory above idle {memory:.1f} MiB"
    )


def main():
    """Measure small files, then large ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    measure("100 files of 64 KiB", [64 * 1024] * 100)
    large = f"{options.files} files of {options.mib} MiB"
    measure(large, [options.mib * 1024 * 1024] * options.files)


if __name__ == "__main__":
    main()
