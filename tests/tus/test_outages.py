"""Uploads of one `TusClient` after an outage of the server."""

import anyio
import pytest

from livepeer_async.http import recovery
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import TusClient
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from tus.faulty_server import run_server

pytestmark = pytest.mark.anyio
PATIENT = RetryPolicy(first_delay=VERY_LONG, max_delay=VERY_LONG)


@pytest.fixture(autouse=True)
def _short_outages(monkeypatch):
    monkeypatch.setattr(recovery, "MIN_OUTAGE", 0.0)
    monkeypatch.setattr(recovery, "SPREAD_SECONDS", 0.01)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_first_success_wakes_all_uploads(method):
    script = {method: [(502, {})] * 3}
    async with run_server(script=script) as server, TusClient(retry=PATIENT) as tus:
        stored = []

        async def upload():
            stored.append(server.stored(await tus.upload(b"video", server.endpoint)))

        with anyio.fail_after(TIMEOUT):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(upload)
                await until(lambda: server.methods.count(method) == 3)
                await until(lambda: not script[method])
                await anyio.wait_all_tasks_blocked()
                await tus.discover(server.endpoint)
    assert stored == [b"video"] * 3
