"""Measure many small files over a slow link, compared with tus-js-client.

    python benchmarks/small_files.py [--files 300] [--rounds 3]

The simulated link has a round trip of 80 ms, for the handshake too, and 200 Mbit/s in total. Both
clients request each upload and send its bytes with the creation; ours also waits until the asset
has left `uploading`. Sandbox, link and clients are separate processes. Needs Node.js and npm.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from livepeer_async import AsyncLivepeer

HERE = Path(__file__).parent
LENGTH = 64 * 1024
RATE = 25_000_000
ROUND_TRIP = 0.08
CONCURRENCY = 8
TUS_JS_CLIENT = "tus-js-client@4.3.1"

SERVE = """
import asyncio, json
from livepeer_async.sandbox import Sandbox

async def main():
    async with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox:
        print(json.dumps([sandbox.api_key, sandbox.base_url]), flush=True)
        await asyncio.to_thread(input)

asyncio.run(main())
"""

THROTTLED_PROXY = HERE.parent / "tests" / "support" / "throttled_proxy.py"


@contextmanager
def running(*command):
    """Run a program until the block ends; yield the first line that it prints."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline()
        finally:
            process.communicate("\n")


async def upload(url, key, path, files):
    """Upload a file `files` times with our client; return the seconds."""
    async with AsyncLivepeer(key, base_url=url) as livepeer:
        began = time.monotonic()
        async with livepeer.upload_many([path] * files, wait=False) as results:
            async for result in results:
                if result.error is not None:
                    raise result.error
        return time.monotonic() - began


def upload_in_js(folder, *arguments):
    """Upload with tus-js-client; return the seconds."""
    command = ["node", str(folder / "tus_js_client.mjs"), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main():
    """Print the seconds of each round, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "small.mp4"
        path.write_bytes(bytes(range(256)) * (LENGTH // 256))
        (folder / "tus_js_client.mjs").write_bytes((HERE / "tus_js_client.mjs").read_bytes())
        install = ["npm", "install", "--silent", "--prefix", name, TUS_JS_CLIENT]
        subprocess.run(install, check=True)
        ours, theirs = [], []
        for _ in range(options.rounds):
            with running(sys.executable, "-c", SERVE) as printed:
                key, base_url = json.loads(printed)
                port = base_url.rpartition(":")[2].removesuffix("/api")
                link = [sys.executable, THROTTLED_PROXY, port, str(RATE), str(ROUND_TRIP)]
                with running(*link) as line:
                    url = f"http://127.0.0.1:{json.loads(line)['port']}/api"
                    ours.append(asyncio.run(upload(url, key, path, options.files)))
                    theirs.append(upload_in_js(folder, url, key, path, options.files, CONCURRENCY))
            print(f"ours {ours[-1]:.2f} s, {TUS_JS_CLIENT} {theirs[-1]:.2f} s")
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{options.files} files of {LENGTH} bytes: {ratio:.2f} of its time")


if __name__ == "__main__":
    main()
