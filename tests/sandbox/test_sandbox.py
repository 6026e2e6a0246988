"""The sandbox as a guest in somebody's process: it starts, stops and leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import random
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from livepeer_async.sandbox import Fault, On, Sandbox, Stall, server_thread
from livepeer_async.sandbox.state import Studio
from sandbox.wire import PART, SMALL_PARTS, TUS, RawConnection, open_sandbox
from support.clock import until
from support.constants import MIB, TIMEOUT

pytestmark = pytest.mark.anyio

# Where no other test listens; other systems than Linux have only the one.
ANOTHER_HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


def resources():
    """Name what is there: threads, and descriptors with what they lead to."""
    found = {(str(thread.ident), f"thread:{thread.name}") for thread in threading.enumerate()}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


async def until_clean(before):
    """Wait for what ends by itself, the sockets that the loop closes, then name what is left."""

    def left():
        gc.collect()
        kinds = ("thread:livepeer-sandbox", "socket:", "/tmp", "pipe:", "anon_inode:")
        return [name for _, name in resources() - before if name.startswith(kinds)]

    with contextlib.suppress(AssertionError):
        await until(lambda: not left())
    assert left() == []


async def test_it_leaves_no_thread_descriptor_or_file():
    async with open_sandbox() as caller:  # whatever is opened once per process
        await caller.wait(await caller.upload(b"hello"), "ready")
    before = resources()
    async with open_sandbox(**SMALL_PARTS) as caller:
        ticket, location = await caller.begin(4 * PART)
        await caller.patch(location, 0, bytes(PART))
        hanging = await RawConnection.to(location)
        await hanging.send_patch(location, PART, PART, bytes(100))
        await until(lambda: caller.sandbox.requests[-1].received == 100)
        done = await caller.upload(b"hello")
        await caller.wait(done, "ready")
        directory = caller.sandbox.stored(done.playback_id).parent
        assert directory.is_dir()
        assert caller.sandbox.stored(ticket.playback_id) is None
    assert (await hanging.read_end())[0] == b""
    await hanging.close()
    assert not directory.exists()
    await until_clean(before)


async def test_a_directory_of_ones_own_stays(tmp_path):
    async with open_sandbox(directory=tmp_path / "kept") as caller:
        ticket = await caller.upload(b"hello")
        stored = caller.sandbox.stored(ticket.playback_id)
    assert stored.read_bytes() == b"hello"
    assert stored.parent == tmp_path / "kept"


async def test_it_stops_at_once_while_requests_hang():
    sandbox = Sandbox(faults=[Fault(On(), Stall(600))])
    async with httpx.AsyncClient(verify=False) as http, sandbox:
        waiting = asyncio.create_task(http.get(sandbox.base_url + "/asset"))
        await until(lambda: len(sandbox.requests) == 1)
        async with asyncio.timeout(TIMEOUT):
            await sandbox.__aexit__(None, None, None)
        with pytest.raises(httpx.TransportError):
            await waiting


async def test_a_cancelled_test_leaves_no_server_behind():
    started = asyncio.Event()
    origin = []

    async def run():
        async with Sandbox(host=ANOTHER_HOST) as sandbox:
            origin.append(sandbox.base_url)
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with httpx.AsyncClient(verify=False) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(origin[0])


async def test_two_run_side_by_side_and_again():
    for _ in range(2):
        async with open_sandbox() as one, open_sandbox() as two:
            assert one.sandbox.base_url != two.sandbox.base_url
            assert one.sandbox.api_key != two.sandbox.api_key
            ticket = await one.upload(b"one")
            await two.upload(b"two")
            assert await one.wait(ticket, "ready")
            refused = await two.http.get(two.sandbox.base_url + "/asset", headers=one.key)
            assert refused.status_code == 401
            assert [len(caller.sandbox.assets) for caller in (one, two)] == [1, 1]
            assert two.sandbox.stored_sha256(ticket.playback_id) is None


async def test_a_key_and_a_port_can_be_given():
    # On an address that no other test listens at: the port has to be free in between.
    async with Sandbox(host=ANOTHER_HOST) as first:
        port = int(first.base_url.split(":")[2].split("/")[0])
    async with Sandbox(host=ANOTHER_HOST, port=port, api_key="my-key") as sandbox:
        assert sandbox.base_url == f"http://{ANOTHER_HOST}:{port}/api"
        assert sandbox.api_key == "my-key"


async def test_a_port_that_is_taken_is_an_error_at_once():
    async with Sandbox() as sandbox:
        port = int(sandbox.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with Sandbox(port=port):
                pass


async def test_it_serves_ipv6():
    try:
        async with Sandbox(host="::1") as sandbox, httpx.AsyncClient(verify=False) as http:
            assert sandbox.origin.startswith("http://[::1]:")
            assert (await http.get(sandbox.base_url)).status_code == 404
    except OSError:
        pytest.skip("no IPv6 here")


async def test_an_unknown_storage_is_refused():
    with pytest.raises(ValueError, match="storage is 'tape'; wanted 'file' or 's3'"):
        Sandbox(storage="tape")


async def test_it_runs_once():
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="does not run"):
        _ = sandbox.base_url
    async with sandbox:
        with pytest.raises(RuntimeError, match="runs already"):
            await sandbox.__aenter__()


async def test_an_error_inside_is_answered_500_and_raised_on_leaving(monkeypatch):
    def fail(self, *_):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(Studio, "refuse_if_full", fail)
    with pytest.raises(ZeroDivisionError, match="inside"):
        async with open_sandbox() as caller:
            answer = await caller.api("POST", "/asset/request-upload", json={"name": "x"})
            expected = {"errors": ["Internal server error: ZeroDivisionError"]}
            assert (answer.status_code, answer.json()) == (500, expected)


async def test_an_error_inside_does_not_hide_the_tests_own(monkeypatch):
    def fail(self, *_):
        raise ZeroDivisionError

    monkeypatch.setattr(Studio, "refuse_if_full", fail)
    with pytest.raises(KeyError) as caught:
        async with open_sandbox() as caller:
            await caller.api("POST", "/asset/request-upload", json={"name": "x"})
            raise KeyError
    assert caught.value.__notes__ == ["and the sandbox raised ZeroDivisionError()"]


async def test_an_error_in_the_background_is_raised_on_leaving(monkeypatch):
    failed = threading.Event()

    async def fail(self, *_):
        failed.set()
        raise ZeroDivisionError("behind")

    monkeypatch.setattr(Studio, "_end_processing", fail)
    with pytest.raises(ZeroDivisionError, match="behind"):
        async with open_sandbox() as caller:
            await caller.upload(b"hello")
            await until(failed.is_set)


async def test_a_server_that_cannot_start_says_why(monkeypatch, tmp_path):
    async def fail(self, sockets=None):
        raise ZeroDivisionError

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(server_thread.Server, "startup", fail)
    with pytest.raises(RuntimeError, match="could not start") as caught:
        async with Sandbox():
            pass
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert isinstance(cause.exceptions[0], ZeroDivisionError)
    assert list(tmp_path.iterdir()) == []


async def test_a_server_that_breaks_down_is_reported_on_leaving(monkeypatch):
    failed, on_tick = threading.Event(), server_thread.Server.on_tick
    # Of sandboxes that whole modules of tests share, and which are still there.
    others = set(threading.enumerate())

    async def fail(self, counter):
        if threading.current_thread() in others:
            return await on_tick(self, counter)
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(server_thread.Server, "on_tick", fail)
    with pytest.raises(ExceptionGroup) as caught:
        async with Sandbox():
            await until(failed.is_set)
    assert caught.group_contains(ZeroDivisionError)


async def test_a_blocked_client_loop_does_not_stop_the_server():
    async with open_sandbox() as caller:
        ticket = await caller.upload(b"hello")

        def ask():
            with httpx.Client(verify=False) as http:
                return http.get(caller.sandbox.base_url + "/asset", headers=caller.key)

        answer = ask()  # in the loop's own thread, which it blocks
        assert [row["id"] for row in answer.json()] == [ticket.asset_id]


async def test_the_log_shows_requests_without_secrets():
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(5)
        await caller.patch(location, 0, b"hello")
        await until(lambda: caller.sandbox.requests[-1].is_over)
        first, create, patch = caller.sandbox.requests
        assert (first.method, first.path) == ("POST", "/api/asset/request-upload")
        assert (first.is_authorized, create.is_authorized) == (True, False)
        assert (create.path, create.status) == ("/api/asset/upload/tus?token=…", 201)
        assert (patch.received, patch.status, patch.is_over) == (5, 204, True)
        assert patch.headers["upload-offset"] == "0"
        shown = repr(caller.sandbox.requests)
        assert ticket.tus_endpoint.partition("=")[2] not in shown
        assert caller.sandbox.api_key not in shown


async def test_idle_connections_are_closed(monkeypatch):
    assert server_thread.KEEP_ALIVE_SECONDS == 5
    monkeypatch.setattr(server_thread, "KEEP_ALIVE_SECONDS", 0.2)
    async with open_sandbox() as caller:
        connection = await RawConnection.to(caller.sandbox.origin)
        began = time.monotonic()
        await connection.send_head("HEAD", caller.sandbox.base_url + "/nosuch", [])
        await connection.read_head()
        assert await connection.read_end() == (b"", "fin")
        assert time.monotonic() - began >= 0.2
        await connection.close()


@pytest.mark.parametrize("options", [{}, {"storage": "s3", "race": 0.0}], ids=["file", "s3"])
async def test_a_large_upload_takes_less_than_a_minute(options):
    """It takes less than a second on a machine that has nothing else to do."""
    source = random.Random(8).randbytes(32 * MIB)
    async with open_sandbox(**options) as caller:
        ticket, location = await caller.begin(len(source))
        async with asyncio.timeout(60):
            for offset in range(0, len(source), 16 * MIB):
                await caller.patch(location, offset, source[offset : offset + 16 * MIB])
        asset = await caller.wait(ticket, "ready")
        assert asset["size"] == len(source)


QUIET = """
    import asyncio, contextlib, socket, struct
    from urllib.parse import urlsplit
    from livepeer_async.sandbox import CutConnection, Fault, On, Sandbox, Stall

    async def main():
        faults = [Fault(On(nth=2), CutConnection(0, "rst")), Fault(On(nth=3), Stall(60))]
        async with Sandbox(faults=faults) as sandbox:
            parts = urlsplit(sandbox.origin)
            for raw in (b"nonsense\\r\\n\\r\\n", b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n") * 3:
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(raw)
                await writer.drain()
                await asyncio.sleep(0.02)
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):  # the server has cut it
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()

    asyncio.run(main(), debug={debug})
