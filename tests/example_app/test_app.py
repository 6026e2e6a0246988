"""The example application on uvicorn: its five ways to upload, and visitors that break rules."""

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from example_app import app as site
from integrations.web import CHUNKED, CLOSING, FORM, chunked, connect, file, put, read_response
from integrations.web import serve_app as serve
from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox
from support.clock import until
from support.disk_limits import small_disk
from support.sandbox import make_bytes

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(100_000)
SECRET = "the secret of the webhook"
# Lines by hand without this package, as measured; of forms and bodies there is no figure.
BY_HAND = {"errors": 18, "background": 134, "browser": 44, "webhook": 38}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "videos"


@pytest.fixture
def serve_site(folder, livepeer_sandbox, monkeypatch):
    monkeypatch.setenv("VIDEO_FOLDER", str(folder))
    monkeypatch.setenv("LIVEPEER_API_KEY", livepeer_sandbox.api_key)
    monkeypatch.setenv("LIVEPEER_BASE_URL", livepeer_sandbox.base_url)
    monkeypatch.setenv("LIVEPEER_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr(site, "AsyncLivepeer", partial(AsyncLivepeer, speed=livepeer_sandbox.speed))

    @asynccontextmanager
    async def serve_site():
        async with (
            serve(site.app, lifespan="on") as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as browser,
        ):
            yield browser, port

    return serve_site


@pytest.fixture
async def visited(serve_site):
    async with serve_site() as (browser, port):
        yield browser, port


@pytest.fixture
def browser(visited):
    return visited[0]


@pytest.fixture
def port(visited):
    return visited[1]


async def ready(browser, asset):
    """Wait until an asset is ready."""
    while True:
        shown = (await browser.get(f"/assets/{asset['id']}")).json()
        if shown["status"]["phase"] == "ready":
            return shown
        await asyncio.sleep(0.01)


async def read_events(browser, key):
    """Return the names and the data of the events of an upload."""
    text = (await browser.get(f"/uploads/{key}/events")).text
    names, data = (
        re.findall(r"^event: (.+)$", text, re.MULTILINE),
        re.findall(r"^data: (.+)$", text, re.MULTILINE),
    )
    return list(zip(names, map(json.loads, data), strict=True))


async def test_page_needs_no_other_server(browser):
    page = await browser.get("/")
    assert page.status_code == 200
    assert set(re.findall(r"https?://[^'\"`/$]+", page.text)) == {"https://lvpr.tv"}


async def test_form_is_passed_through(browser, livepeer_sandbox):
    response = await browser.post("/videos", files={"video": ("talk.mp4", VIDEO, "video/mp4")})
    asset = response.json()
    assert (response.status_code, asset["name"]) == (201, "talk.mp4")
    assert livepeer_sandbox.stored(asset["playbackId"]).read_bytes() == VIDEO
    assert (await ready(browser, asset))["size"] == len(VIDEO)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_body_is_passed_through(browser, livepeer_sandbox, is_chunked):
    async def blocks():
        yield VIDEO

    content = blocks() if is_chunked else VIDEO
    response = await browser.put("/videos/talk.mp4", content=content)
    assert livepeer_sandbox.stored(response.json()["playbackId"]).read_bytes() == VIDEO


async def test_upload_in_the_background_is_followed(browser, livepeer_sandbox, folder):
    key, url = uuid4(), "/uploads/{}?name=talk.mp4"
    response = await browser.put(url.format(key), content=VIDEO)
    again = await browser.put(url.format(key), content=VIDEO)
    assert (response.status_code, again.json()["id"]) == (202, response.json()["id"])
    *events, (last, asset) = await read_events(browser, key)
    assert {name for name, _ in events} == {"progress"}
    assert (last, asset["name"], asset["status"]["phase"]) == ("done", "talk.mp4", "ready")
    assert livepeer_sandbox.stored(asset["playbackId"]).read_bytes() == VIDEO
    await until(lambda: not (folder / str(key)).exists())
    assert (await browser.get(f"/uploads/{uuid4()}/events")).status_code == 404


async def test_upload_to_ready_takes_little_time(browser):
    began = time.perf_counter()
    key = uuid4()
    await browser.put(f"/uploads/{key}?name=talk.mp4", content=VIDEO)
    assert (await read_events(browser, key))[-1][0] == "done"
    print(f"upload to ready: {1000 * (time.perf_counter() - began):.0f} ms")  # noqa: T201


async def test_restarted_application_resumes(serve_site, monkeypatch):
    key, video = uuid4(), make_bytes(12_000_000)
    async with Sandbox(storage="s3", storage_rate=12e6) as sandbox:
        monkeypatch.setenv("LIVEPEER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("LIVEPEER_API_KEY", sandbox.api_key)
        async with serve_site() as (browser, _):
            started = await browser.put(f"/uploads/{key}?name=talk.mp4", content=video)
            assert started.status_code == 202
        assert sandbox.assets[0].phase == "uploading"
        async with serve_site() as (browser, _):
            name, asset = (await read_events(browser, key))[-1]
        assert (name, asset["id"]) == ("done", started.json()["id"])
        assert sandbox.stored(asset["playbackId"]).read_bytes() == video
        assert len(sandbox.assets) == 1


async def test_browser_gets_a_ticket(browser, livepeer_sandbox, caplog):
    caplog.set_level("INFO", "videos")
    wanted = {"name": "talk.mp4", "length": len(VIDEO)}
    ticket = (await browser.post("/tickets", json=wanted)).json()
    async with httpx.AsyncClient() as visitor:
        options = ticket["options"]
        await visitor.post(
            options["endpoint"],
            content=VIDEO,
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(len(VIDEO)),
                "Content-Type": "application/offset+octet-stream",
            },
        )
    await until(lambda: "talk.mp4 is ready" in caplog.text)
    (asset,) = livepeer_sandbox.assets
    assert livepeer_sandbox.stored(asset.playback_id).read_bytes() == VIDEO
    for wrong in ({"name": "x", "length": 0}, {"name": "x"}):
        assert (await browser.post("/tickets", json=wrong)).status_code == 422


async def test_webhook_is_checked(browser, port, livepeer_sandbox):
    ticket = (await browser.post("/tickets", json={"name": "x", "length": 1})).json()
    url = f"http://127.0.0.1:{port}/webhook"
    for secret, status in ((SECRET, 204), ("another secret", 400), ("", 400)):
        sent = livepeer_sandbox.deliver("asset.updated", ticket["asset_id"], to=url, secret=secret)
        assert await sent == status


async def silent(port, body, *headers):
    """Send a part of a body, and no more; return the response."""
    async with connect(port, "/videos/x", f"Content-Length: {len(VIDEO)}", *headers) as streams:
        streams[1].write(body)
        return await read_response(streams[0])


async def slow(port):
    """Send small pieces with pauses."""
    async with connect(port, "/videos/x", "Content-Length: 1024") as (reader, writer):
        for _ in range(8):
            writer.write(bytes(128))
            await asyncio.sleep(0.03)
        return await read_response(reader)


async def more_than_announced(port):
    async with connect(port, "/videos/x", "Content-Length: 1000") as (reader, writer):
        writer.write(VIDEO[:1000] + b"\r\nmore\r\n\r\n")
        return await read_response(reader)


async def announced(port):
    async with connect(port, "/videos/x", "Content-Length: 40000000000") as (reader, _):
        return await read_response(reader)


async def without_end(port):
    piece = chunked(bytes(100_000)).removesuffix(b"0\r\n\r\n")

    async def send(writer):
        while True:
            writer.write(piece)
            await writer.drain()

    async with connect(port, "/videos/x", CHUNKED) as (reader, writer):
        sending = asyncio.create_task(send(writer))
        try:
            return await read_response(reader)
        finally:
            sending.cancel()


async def form_without_a_file(port):
    return await put(port, "/videos", CLOSING, FORM, method="POST")


async def form_with_two_files(port):
    body = file(VIDEO) + file(VIDEO) + CLOSING
    return await put(port, "/videos", body, FORM, method="POST")


# What a visitor does, the status and the error of the response, and the number of assets that stay.
BAD_INPUT = {
    "slow": (slow, 201, None, 1),
    "fewer bytes than announced": (partial(silent, body=VIDEO[:1000]), 408, "SourceTimedOut", 0),
    "no byte": (partial(silent, body=b""), 408, "SourceTimedOut", 0),
    "more bytes than announced": (more_than_announced, 201, None, 1),
    "40 GB announced": (announced, 413, "SourceTooLarge", 0),
    "chunked without an end": (without_end, 413, "SourceTooLarge", 0),
    "empty": (partial(put, target="/videos/x", body=b""), 400, "SourceEmpty", 0),
    "form without a file": (form_without_a_file, 400, "FormInvalid", 0),
    "form with two files": (form_with_two_files, 400, "FormInvalid", 0),
}


@pytest.mark.parametrize(("visit", "status", "error", "left"), BAD_INPUT.values(), ids=BAD_INPUT)
async def test_bad_input(visit, status, error, left, visited, livepeer_sandbox, monkeypatch):
    monkeypatch.setattr(site, "PATIENCE", 0.2)
    monkeypatch.setattr(site, "MAX_LENGTH", 5_000_000)
    found, body = await visit(visited[1])
    assert (found, json.loads(body).get("error")) == (status, error)
    await until(lambda: len([it for it in livepeer_sandbox.assets if not it.is_deleted]) == left)


async def test_second_request_under_a_key_is_told_of_the_first(port, livepeer_sandbox):
    target, length = "/videos/x?key=k", f"Content-Length: {len(VIDEO)}"
    async with connect(port, target, length) as (reader, writer):
        writer.write(VIDEO[:1000])
        await until(lambda: livepeer_sandbox.assets)
        status, body = await put(port, target, VIDEO)
        writer.write(VIDEO[1000:])
        first = await read_response(reader)
    (asset,) = livepeer_sandbox.assets
    second = json.loads(body)
    assert (first[0], status) == (201, 409)
    assert (second["error"], second["asset_id"], second["can_resume"]) == (
        "UploadInUse",
        asset.id,
        True,
    )
    again = await put(port, target, VIDEO)
    assert (again[0], json.loads(again[1])["id"]) == (201, asset.id)


async def test_full_disk_of_the_journal_is_a_503(serve_site, folder, livepeer_sandbox, caplog):
    with small_disk(folder, 2_000_000) as disk:
        if not disk.is_real:
            pytest.skip("a small disk can't be mounted")
        async with serve_site() as (browser, _):
            await browser.get("/")
            disk.fill()
            response = await browser.put("/videos/x?key=k", content=VIDEO)
            assert (response.status_code, response.json()["error"]) == (503, "JournalError")
            assert response.headers["Retry-After"]
            assert "disk is full" in caplog.text
            assert "disk" not in response.text
            assert all(asset.is_deleted for asset in livepeer_sandbox.assets)
            disk.free()
            assert (await browser.put("/videos/x?key=k", content=VIDEO)).status_code == 201


def count_lines():
    """Count the lines of each piece that aren't empty or comments."""
    pieces = re.split(r"^# --- (\w+)\n", Path(site.__file__).read_text(), flags=re.MULTILINE)[1:]
    return {
        name: len([line for line in code.splitlines() if line and not line.startswith("#")])
        for name, code in zip(pieces[::2], pieces[1::2], strict=True)
    }


def test_pieces_are_short():
    counted = count_lines()
    print(counted)  # noqa: T201
    assert all(counted[name] < lines * 0.5 for name, lines in BY_HAND.items())
