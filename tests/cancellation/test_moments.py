"""Cancellation at the moments that chance seldom meets, each arranged on purpose."""

import asyncio
import tempfile
import time

import aiofiles.threadpool
import anyio
import httpx
import pytest

from livepeer_async import Timeouts
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.journal import journal
from livepeer_async.sandbox import Answer, Fault, On, Slow, Stall
from livepeer_async.sources import files
from livepeer_async.uploads import asset_requests, uploader
from studio import PART, SMALL_S3, content, studio, until

pytestmark = pytest.mark.anyio
HOWS = ("scope", "task")
# Of one who must not be waited for, and when a test that does is over.
FOR_EVER = 1000.0
LIMIT = 30.0
ENDLESS = {"timeout": Timeouts(stall=FOR_EVER, answer=FOR_EVER)}


def test_who_cancels_waits_two_seconds_at_the_most():
    assert asset_requests.TICKET_TIMEOUT + asset_requests.GIVE_BACK_TIMEOUT <= 2
    assert max(asset_requests.CANCELLED_TIMEOUT, files.OPEN_TIMEOUT, journal.RELEASE_TIMEOUT) <= 2


@pytest.fixture
def long_clean_up(monkeypatch):
    """Let the clean-up of an upload that wasn't cancelled take for ever."""
    for module in (uploader, asset_requests):
        monkeypatch.setattr(module, "DISCARD_TIMEOUT", FOR_EVER)


class Running:
    """An upload in a task of its own that can be cancelled in either way."""

    def __init__(self, how, make):
        self._scope = anyio.CancelScope()
        self._how = how
        self._task = asyncio.create_task(self._run(make))

    async def _run(self, make):
        with self._scope:
            await make()

    def cancel(self):
        if self._how == "scope":
            self._scope.cancel()
        else:
            self._task.cancel()

    async def ended(self):
        """Wait until it has ended."""
        done, _ = await asyncio.wait([self._task], timeout=LIMIT)
        assert done


def slowed(make, made):
    """Let a thread take its time once it has made a file; who closes it is the question."""

    def make_slowly(*args, **options):
        made.append(make(*args, **options))
        time.sleep(0.1)
        return made[-1]

    return make_slowly


async def judge_cancelled_with_a_file(running, made):
    """Cancelled while a thread makes its file, an upload ends soon and leaves it closed."""
    await until(lambda: made)
    running.cancel()
    await running.ended()
    await anyio.sleep(0.2)
    is_closed = made[0].closed
    made[0].close()
    assert is_closed


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_in_the_moment_that_its_ticket_comes_an_upload_leaves_no_asset(
    how, patient
):
    async def cancel_at_the_ticket(response):
        if response.request.url.path.endswith("request-upload"):
            await response.aread()
            running.cancel()

    async with (
        httpx.AsyncClient(event_hooks={"response": [cancel_at_the_ticket]}) as http_client,
        studio(client={"http_client": http_client}, **SMALL_S3) as (sandbox, livepeer),
    ):
        running = Running(how, lambda: livepeer.upload(content(1000)))
        await running.ended()
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_while_its_file_is_opened_an_upload_leaves_it_closed(
    how, tmp_path, monkeypatch, patient
):
    (tmp_path / "video.mp4").write_bytes(content(1000))
    opened = []
    monkeypatch.setattr(aiofiles.threadpool, "sync_open", slowed(open, opened))
    async with studio() as (_, livepeer):
        running = Running(how, lambda: livepeer.upload(tmp_path / "video.mp4"))
        await judge_cancelled_with_a_file(running, opened)


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_while_it_cleans_up_an_upload_ends_soon(how, long_clean_up):
    """After an error the clean-up may take long, but not for one who has cancelled."""
    gone = Fault(On(method="PATCH"), Answer(404))
    silent = Fault(On(method="DELETE"), Stall(FOR_EVER))
    policy = RetryPolicy(attempts=1, restarts=0)
    async with studio(gone, silent, client={"retry": policy, **ENDLESS}, **SMALL_S3) as (
        _,
        livepeer,
    ):
        running = Running(how, lambda: livepeer.upload(content(3 * PART)))
        await until(lambda: silent.fired)
        running.cancel()
        await running.ended()


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_while_the_server_is_silent_an_upload_ends_soon(how):
    for number in range(1, 6):
        silent = Fault(On(nth=number), Stall(FOR_EVER))
        async with studio(silent, client=ENDLESS, **SMALL_S3) as (_, livepeer):
            running = Running(how, lambda: livepeer.upload(content(3 * PART)))
            await until(lambda: silent.fired)  # noqa: B023 - it is called within this turn
            running.cancel()
            await running.ended()


HELD = {"its creation": On(method="POST", path="/upload/tus"), "a PATCH": On(method="PATCH")}


@pytest.mark.parametrize("name", HELD)
async def test_aborted_while_the_server_is_silent_an_upload_is_deleted_soon(name):
    silent = Fault(HELD[name], Stall(FOR_EVER))
    async with studio(silent, client=ENDLESS, **SMALL_S3) as (sandbox, livepeer):
        async with livepeer.begin_upload(content(3 * PART)) as upload:
            await until(lambda: silent.fired)
            with anyio.fail_after(LIMIT):
                await upload.abort()
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_while_it_is_aborted_an_upload_ends_soon(how, long_clean_up):
    silent = Fault(On(method="DELETE"), Stall(FOR_EVER))
    slow = Fault(On(method="PATCH"), Slow(50_000))

    async def abort():
        async with livepeer.begin_upload(content(3 * PART)) as upload:
            await until(lambda: slow.fired)
            await upload.abort()

    async with studio(silent, slow, client=ENDLESS, **SMALL_S3) as (_, livepeer):
        running = Running(how, abort)
        await until(lambda: silent.fired)
        running.cancel()
        await running.ended()


@pytest.mark.parametrize("how", HOWS)
async def test_cancelled_while_its_stream_is_spooled_an_upload_leaves_no_file_open(
    how, monkeypatch, patient
):
    made = []

    async def pieces():
        for _ in range(4):
            yield content(PART)

    monkeypatch.setattr(tempfile, "TemporaryFile", slowed(tempfile.TemporaryFile, made))
    async with studio() as (_, livepeer):
        running = Running(how, lambda: livepeer.upload(pieces()))
        await judge_cancelled_with_a_file(running, made)
