"""The README: its blocks run against the sandbox, and its links have targets."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox
from support.daemons import free_port
from support.sandbox import make_bytes
from support.servers import respond_with, serve_raw

pytestmark = pytest.mark.anyio
README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
VIDEO = make_bytes(100_000)
SERVED = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + VIDEO
FILES = ("talk.mp4", "intro.mp4", "shows/one.mp4")
HEADING_OR_BLOCK = re.compile(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(language):
    """List the code blocks of a language, with the headings of their sections."""
    blocks, heading = [], ""
    for match in HEADING_OR_BLOCK.finditer(TEXT):
        heading = match[1] or heading
        if match[2] == language:
            blocks.append((heading, match[3]))
    return blocks


def parameters(blocks):
    return [pytest.param(code, id=heading.lower().replace(" ", "-")) for heading, code in blocks]


PYTHON = blocks_of("python")
((_, SCRIPT),) = (block for block in PYTHON if "asyncio.run(" in block[1])
((_, APPLICATION),) = (block for block in PYTHON if "FastAPI(" in block[1])
# All others run with an open client.
SNIPPETS = [block for block in PYTHON if block[1] not in (SCRIPT, APPLICATION)]
COMMANDS = [block for block in blocks_of("sh") if "pip install" not in block[1]]
((_, CLUSTER),) = (block for block in COMMANDS if "--listen" in block[1])


@pytest.fixture
async def sandbox(tmp_path, monkeypatch):
    """A sandbox for the client's defaults, and a working directory with the examples' files."""
    monkeypatch.chdir(tmp_path)
    for path in map(Path, FILES):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(VIDEO)
    async with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as running:
        monkeypatch.setenv("LIVEPEER_API_KEY", running.api_key)
        monkeypatch.setenv("LIVEPEER_BASE_URL", running.base_url)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield running


async def test_script_prints_the_ready_asset(sandbox):
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = await anyio.run_process(command, stderr=subprocess.STDOUT)
    (asset,) = sandbox.assets
    assert done.stdout.decode() == f"{asset.playback_id} ready\n"


@pytest.mark.parametrize("snippet", parameters(SNIPPETS))
async def test_snippet_runs(snippet, sandbox):
    async with AsyncLivepeer() as livepeer, serve_raw(respond_with(SERVED)) as (url, _):
        ticket = await livepeer.assets.request_upload("talk.mp4")
        snippet = snippet.replace("https://example.com", url)
        snippet = snippet.replace("https://tus.example/files", ticket.tus_endpoint)
        snippet = snippet.replace('"Authorization": "Bearer ..."', "")
        code = compile(snippet, "<README>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await eval(code, {"livepeer": livepeer, "AsyncLivepeer": AsyncLivepeer})


@pytest.mark.parametrize("commands", parameters(it for it in COMMANDS if it[1] != CLUSTER))
async def test_commands_succeed(commands, sandbox, monkeypatch):
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(scripts), prepend=os.pathsep)
    await anyio.run_process(["sh", "-euxc", commands], stderr=None)


@pytest.mark.cluster
async def test_cluster_commands_succeed(sandbox, postgres, monkeypatch):
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(scripts), prepend=os.pathsep)
    monkeypatch.setenv("LIVEPEER_JOURNAL", postgres.url_of())
    Path("shows.csv").write_text("path\ntalk.mp4\nintro.mp4\n")
    commands = CLUSTER.replace("10.0.0.5:8786", f"127.0.0.1:{free_port()}")
    commands = commands.replace("postgresql://livepeer@db/videos", postgres.url_of())
    listen, worker, *others = commands.splitlines()
    # The worker would wait for another ingestion.
    script = [f"{worker.partition('#')[0]} --once &", listen, "wait $!", *others]
    await anyio.run_process(["sh", "-euxc", "\n".join(script)], stderr=None)
    assert [it.phase for it in sandbox.assets] == ["ready"] * len(FILES)


async def test_fastapi_application_stores_forms_and_bodies(sandbox):
    names = {}
    exec(compile(APPLICATION, "<README>", "exec"), names)
    app = names["app"]
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app.example") as browser,
    ):
        form = await browser.post("/videos", files={"video": ("talk.mp4", VIDEO, "video/mp4")})
        assert sandbox.stored(form.json()["playbackId"]).read_bytes() == VIDEO
        body = await browser.put("/videos/talk.mp4", content=VIDEO)
        async with AsyncLivepeer() as livepeer:
            asset = await livepeer.assets.get(body.json()["id"])
        assert sandbox.stored(asset.playback_id).read_bytes() == VIDEO
        empty = await browser.post("/videos", files={"video": ("x.mp4", b"", "video/mp4")})
        assert empty.status_code == 400


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_link_has_a_target(target):
    path, _, anchor = target.partition("#")
    if target.startswith("https:"):
        return
    linked = README.parent / path if path else README
    headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
    assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}
