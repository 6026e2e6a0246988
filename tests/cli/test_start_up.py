"""SIGINT at the start and the end of a process."""

import contextlib
import random
import signal
import socket
import subprocess
import sys

import pytest

from support.command_line import COMMAND, environment, interrupt
from support.constants import TIMEOUT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")

# Imported by `main`; before it, the interpreter handles Ctrl-C.
FIRST = "livepeer_async.cli.streams"
IMPORTED = (FIRST, "logging", "typer", "msgspec._core", "httpx", "livepeer_async.client")
STATUS_AND_MESSAGE = (130, "interrupted")


@pytest.fixture
def silent_api():
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


def interrupt_after_import(module, count, base_url):
    """Send SIGINT when a module, and `count` others, were imported; return status and message."""
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "assets", "list"]
    env = environment(LIVEPEER_API_KEY="k", LIVEPEER_BASE_URL=base_url)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
    with process:
        lines = iter(process.stderr.readline, b"")
        for line in lines:
            if line.decode().rpartition("|")[2].strip() == module:
                break
        for _, _ in zip(range(count), lines, strict=False):
            pass
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read().decode()
        status = process.wait(TIMEOUT)
    printed = [line for line in errors.splitlines() if not line.startswith("import time:")]
    return status, "\n".join(printed)


@pytest.mark.parametrize("module", IMPORTED)
def test_ctrl_c_during_an_import_is_quiet(module, silent_api):
    assert interrupt_after_import(module, 0, silent_api) == STATUS_AND_MESSAGE


@pytest.mark.slow
def test_ctrl_c_at_any_import_is_quiet(silent_api):
    for count in random.Random(1).sample(range(650), 60):
        assert interrupt_after_import(FIRST, count, silent_api) == STATUS_AND_MESSAGE, count


def test_ignored_ctrl_c_stays_ignored(silent_api):
    # As in the background of a shell.
    script = (
        "import signal; from livepeer_async.cli import interrupts;"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); interrupts.exit_on_interrupt();"
        "signal.raise_signal(signal.SIGINT); print('continues')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"continues\n")


def test_interrupted_command_does_not_wait_for_threads():
    script = (
        "import threading; from livepeer_async.cli import entry\n"
        "def hang():\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    raise KeyboardInterrupt\n"
        "entry._run_app = hang; entry.main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_repeated_ctrl_c_has_no_traceback(sandbox, tmp_path, start):
    video = tmp_path / "long.mp4"
    video.write_bytes(bytes(30_000_000))
    process = start("upload", video, "--json", sandbox=sandbox)
    assert b"uploading" in process.stderr.readline()
    for _ in range(20):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    _, errors = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in errors
