"""Runs moto's S3 server on a free port of 127.0.0.1 until stdin ends.

It prints the port as one line of JSON. Objects are stored in memory, large ones in $TMPDIR.
"""

from __future__ import annotations

import json
import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    # Its threads are daemons.
    sys.stdin.read()


if __name__ == "__main__":
    main()
