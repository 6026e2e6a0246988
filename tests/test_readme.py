"""The README's Python blocks run unchanged against the sandbox."""

import re
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from livepeer_async.sandbox import Sandbox
from support.sandbox import make_bytes

pytestmark = pytest.mark.anyio
README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
SCRIPTS = [block for block in BLOCKS if "asyncio.run(" in block]
(FASTAPI,) = (block for block in BLOCKS if "FastAPI(" in block)
(TUS,) = (block for block in BLOCKS if "def send(" in block)


def test_every_block_is_tested():
    assert len(BLOCKS) == len(SCRIPTS) + 2


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.split("\n    ", 2)[1][:40])
async def test_script_runs(block, tmp_path, monkeypatch):
    (tmp_path / "talk.mp4").write_bytes(make_bytes(100_000))
    (tmp_path / "shows").mkdir()
    (tmp_path / "shows" / "one.mp4").write_bytes(make_bytes(100_000))
    async with Sandbox() as sandbox:
        monkeypatch.setenv("LIVEPEER_API_KEY", sandbox.api_key)
        monkeypatch.setenv("LIVEPEER_BASE_URL", sandbox.base_url)
        done = await anyio.run_process(
            [sys.executable, "-W", "error", "-c", block],
            cwd=tmp_path,
            check=False,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 0, done.stderr.decode()
    # An injected fault is retried, which is logged as a warning.
    assert done.stderr == b"" or ("Fault(" in block and b"retry 1 of" in done.stderr)
    assert done.stdout or "except TusError" in block


async def test_fastapi_block_stores_the_uploaded_form(monkeypatch):
    pytest.importorskip("fastapi", reason="not installed with the lowest versions")
    names = {}
    exec(compile(FASTAPI, "README.md", "exec"), names)
    app, video = names["app"], make_bytes(300_000)
    async with Sandbox() as sandbox:
        monkeypatch.setenv("LIVEPEER_API_KEY", sandbox.api_key)
        monkeypatch.setenv("LIVEPEER_BASE_URL", sandbox.base_url)
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app.example") as browser,
        ):
            form = {"video": ("talk.mp4", video, "video/mp4")}
            response = await browser.post("/videos", files=form)
            assert response.status_code == 200
            stored = sandbox.stored(response.json()["playback_id"])
            assert stored.read_bytes() == video
            empty = await browser.post("/videos", files={"video": ("x.mp4", b"", "video/mp4")})
            assert empty.status_code == 400


async def test_tus_block_uploads(tmp_path, monkeypatch):
    names = {}
    exec(compile(TUS.replace('"Authorization": "Bearer ..."', ""), "README.md", "exec"), names)
    (tmp_path / "talk.mp4").write_bytes(make_bytes(100_000))
    monkeypatch.chdir(tmp_path)
    async with Sandbox() as sandbox, httpx.AsyncClient() as http:
        response = await http.post(
            f"{sandbox.base_url}/asset/request-upload",
            headers={"Authorization": f"Bearer {sandbox.api_key}"},
            json={"name": "talk.mp4"},
        )
        ticket = response.json()
        await names["send"](ticket["tusEndpoint"])
        stored = sandbox.stored(ticket["asset"]["playbackId"])
        assert stored.read_bytes() == make_bytes(100_000)
