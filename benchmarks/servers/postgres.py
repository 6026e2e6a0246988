"""Runs PostgreSQL until it is killed; prints the URLs of databases as JSON.

python postgres.py DATABASES
"""

import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.postgres import Database, PostgresServer

# Ends the server as well.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
with PostgresServer(fsync=True) as server:
    urls = [Database(server).url_of() for _ in range(int(sys.argv[1]))]
    print(json.dumps({"urls": urls}), flush=True)
    signal.pause()
