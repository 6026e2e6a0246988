import contextlib
import json
import pathlib
import subprocess
import sys

import httpx
import pytest

from livepeer_async import AsyncLivepeer

SERVERS = pathlib.Path(__file__).parents[2] / "benchmarks" / "servers"


@pytest.fixture(scope="module")
def sink():
    with serve("sink.py") as origin:
        yield origin


@contextlib.contextmanager
def serve(*command):
    """Run a server program; yield its origin."""
    command = [sys.executable, SERVERS / command[0], *command[1:]]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as process:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.stdin.close()


@pytest.mark.anyio
@pytest.mark.parametrize("length", [100, 20_000_000])
async def test_upload_is_ready_with_its_length(sink, length):
    async with AsyncLivepeer("key", base_url=f"{sink}/api") as livepeer:
        asset = await livepeer.upload(bytes(length), "clip.mp4")
    assert asset.phase == "ready"
    assert asset.size == length


def test_a_wrong_offset_changes_nothing(sink):
    tus = {"Tus-Resumable": "1.0.0"}
    with httpx.Client(base_url=sink, headers=tus) as client:
        created = client.post("/api/asset/upload/tus", headers={"Upload-Length": "9"})
        url = created.headers["Location"]
        wrong = client.patch(url, content=b"abc", headers={"Upload-Offset": "5"})
        right = client.patch(url, content=b"abc", headers={"Upload-Offset": "0"})
        asked = client.head(url)
    assert (created.status_code, wrong.status_code, right.status_code) == (201, 409, 204)
    assert (asked.headers["Upload-Offset"], asked.headers["Upload-Length"]) == ("3", "9")


def test_link_forwards_both_directions(sink):
    port = sink.rpartition(":")[2]
    with serve("link.py", port, "1e8", "0.002") as link, httpx.Client(base_url=link) as client:
        assert client.put("/discard", content=bytes(1_000_000)).status_code == 200
        assert client.get("/statistics").json()["PUT /discard"] == 1