"""


async def test_nothing_is_printed_whatever_happens():
    script = textwrap.dedent(QUIET).format(debug=False)
    done = await asyncio.to_thread(run_python, script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_without_the_extra_the_import_says_what_to_install():
    script = """
        import sys
        sys.modules["uvicorn"] = None
        try:
            import livepeer_async.sandbox
        except ImportError as error:
            print(error)
    """
    done = await asyncio.to_thread(run_python, textwrap.dedent(script))
    assert 'pip install "livepeer-async[sandbox]"' in done.stdout


def run_python(script):
    import livepeer_async  # noqa: PLC0415 - where it lies is all that is asked

    folder = Path(livepeer_async.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
        timeout=60,
    )


async def test_a_watched_upload_is_free_again_after_its_patch():
    async with open_sandbox() as caller:
        _, location = await caller.begin(10)
        for offset in range(0, 10, 5):
            await caller.patch(location, offset, b"hello")
            await caller.http.head(location, headers=TUS)
        assert caller.sandbox.violations == []


async def test_connections_that_come_while_it_stops_are_closed_too():
    for _ in range(15):
        async with open_sandbox() as caller:
            place = urlsplit(caller.sandbox.origin)
            made = [socket.create_connection((place.hostname, place.port)) for _ in range(10)]
        for connection in made:
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(60)
                assert connection.recv(1) == b""


@pytest.mark.parametrize("value", ["", "many", "3"])
async def test_number_of_workers_is_not_of_the_environment(value, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    async with open_sandbox():
        pass
