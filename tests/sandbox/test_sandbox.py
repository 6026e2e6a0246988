"""Start, stop and clean-up of a sandbox inside another program."""

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
from livepeer_async.sandbox.state import ServerState
from sandbox.client import PART, SMALL_PARTS, TUS, RawConnection, open_sandbox
from support.clock import until
from support.constants import MIB, TIMEOUT

pytestmark = pytest.mark.anyio

# An address on which no other test listens; only Linux has several.
ANOTHER_HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


def resources():
    """Return all threads, and all descriptors with their targets."""
    found = {(str(thread.ident), f"thread:{thread.name}") for thread in threading.enumerate()}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


async def until_clean(before):
    """Wait for the loop to close its sockets, and check that no other resource is left."""

    def left():
        gc.collect()
        kinds = ("thread:livepeer-sandbox", "socket:", "/tmp", "pipe:", "anon_inode:")
        return [name for _, name in resources() - before if name.startswith(kinds)]

    with contextlib.suppress(AssertionError):
        await until(lambda: not left())
    assert left() == []


async def test_no_thread_descriptor_or_file_is_left():
    async with open_sandbox() as client:  # opens what is opened once per process
        await client.wait(await client.upload(b"hello"), "ready")
    before = resources()
    async with open_sandbox(**SMALL_PARTS) as client:
        ticket, location = await client.begin(4 * PART)
        await client.patch(location, 0, bytes(PART))
        hanging = await RawConnection.to(location)
        await hanging.send_patch(location, PART, PART, bytes(100))
        await until(lambda: client.sandbox.requests[-1].received == 100)
        done = await client.upload(b"hello")
        await client.wait(done, "ready")
        directory = client.sandbox.stored(done.playback_id).parent
        assert directory.is_dir()
        assert client.sandbox.stored(ticket.playback_id) is None
    assert (await hanging.read_end())[0] == b""
    await hanging.close()
    assert not directory.exists()
    await until_clean(before)


async def test_given_directory_is_kept(tmp_path):
    async with open_sandbox(directory=tmp_path / "kept") as client:
        ticket = await client.upload(b"hello")
        stored = client.sandbox.stored(ticket.playback_id)
    assert stored.read_bytes() == b"hello"
    assert stored.parent == tmp_path / "kept"


async def test_sandbox_stops_at_once_despite_stalled_requests():
    sandbox = Sandbox(faults=[Fault(On(), Stall(600))])
    async with httpx.AsyncClient(verify=False) as http, sandbox:
        waiting = asyncio.create_task(http.get(sandbox.base_url + "/asset"))
        await until(lambda: len(sandbox.requests) == 1)
        async with asyncio.timeout(TIMEOUT):
            await sandbox.__aexit__(None, None, None)
        with pytest.raises(httpx.TransportError):
            await waiting


async def test_cancellation_stops_server():
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


async def test_two_sandboxes_run_at_once():
    for _ in range(2):
        async with open_sandbox() as one, open_sandbox() as two:
            assert one.sandbox.base_url != two.sandbox.base_url
            assert one.sandbox.api_key != two.sandbox.api_key
            ticket = await one.upload(b"one")
            await two.upload(b"two")
            assert await one.wait(ticket, "ready")
            refused = await two.http.get(two.sandbox.base_url + "/asset", headers=one.key)
            assert refused.status_code == 401
            assert [len(client.sandbox.assets) for client in (one, two)] == [1, 1]
            assert two.sandbox.stored_sha256(ticket.playback_id) is None


async def test_key_and_port_can_be_given():
    # The port must be free in between, so no other test may listen on this address.
    async with Sandbox(host=ANOTHER_HOST) as first:
        port = int(first.base_url.split(":")[2].split("/")[0])
    async with Sandbox(host=ANOTHER_HOST, port=port, api_key="my-key") as sandbox:
        assert sandbox.base_url == f"http://{ANOTHER_HOST}:{port}/api"
        assert sandbox.api_key == "my-key"


async def test_used_port_raises_oserror():
    async with Sandbox() as sandbox:
        port = int(sandbox.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with Sandbox(port=port):
                pass


async def test_sandbox_listens_on_ipv6():
    try:
        async with Sandbox(host="::1") as sandbox, httpx.AsyncClient(verify=False) as http:
            assert sandbox.origin.startswith("http://[::1]:")
            assert (await http.get(sandbox.base_url)).status_code == 404
    except OSError:
        pytest.skip("no IPv6 here")


async def test_unknown_storage_is_refused():
    with pytest.raises(ValueError, match="storage is 'tape'; wanted 'file' or 's3'"):
        Sandbox(storage="tape")


async def test_sandbox_can_be_entered_once():
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="is not running"):
        _ = sandbox.base_url
    async with sandbox:
        with pytest.raises(RuntimeError, match="started already"):
            await sandbox.__aenter__()


async def test_server_error_returns_500_and_is_raised_on_exit(monkeypatch):
    def fail(self, *_):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(ServerState, "check_queue", fail)
    with pytest.raises(ZeroDivisionError, match="inside"):
        async with open_sandbox() as client:
            response = await client.api("POST", "/asset/request-upload", json={"name": "x"})
            expected = {"errors": ["Internal server error: ZeroDivisionError"]}
            assert (response.status_code, response.json()) == (500, expected)


