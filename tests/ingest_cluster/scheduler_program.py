"""Run a scheduler until the process is killed; its address is the only line of output."""

import sys

import anyio

from livepeer_async.ingest.cluster import nodes


async def main():
    nodes.silence()
    async with nodes.listen("127.0.0.1", int(sys.argv[1]), None) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main)
