"""A page in Chromium uploads with tus-js-client to storage like Livepeer's."""

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from browser.app import make_app
from browser.chromium import find_chromium, open_browser
from livepeer_async import AsyncLivepeer, IntegrityError
from livepeer_async.sandbox import CutConnection, Fault, LoseAnswer, On, Sandbox, Slow
from support.clock import wait_until
from support.constants import MIB, TIMEOUT
from support.sandbox import make_bytes

pytestmark = pytest.mark.browser

MODULES = Path(os.environ.get("LIVEPEER_ASYNC_BROWSER", "node_modules"))
# Kept for a look, if the variable names a folder.
SCREENSHOTS = os.environ.get("LIVEPEER_ASYNC_SCREENSHOTS")
UPLOAD = Path(__file__).parent / "upload.mjs"
VIDEO = make_bytes(20 * MIB + 12_345)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "Launch event.mp4"
    path.write_bytes(VIDEO)
    return path


@pytest.fixture
def open_sandbox(portal):
    return lambda *faults: portal.wrap_async_context_manager(
        Sandbox(storage="s3", faults=faults, processing_seconds=0.5)
    )


@pytest.fixture
def open_tab(tmp_path):
    if find_chromium() is None:
        pytest.fail("no Chromium on the path: apt-get install chromium")
    with open_browser(tmp_path / "profile") as opening:
        yield opening


@pytest.fixture
def screenshots(tmp_path):
    folder = Path(SCREENSHOTS or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def serve_app(sandbox):
    """Serve the application with uvicorn; yield its URL."""
    livepeer = AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url)
    app = make_app(livepeer, MODULES / "tus-js-client/dist/tus.min.js")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)


def stored(asset, sandbox):
    return sandbox.stored(asset.playback_id).read_bytes()


def statuses(sandbox, method):
    return [r.status for r in sandbox.requests if r.method == method and "/tus" in r.path]


def state_is(*states):
    return f"{list(states)}.includes(document.body.dataset.state)"


def test_page_uploads_despite_cut_connections(open_sandbox, open_tab, video, screenshots):
    # Chromium repeats the first one by itself, because its connection was used before.
    cuts = Fault(On(method="PATCH", times=4), CutConnection(after_bytes=5 * MIB))
    with open_sandbox(cuts) as sandbox, serve_app(sandbox) as url:
        tab = open_tab(url)
        tab.save_screenshot(screenshots / "1-idle.png")
        tab.choose_file("#file", video)
        tab.wait_for(state_is("retrying"))
        tab.save_screenshot(screenshots / "2-retrying.png")
        tab.wait_for(state_is("ready", "failed"))
        tab.save_screenshot(screenshots / "3-ready.png")
        assert tab.evaluate("document.body.dataset.state") == "ready"
        (asset,) = sandbox.assets
        assert stored(asset, sandbox) == VIDEO
        assert statuses(sandbox, "POST") == [201]
        assert cuts.fired == 4
        assert sandbox.violations == []
        assert asset.playback_id in tab.evaluate("document.getElementById('watch').href")
        assert tab.evaluate("localStorage.length") == 0


def test_page_never_shows_wrong_bytes_as_ready(open_sandbox, open_tab, video, screenshots):
    # Chromium repeats the PATCH at once, and the server has stored it already but doesn't show it.
    lost = Fault(On(method="PATCH", nth=2), LoseAnswer())
    with open_sandbox(lost) as sandbox, serve_app(sandbox) as url:
        tab = open_tab(url)
        tab.choose_file("#file", video)
        tab.wait_for(state_is("ready", "failed"))
        tab.save_screenshot(screenshots / "6-compared.png")
        is_ready = tab.evaluate("document.body.dataset.state") == "ready"
        assert is_ready == (stored(sandbox.assets[0], sandbox) == VIDEO)
        if not is_ready:
            # The same file again gets a new ticket, and the wrong asset is deleted.
            tab.choose_file("#file", video)
            tab.wait_for(state_is("ready"))
            assert stored(sandbox.assets[1], sandbox) == VIDEO
            assert [asset.is_deleted for asset in sandbox.assets] == [True, False]


def test_reloaded_page_continues_with_the_same_ticket(open_sandbox, open_tab, video, screenshots):
    slow = Fault(On(method="PATCH", nth=2), Slow(2 * MIB))
    with open_sandbox(slow) as sandbox, serve_app(sandbox) as url:
        tab = open_tab(url)
        tab.choose_file("#file", video)
        wait_until(lambda: slow.fired)
        tab.wait_for("document.getElementById('bar').value > 0.45")
        tab.save_screenshot(screenshots / "4-uploading.png")
        tab.reload()
        tab.save_screenshot(screenshots / "5-reloaded.png")
        assert "Choose Launch event.mp4 again" in tab.evaluate("document.body.innerText")
        tab.choose_file("#file", video)
        tab.wait_for(state_is("ready", "failed"))
        assert tab.evaluate("document.body.dataset.state") == "ready"
        (asset,) = sandbox.assets
        assert stored(asset, sandbox) == VIDEO
        # One asset and one creation; the first chunk isn't sent again.
        assert statuses(sandbox, "POST") == [201]
        assert statuses(sandbox, "HEAD") == [200]
        offsets = [r.headers["upload-offset"] for r in sandbox.requests if r.method == "PATCH"]
        assert offsets == [str(offset * MIB) for offset in (0, 8, 8, 16)]


def upload_with_node(sandbox, video, options):
    command = ["node", str(UPLOAD), str(MODULES.parent), str(video), json.dumps(options)]
    subprocess.run(command, check=True, timeout=TIMEOUT)


@pytest.mark.parametrize("has_options", [True, False])
def test_options_make_the_difference(open_sandbox, portal, video, has_options):
    cut = Fault(On(method="PATCH", nth=1), CutConnection(after_bytes=12 * MIB))
    with open_sandbox(cut) as sandbox:
        livepeer = AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url)
        with portal.wrap_async_context_manager(livepeer):
            ticket = portal.call(livepeer.assets.request_upload, video.name)
            options = ticket.tus_js_options() if has_options else {"endpoint": ticket.tus_endpoint}
            upload_with_node(sandbox, video, options)

            async def wait():
                return await livepeer.assets.wait(ticket.asset.id, length=len(VIDEO))

            if has_options:
                assert portal.call(wait).size == len(VIDEO)
                assert stored(sandbox.assets[0], sandbox) == VIDEO
            else:
                with pytest.raises(IntegrityError) as caught:
                    portal.call(wait)
                assert caught.value.found == len(VIDEO) + ticket.chunk_size
                assert stored(sandbox.assets[0], sandbox) != VIDEO
