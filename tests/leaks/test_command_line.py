"""Commands leak no secret to a pipe, a terminal, a traceback or the process list."""

import signal
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from leaks.context import (
    API_KEY,
    ECHO_ALL,
    ECHO_UPLOAD,
    JWT,
    PASSWORD,
    SIGNED_URL,
    VIDEO,
    add_upload_urls,
)
from livepeer_async.cli import app
from livepeer_async.sandbox import (
    Answer,
    ChangeBody,
    FailProcessing,
    Fault,
    On,
    Redirect,
    Sandbox,
    Stall,
)
from support import command_line
from support.clock import wait_until
from support.constants import TIMEOUT

# Everything is logged to standard error, and our own code raises.
BEGIN = "import logging; logging.basicConfig(level=0); logging.raiseExceptions = True; "
CRASH = (
    "from livepeer_async.uploads.uploader import Uploader\n"
    "async def crash(*arguments, **options): raise RuntimeError('a bug')\n"
    "Uploader.run = crash\n"
)
ENTER = "from livepeer_async.cli.entry import main; main()"
# A user's program that fails or is interrupted during an upload.
PROGRAM = BEGIN + (
    "import asyncio, sys\n"
    "from livepeer_async import AsyncLivepeer\n"
    "async def main():\n"
    "    async with AsyncLivepeer() as livepeer:\n"
    "        await livepeer.upload(sys.argv[1])\n"
    "asyncio.run(main(), debug=True)"
)


@pytest.fixture
def sandbox(portal, detector):
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0}
    opened = portal.wrap_async_context_manager(Sandbox(api_key=API_KEY, **quick))
    with opened as sandbox:
        yield sandbox


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(VIDEO * 50)
    return path


def check_output(detector, sandbox, *texts):
    add_upload_urls(detector, sandbox)
    for number, text in enumerate(texts):
        shown = command_line.plain(
            text.decode(errors="replace") if isinstance(text, bytes) else text
        )
        detector.add(f"output {number}", shown)
        # A narrow terminal may wrap a secret.
        detector.add(f"output {number} on one line", "".join(shown.split()))
    assert detector.find_leaks() == []


def echo(status):
    return Answer(status, ECHO_ALL.encode())


@pytest.mark.parametrize(
    ("arguments", "fault", "status"),
    [
        (["upload", "{video}", "--no-journal"], None, 0),
        (["upload", "{video}"], (On(method="PATCH"), Answer(403, ECHO_UPLOAD.encode())), 1),
        (["upload", "{video}"], (On(), FailProcessing(f"no {SIGNED_URL} token={JWT}")), 1),
        (["upload", "{video}", "--json"], (On(path="request-upload"), ChangeBody(b"[]")), 1),
        (["assets", "get", "x"], (On(path="/asset/x"), echo(400)), 1),
        (["assets", "list"], (On(), Redirect(f"/login?key={API_KEY}&token={JWT}")), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_command_leaks_no_secret_to_a_pipe(arguments, fault, status, *, sandbox, detector, video):
    if fault:
        sandbox.add_fault(Fault(*fault))
    arguments = [it.format(video=video) for it in arguments]
    if arguments[0] == "upload":
        arguments += ["--retries", "1"]
    result = command_line.run(*arguments, sandbox=sandbox)
    assert result.returncode == status, result
    check_output(detector, sandbox, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"LIVEPEER_API_KEY": f"{API_KEY}-of-old"}, 3),
        ({"LIVEPEER_API_KEY": f"{API_KEY} {API_KEY}"}, 2),
        ({"LIVEPEER_BASE_URL": f"http://user:{PASSWORD}/x@127.0.0.1/api"}, 2),
    ],
)
def test_command_leaks_no_secret_of_its_environment(variables, status, sandbox, detector, video):
    result = command_line.run("upload", video, sandbox=sandbox, **variables)
    assert result.returncode == status, result
    check_output(detector, sandbox, result.stdout, result.stderr)


def test_command_leaks_no_secret_to_a_terminal_or_ps(sandbox, detector, video):
    sandbox.add_fault(Fault(On(method="PATCH", nth=1), Answer(500, ECHO_UPLOAD.encode())))
    sandbox.add_fault(Fault(On(method="PATCH", nth=2), Stall(30.0)))
    terminal = command_line.Terminal("upload", video, sandbox=sandbox, columns=250)
    command = Path(f"/proc/{terminal.process.pid}/cmdline").read_bytes()
    wait_until(lambda: sum(it.method == "PATCH" for it in sandbox.requests) > 1)
    terminal.read_until("%")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    check_output(detector, sandbox, terminal.screen, command)


def test_crash_leaks_no_secret(sandbox, detector, video):
    command = [sys.executable, "-X", "dev", "-c", BEGIN + CRASH + ENTER]
    result = command_line.run("upload", video, sandbox=sandbox, command=command)
    assert b"a bug" in result.stderr, result
    assert b"Traceback" in result.stderr
    check_output(detector, sandbox, result.stdout, result.stderr)


def test_failing_program_logs_no_secret(sandbox, detector, video):
    sandbox.add_fault(Fault(On(method="PATCH"), Answer(403, ECHO_UPLOAD.encode())))
    command = [sys.executable, "-X", "dev", "-c", PROGRAM]
    result = command_line.run(video, sandbox=sandbox, command=command)
    assert b"Traceback" in result.stderr
    assert b"DEBUG:livepeer_async:PATCH http" in result.stderr
    check_output(detector, sandbox, result.stdout, result.stderr)


def test_interrupted_program_logs_no_secret(sandbox, detector, video):
    sandbox.add_fault(Fault(On(method="PATCH"), Stall(30.0)))
    command = [sys.executable, "-X", "dev", "-c", PROGRAM, str(video)]
    process = command_line.subprocess.Popen(
        command, stderr=command_line.subprocess.PIPE, env=command_line.environment(sandbox)
    )
    with process:
        try:
            wait_until(lambda: any(it.method == "PATCH" for it in sandbox.requests))
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert b"KeyboardInterrupt" in errors
    check_output(detector, sandbox, errors)


def test_no_option_accepts_a_key():
    def names(command):
        for parameter in command.params:
            yield from parameter.opts
        for name, sub in getattr(command, "commands", {}).items():
            # The key of a sandbox isn't a secret.
            if name != "sandbox":
                yield from names(sub)

    # The path of a file.
    found = set(names(get_command(app.app))) - {"--tls-key", "tls_key"}
    words = {word for name in found for word in name.strip("-").split("-")}
    assert not words & {"key", "token", "secret", "password", "credentials"}
    assert "journal" in words