async def test_server_error_does_not_hide_error_of_test(monkeypatch):
    def fail(self, *_):
        raise ZeroDivisionError

    monkeypatch.setattr(ServerState, "check_queue", fail)
    with pytest.raises(KeyError) as caught:
        async with open_sandbox() as client:
            await client.api("POST", "/asset/request-upload", json={"name": "x"})
            raise KeyError
    assert caught.value.__notes__ == ["the sandbox also raised ZeroDivisionError()"]


async def test_background_error_is_raised_on_exit(monkeypatch):
    failed = threading.Event()

    async def fail(self, *_):
        failed.set()
        raise ZeroDivisionError("behind")

    monkeypatch.setattr(ServerState, "_finish_processing", fail)
    with pytest.raises(ZeroDivisionError, match="behind"):
        async with open_sandbox() as client:
            await client.upload(b"hello")
            await until(failed.is_set)


async def test_failed_start_is_raised_with_cause(monkeypatch, tmp_path):
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


async def test_server_crash_is_raised_on_exit(monkeypatch):
    failed, on_tick = threading.Event(), server_thread.Server.on_tick
    # Threads of sandboxes that other test modules share.
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


async def test_blocked_client_loop_does_not_stop_server():
    async with open_sandbox() as client:
        ticket = await client.upload(b"hello")

        def list_assets():
            with httpx.Client(verify=False) as http:
                return http.get(client.sandbox.base_url + "/asset", headers=client.key)

        response = list_assets()  # blocks the loop's thread
        assert [row["id"] for row in response.json()] == [ticket.asset_id]


async def test_log_shows_requests_without_secrets():
    async with open_sandbox() as client:
        ticket, location = await client.begin(5)
        await client.patch(location, 0, b"hello")
        await until(lambda: client.sandbox.requests[-1].is_over)
        first, create, patch = client.sandbox.requests
        assert (first.method, first.path) == ("POST", "/api/asset/request-upload")
        assert (first.is_authorized, create.is_authorized) == (True, False)
        assert (create.path, create.status) == ("/api/asset/upload/tus?token=…", 201)
        assert (patch.received, patch.status, patch.is_over) == (5, 204, True)
        assert patch.headers["upload-offset"] == "0"
        shown = repr(client.sandbox.requests)
        assert ticket.tus_endpoint.partition("=")[2] not in shown
        assert client.sandbox.api_key not in shown


async def test_idle_connections_are_closed(monkeypatch):
    assert server_thread.KEEP_ALIVE_SECONDS == 5
    monkeypatch.setattr(server_thread, "KEEP_ALIVE_SECONDS", 0.2)
    async with open_sandbox() as client:
        connection = await RawConnection.to(client.sandbox.origin)
        began = time.monotonic()
        await connection.send_head("HEAD", client.sandbox.base_url + "/nosuch", [])
        await connection.read_head()
        assert await connection.read_end() == (b"", "fin")
        assert time.monotonic() - began >= 0.2
        await connection.close()


@pytest.mark.parametrize("options", [{}, {"storage": "s3", "race": 0.0}], ids=["file", "s3"])
async def test_large_upload_takes_less_than_a_minute(options):
    """It takes less than a second on an idle machine."""
    source = random.Random(8).randbytes(32 * MIB)
    async with open_sandbox(**options) as client:
        ticket, location = await client.begin(len(source))
        async with asyncio.timeout(60):
            for offset in range(0, len(source), 16 * MIB):
                await client.patch(location, offset, source[offset : offset + 16 * MIB])
        asset = await client.wait(ticket, "ready")
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


async def test_sandbox_prints_nothing():
    script = textwrap.dedent(QUIET).format(debug=False)
    done = await asyncio.to_thread(run_python, script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_import_without_extra_names_extra():
    script = """
        import sys
        sys.modules["uvicorn"] = None
        try:
            import livepeer_async.sandbox
        except ImportError as error:
            print(error)
    """
    done = await asyncio.to_thread(run_python, textwrap.dedent(script))
    assert done.stdout == "the sandbox needs uvicorn: pip install starlette uvicorn\n"


def run_python(script):
    import livepeer_async  # noqa: PLC0415 - only its location is needed

    folder = Path(livepeer_async.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
        timeout=60,
    )


async def test_head_after_patch_is_no_violation():
    async with open_sandbox() as client:
        _, location = await client.begin(10)
        for offset in range(0, 10, 5):
            await client.patch(location, offset, b"hello")
            await client.http.head(location, headers=TUS)
        assert client.sandbox.violations == []


async def test_connections_made_during_stop_are_closed():
    for _ in range(15):
        async with open_sandbox() as client:
            place = urlsplit(client.sandbox.origin)
            made = [socket.create_connection((place.hostname, place.port)) for _ in range(10)]
        for connection in made:
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(60)
                assert connection.recv(1) == b""


@pytest.mark.parametrize("value", ["", "many", "3"])
async def test_web_concurrency_is_ignored(value, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    async with open_sandbox():
        pass
