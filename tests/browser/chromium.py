"""A headless Chromium, driven with the DevTools protocol over a pair of pipes.

With `--remote-debugging-pipe`, messages are JSON that ends in NUL, which the browser reads from
descriptor 3 and writes to descriptor 4.

Source: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

from support.constants import TIMEOUT

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
]

# A new tab first has an empty page.
LOADED = "document.readyState === 'complete'"


def find_chromium():
    """Return the path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Pipe:
    """A connection to the browser: calls and their results."""

    def __init__(self, read_from, write_to):
        self._read_from, self._write_to = read_from, write_to
        self._buffer = b""
        self._calls = 0

    def call(self, method, session=None, **params):
        """Call a method and return its result; events are dropped."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT
        while (answer := self._read(deadline)).get("id") != self._calls:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _read(self, deadline):
        while b"\0" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._read_from], [], [], left)[0], "Chromium doesn't answer"
            block = os.read(self._read_from, 1 << 20)
            assert block, "Chromium has ended"
            self._buffer += block
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)


class Tab:
    """One page."""

    def __init__(self, pipe, url):
        self._pipe = pipe
        target = pipe.call("Target.createTarget", url=url)["targetId"]
        attached = pipe.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        size = {"width": 900, "height": 620, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.wait_for(f"{LOADED} && location.protocol === 'http:'")

    def call(self, method, **params):
        return self._pipe.call(method, self._session, **params)

    def evaluate(self, expression):
        """Return the value of an expression."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, expression):
        """Wait until an expression is true."""
        deadline = time.monotonic() + TIMEOUT
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, self.evaluate("document.body.innerText")
            time.sleep(0.02)

    def choose_file(self, selector, path):
        """Choose a file as a visitor does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def reload(self):
        """Reload the page, which ends its requests."""
        self.evaluate("document.body.dataset.before = 'reload'")
        self.call("Page.reload")
        self.wait_for(f"{LOADED} && !document.body.dataset.before")

    def save_screenshot(self, path):
        """Save what a visitor sees as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def open_browser(profile):
    """Run a Chromium, and yield a function that opens a URL in a tab.

    Args:
        profile: a folder for its files.
    """
    from_test, to_browser = os.pipe()
    from_browser, to_test = os.pipe()
    # The browser reads from descriptor 3 and writes to 4.
    script = f'exec "$0" "$@" 3<&{from_test} 4>&{to_test}'
    command = ["bash", "-c", script, find_chromium(), *OPTIONS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command,
        pass_fds=(from_test, to_test),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    )
    os.close(from_test)
    os.close(to_test)
    pipe = Pipe(from_browser, to_browser)
    try:
        yield lambda url: Tab(pipe, url)
        pipe.call("Browser.close")
        process.wait(TIMEOUT)
    finally:
        process.kill()
        process.wait()
        os.close(from_browser)
        os.close(to_browser)
