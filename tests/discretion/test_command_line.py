"""What commands write, to a pipe and to a terminal, how they end, and what `ps` shows of them."""

import signal
import sys
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from typer.main import get_command

from discretion.evidence import Evidence
from discretion.scene import (
    JWT,
    KEY,
    PASSWORD,
    SIGNED_URL,
    TALK_OF_UPLOADS,
    TALKATIVE,
    VIDEO,
    plant_all,
    plant_tokens,
    plant_upload_urls,
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

# Python in its talkative mode, everything logged to standard error, and a fault in our own code.
BEGIN = "import logging; logging.basicConfig(level=0); logging.raiseExceptions = True; "
CRASH = (
    "import livepeer_async.client as client\n"
    "async def crash(*arguments, **options): raise RuntimeError('a fault of our own')\n"
    "client.Uploader.run = crash\n"
)
ENTER = "from livepeer_async.cli.entry import main; main()"
# A program of the user's, which fails, or is interrupted, with an upload under way.
PROGRAM = BEGIN + (
    "import asyncio, sys\n"
    "from livepeer_async import AsyncLivepeer\n"
    "async def main():\n"
    "    async with AsyncLivepeer() as livepeer:\n"
    "        await livepeer.upload(sys.argv[1])\n"
    "asyncio.run(main(), debug=True)"
)


@pytest.fixture(scope="module")
def portal():
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def evidence(monkeypatch):
    evidence = Evidence()
    plant_all(evidence)
    plant_tokens(evidence, monkeypatch)
    return evidence


@pytest.fixture
def sandbox(portal, evidence):
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0}
    opened = portal.wrap_async_context_manager(Sandbox(api_key=KEY, **quick))
    with opened as sandbox:
        yield sandbox


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(VIDEO * 50)
    return path


def search(evidence, sandbox, *texts):
    plant_upload_urls(evidence, sandbox)
    for number, text in enumerate(texts):
        shown = command_line.plain(
            text.decode(errors="replace") if isinstance(text, bytes) else text
        )
        evidence.add(f"output {number}", shown)
        # What a narrow terminal breaks must be found too.
        evidence.add(f"output {number} on one line", "".join(shown.split()))
    assert evidence.leaks() == []


def talk(status):
    return Answer(status, TALKATIVE.encode())


@pytest.mark.parametrize(
    ("arguments", "fault", "status"),
    [
        (["upload", "{video}", "--no-journal"], None, 0),
        (["upload", "{video}"], (On(method="PATCH"), Answer(403, TALK_OF_UPLOADS.encode())), 1),
        (["upload", "{video}"], (On(), FailProcessing(f"no {SIGNED_URL} token={JWT}")), 1),
        (["upload", "{video}", "--json"], (On(path="request-upload"), ChangeBody(b"[]")), 1),
        (["assets", "get", "x"], (On(path="/asset/x"), talk(400)), 1),
        (["assets", "list"], (On(), Redirect(f"/login?key={KEY}&token={JWT}")), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_no_secret_is_written_to_a_pipe(arguments, fault, status, *, sandbox, evidence, video):
    if fault:
        sandbox.add_fault(Fault(*fault))
    arguments = [it.format(video=video) for it in arguments]
    if arguments[0] == "upload":
        arguments += ["--retries", "1"]
    ended = command_line.run(*arguments, sandbox=sandbox)
    assert ended.returncode == status, ended
    search(evidence, sandbox, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"LIVEPEER_API_KEY": f"{KEY}-of-old"}, 3),
        ({"LIVEPEER_API_KEY": f"{KEY} {KEY}"}, 2),
        ({"LIVEPEER_BASE_URL": f"http://user:{PASSWORD}/x@127.0.0.1/api"}, 2),
    ],
)
def test_no_secret_of_the_environment_is_written(variables, status, sandbox, evidence, video):
    ended = command_line.run("upload", video, sandbox=sandbox, **variables)
    assert ended.returncode == status, ended
    search(evidence, sandbox, ended.stdout, ended.stderr)


def test_no_secret_is_written_to_a_terminal_or_shown_by_ps(sandbox, evidence, video):
    sandbox.add_fault(Fault(On(method="PATCH", nth=1), Answer(500, TALK_OF_UPLOADS.encode())))
    sandbox.add_fault(Fault(On(method="PATCH", nth=2), Stall(30.0)))
    terminal = command_line.Terminal("upload", video, sandbox=sandbox, columns=250)
    command = Path(f"/proc/{terminal.process.pid}/cmdline").read_bytes()
    wait_until(lambda: sum(it.method == "PATCH" for it in sandbox.requests) > 1)
    terminal.read_until("%")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    search(evidence, sandbox, terminal.screen, command)


def test_no_secret_stands_in_the_traceback_of_a_crash(sandbox, evidence, video):
    command = [sys.executable, "-X", "dev", "-c", BEGIN + CRASH + ENTER]
    ended = command_line.run("upload", video, sandbox=sandbox, command=command)
    assert b"a fault of our own" in ended.stderr, ended
    assert b"Traceback" in ended.stderr
    search(evidence, sandbox, ended.stdout, ended.stderr)


def test_no_secret_is_logged_by_a_program_that_fails(sandbox, evidence, video):
    sandbox.add_fault(Fault(On(method="PATCH"), Answer(403, TALK_OF_UPLOADS.encode())))
    command = [sys.executable, "-X", "dev", "-c", PROGRAM]
    ended = command_line.run(video, sandbox=sandbox, command=command)
    assert b"Traceback" in ended.stderr
    assert b"DEBUG:httpcore.http11" in ended.stderr
    search(evidence, sandbox, ended.stdout, ended.stderr)


def test_no_secret_is_logged_by_a_program_that_is_interrupted(sandbox, evidence, video):
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
    search(evidence, sandbox, errors)


def test_no_option_takes_a_key():
    def names(command):
        for parameter in command.params:
            yield from parameter.opts
        for sub in getattr(command, "commands", {}).values():
            yield from names(sub)

    words = {word for name in names(get_command(app.app)) for word in name.strip("-").split("-")}
    assert not words & {"key", "token", "secret", "password", "credentials"}
    assert "journal" in words
