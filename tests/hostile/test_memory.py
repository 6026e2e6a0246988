"""How much memory a program takes that is told gigabytes."""

import json
import sys
from pathlib import Path
from urllib.parse import unquote

import anyio
import pytest

from hostile.endless import ENDLESS
from support.servers import http_response, serve_http

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
READER = Path(__file__).with_name("reader.py")
MOST_MIB = 64
# Those that are quick because they are too much, rather than slow for ever.
LARGE = [name for name in ENDLESS if "slowly" not in name and "10" not in name]


async def test_a_program_that_is_told_gigabytes_stays_small(record_property):
    def choose(asked):
        name = unquote(asked.target.split("/")[1])
        return ENDLESS.get(name, http_response(b"{}"))

    async with serve_http(choose) as server:
        with anyio.fail_after(100):
            done = await anyio.run_process([sys.executable, READER, server.origin, *LARGE])
    told = json.loads(done.stdout)
    record_property("told", told)
    assert told["grown_kib"] <= MOST_MIB * 1024, told["by_name"]
    assert all(kind for kinds in told["kinds"].values() for kind in kinds), told["kinds"]
