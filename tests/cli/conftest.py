import logging
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial

import pytest

from livepeer_async import AssetFailed, AsyncLivepeer
from livepeer_async.cli import main
from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.sandbox import Sandbox
from support import command_line
from support.constants import MIB


@pytest.fixture(scope="session")
def open_sandbox(portal):
    """Open a sandbox, by default a fast one."""
    return lambda **options: portal.wrap_async_context_manager(
        Sandbox(**{"waiting_seconds": 0, "processing_seconds": 0.1, **options})
    )


@pytest.fixture(scope="session")
def upload_clip(portal):
    """Upload the clip under several names, in the test process; return the IDs of the assets."""

    async def upload_one(livepeer, name):
        try:
            return (await livepeer.upload(read_clip(), name, wait=False)).id
        except AssetFailed as error:  # before the first look at the asset
            return error.asset_id

    async def upload(sandbox, *names):
        async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            return [await upload_one(livepeer, name) for name in names]

    return partial(portal.call, upload)


@pytest.fixture
def sandbox(open_sandbox):
    with open_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(read_clip())
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with four videos and another file."""
    shows = tmp_path / "shows"
    (shows / "two").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4", "two/c.mp4"):
        (shows / name).write_bytes(read_clip())
    write_video(shows / "two/long.mp4", 9 * MIB)
    (shows / "notes.txt").write_text("no video")
    return shows


@pytest.fixture
def table(folder, tmp_path):
    """A table with two good rows and three bad ones."""
    table = tmp_path / "videos.csv"
    table.write_text(
        "path,key,name\nshows/a.mp4,a,First\nshows/missing.mp4,,\nshows/b.mp4,a,\n"
        "/etc/hostname,,\nshows/two/c.mp4,c,\n"
    )
    return table


@pytest.fixture
def run_here(monkeypatch, capfd):
    """Run a command in the test process, which saves its start-up time."""

    def run(*arguments, sandbox=None, missing=(), **variables):
        monkeypatch.setattr(sys, "argv", ["livepeer-async", *map(str, arguments)])
        # The command replaces the stream.
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        for name in missing:
            monkeypatch.setitem(sys.modules, name, None)
        for name in ("LIVEPEER_API_KEY", "LIVEPEER_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in command_line.environment(sandbox, **variables).items():
            monkeypatch.setenv(name, value)
        log = logging.getLogger("livepeer_async")
        handlers, propagates = list(log.handlers), log.propagate
        taken = {
            number: signal.getsignal(number)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            for number, kept in taken.items():
                signal.signal(number, kept)
            log.handlers[:], log.propagate = handlers, propagates
        output, errors = (text.encode() for text in capfd.readouterr())
        return subprocess.CompletedProcess(arguments, ended.value.code, output, errors)

    return run


@pytest.fixture
def start():
    """Start commands with pipes, and kill them after the test."""
    with ExitStack() as stack:

        def begin(*arguments, **options):
            process = stack.enter_context(command_line.start(*arguments, **options))
            stack.callback(process.kill)
            return process

        yield begin
