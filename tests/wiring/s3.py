"""Emulate S3 on a free port of 127.0.0.1: moto's server, until stdin ends.

It says where it listens in one line of JSON on stdout. Objects live in memory, the larger ones in
files in $TMPDIR.
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
    # Its threads are daemons: they end with this one.
    sys.stdin.read()


if __name__ == "__main__":
    main()
