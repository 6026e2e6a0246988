"""Memory of a program that receives gigabytes."""

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
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
PROGRAM = Path(__file__).with_name("memory_program.py")
MAX_MIB = 64
# Without those that are slow rather than large.
LARGE = [name for name in ENDLESS if "slowly" not in name and "10" not in name]


async def test_memory_stays_bounded(record_property):
    def choose(request):
        name = unquote(request.target.split("/")[1])
        return ENDLESS.get(name, http_response(b"{}"))

    async with serve_http(choose) as server:
        with anyio.fail_after(100):
            done = await anyio.run_process([sys.executable, PROGRAM, server.origin, *LARGE])
    report = json.loads(done.stdout)
    record_property("report", report)
    assert report["grown_kib"] <= MAX_MIB * 1024, report["by_name"]
    assert all(kind for kinds in report["kinds"].values() for kind in kinds), report["kinds"]
