"""Cancellation at moments that random tests rarely hit."""

import asyncio
import tempfile
import time

import anyio
import httpx
import pytest

from livepeer_async import Timeouts
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.journal import opened
from livepeer_async.sandbox import Answer, Fault, On, Slow, Stall
from livepeer_async.sources import files
from livepeer_async.uploads import asset_requests
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
METHODS = ("scope", "task")
NO_TIMEOUTS = {"timeout": Timeouts(stall=VERY_LONG, answer=VERY_LONG)}


def test_cancellation_takes_at_most_two_seconds():
    assert asset_requests.TICKET_TIMEOUT + asset_requests.TICKET_DISCARD_TIMEOUT <= 2
    assert max(asset_requests.CANCELLED_TIMEOUT, files.OPEN_TIMEOUT, opened.RELEASE_TIMEOUT) <= 2


@pytest.fixture
def slow_discard(monkeypatch):
    """Remove the time limit of the clean-up after an error, not of that after a cancellation."""
    monkeypatch.setattr(asset_requests, "DISCARD_TIMEOUT", VERY_LONG)


class UploadTask:
    """A task that can be cancelled by its scope or by asyncio."""

    def __init__(self, method, run):
        self._scope = anyio.CancelScope()
        self._method = method
        self._task = asyncio.create_task(self._run(run))

    async def _run(self, run):
        with self._scope:
            await run()

    def cancel(self):
        if self._method == "scope":
            self._scope.cancel()
        else:
            self._task.cancel()

    async def ended(self):
        """Wait for the end."""
        done, _ = await asyncio.wait([self._task], timeout=TIMEOUT)
        assert done


def delayed(open_file, opened):
    """Wrap a function that opens a file; it returns 0.1 s after the file was opened."""

    def open_slowly(*args, **options):
        opened.append(open_file(*args, **options))
        time.sleep(0.1)
        return opened[-1]

    return open_slowly


async def assert_cancel_closes_file(running, opened):
    """Cancel while a thread opens the file: the upload ends soon, and the file is closed."""
    await until(lambda: opened)
    running.cancel()
    await running.ended()
    await anyio.sleep(0.2)
    is_closed = opened[0].closed
    opened[0].close()
    assert is_closed


@pytest.mark.parametrize("method", METHODS)
async def test_cancellation_at_the_ticket_leaves_no_asset(method, long_clean_up):
    async def cancel_at_the_ticket(response):
        if response.request.url.path.endswith("request-upload"):
            await response.aread()
            running.cancel()

    async with (
        httpx.AsyncClient(event_hooks={"response": [cancel_at_the_ticket]}) as http_client,
        sandbox_and_client(client={"http_client": http_client}, **SMALL_S3) as (sandbox, livepeer),
    ):
        running = UploadTask(method, lambda: livepeer.upload(make_bytes(1000)))
        await running.ended()
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("method", METHODS)
async def test_cancellation_while_opening_closes_the_file(
    method, tmp_path, monkeypatch, long_clean_up
):
    (tmp_path / "video.mp4").write_bytes(make_bytes(1000))
    opened = []
    monkeypatch.setattr(files, "FileIO", delayed(files.FileIO, opened))
    async with sandbox_and_client() as (_, livepeer):
        running = UploadTask(method, lambda: livepeer.upload(tmp_path / "video.mp4"))
        await assert_cancel_closes_file(running, opened)


@pytest.mark.parametrize("method", METHODS)
async def test_cancellation_during_clean_up_ends_soon(method, slow_discard):
    """The clean-up after an error may take long, but a cancellation ends it."""
    gone = Fault(On(method="PATCH"), Answer(404))
    silent = Fault(On(method="DELETE"), Stall(VERY_LONG))
    policy = RetryPolicy(attempts=1, restarts=0)
    async with sandbox_and_client(
        gone, silent, client={"retry": policy, **NO_TIMEOUTS}, **SMALL_S3
    ) as (
        _,
        livepeer,
    ):
        running = UploadTask(method, lambda: livepeer.upload(make_bytes(3 * PART)))
        await until(lambda: silent.fired)
        running.cancel()
        await running.ended()


@pytest.mark.parametrize("method", METHODS)
async def test_cancellation_while_the_server_is_silent_ends_soon(method):
    for number in range(1, 6):
        silent = Fault(On(nth=number), Stall(VERY_LONG))
        async with sandbox_and_client(silent, client=NO_TIMEOUTS, **SMALL_S3) as (_, livepeer):
            running = UploadTask(method, lambda: livepeer.upload(make_bytes(3 * PART)))
            await until(lambda: silent.fired)  # noqa: B023 - called in this iteration
            running.cancel()
            await running.ended()


HELD = {"creation": On(method="POST", path="/upload/tus"), "PATCH": On(method="PATCH")}


@pytest.mark.parametrize("name", HELD)
async def test_abort_while_the_server_is_silent_deletes_the_asset(name):
    silent = Fault(HELD[name], Stall(VERY_LONG))
    async with sandbox_and_client(silent, client=NO_TIMEOUTS, **SMALL_S3) as (sandbox, livepeer):
        async with livepeer.begin_upload(make_bytes(3 * PART)) as upload:
            await until(lambda: silent.fired)
            with anyio.fail_after(TIMEOUT):
                await upload.abort()
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("method", METHODS)
async def test_cancellation_during_abort_ends_soon(method, slow_discard):
    silent = Fault(On(method="DELETE"), Stall(VERY_LONG))
    slow = Fault(On(method="PATCH"), Slow(50_000))

    async def abort():
        async with livepeer.begin_upload(make_bytes(3 * PART)) as upload:
            await until(lambda: slow.fired)
            await upload.abort()

    async with sandbox_and_client(silent, slow, client=NO_TIMEOUTS, **SMALL_S3) as (_, livepeer):
        running = UploadTask(method, abort)
        await until(lambda: silent.fired)
        running.cancel()
        await running.ended()


@pytest.mark.parametrize("method", METHODS)
async def test_cancellation_while_spooling_closes_the_file(method, monkeypatch, long_clean_up):
    opened = []

    async def pieces():
        for _ in range(4):
            yield make_bytes(PART)

    monkeypatch.setattr(tempfile, "TemporaryFile", delayed(tempfile.TemporaryFile, opened))
    async with sandbox_and_client() as (_, livepeer):
        running = UploadTask(method, lambda: livepeer.upload(pieces()))
        await assert_cancel_closes_file(running, opened)
