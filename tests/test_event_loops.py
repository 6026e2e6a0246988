"""One client in several event loops: one after the other, and at once in threads."""

import asyncio
import gc
import os
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from livepeer_async import AsyncLivepeer, errors
from livepeer_async.journal.journal import Journal
from livepeer_async.sandbox import Answer, FailProcessing, Fault, On, Sandbox, Stall
from livepeer_async.tus import TusClient
from support.clock import until, wait_until
from support.constants import VERY_LONG
from support.libraries import LIBRARIES
from support.sandbox import PART, SMALL_LIMITS, client_for, make_bytes

LOOPS = 2


def run_in_runner(function, *args):
    with asyncio.Runner() as runner:
        return runner.run(function(*args))


def run_and_close_abruptly(function, *args):
    """Close the loop as scripts do that don't know `shutdown_asyncgens`."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(function(*args))
    finally:
        loop.close()


def run_in_thread(function, *args):
    """Run as `async_to_sync` does, which Django's views under WSGI use."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, function(*args)).result()


def run_on_uvloop(function, *args):
    uvloop = pytest.importorskip("uvloop")
    return uvloop.run(function(*args))


def run(function, *args):
    return asyncio.run(function(*args))


RUNS = [run, run_in_runner, run_and_close_abruptly, run_in_thread, run_on_uvloop]


@pytest.fixture
def serve(portal):
    """Run sandboxes in an event loop of their own."""

    @contextmanager
    def serve(*faults, **options):
        options = {"waiting_seconds": 0.0, "processing_seconds": 0.0, **options}
        sandbox = Sandbox(faults=faults, **options)
        with portal.wrap_async_context_manager(sandbox):
            yield sandbox

    return serve


async def upload(livepeer, number):
    asset = await livepeer.upload(make_bytes(PART + number), f"video {number}")
    assert asset.size == PART + number


async def enter_and_upload(livepeer, number):
    async with livepeer:
        await upload(livepeer, number)


async def upload_several(livepeer, number):
    sources = [make_bytes(100, seed=number), make_bytes(2 * PART, seed=number)]
    async with livepeer.upload_many(sources) as results:
        assert [result.error async for result in results] == [None, None]


async def list_and_wait(livepeer, number):
    asset = await livepeer.upload(make_bytes(100 + number), wait=False)
    waiting = livepeer.assets.wait_many([asset.id])
    assert [result.error async for result in waiting] == [None]
    assert asset.id in [asset.id async for asset in livepeer.assets.list()]


async def cancel_an_upload(livepeer, number):
    """Leave the block while the upload is stalled."""
    with pytest.raises(ZeroDivisionError):
        async with livepeer.begin_upload(make_bytes(4 * PART), f"stalled {number}"):
            raise ZeroDivisionError
    await livepeer.ping()


WORK = [upload, enter_and_upload, upload_several, list_and_wait, cancel_an_upload]


@pytest.mark.parametrize(("run", "has_journal"), [*((run, True) for run in RUNS), (run, False)])
def test_client_works_in_one_loop_after_another(serve, run, has_journal, tmp_path):
    stall = Fault(On(asset="stalled 0", method="PATCH"), Stall(VERY_LONG))
    with serve(stall) as sandbox:
        livepeer = client_for(sandbox, tmp_path / "journal" if has_journal else None)
        for number in range(LOOPS):
            for work in WORK:
                run(work, livepeer, number)
        run(livepeer.aclose)
    assert [path.name for path in tmp_path.iterdir() if "owner" in path.name] == []


@pytest.mark.parametrize("run", RUNS)
def test_tus_client_works_in_one_loop_after_another(serve, run):
    async def upload(number):
        return await tus.upload(make_bytes(PART + number), ticket.tus_endpoint)

    async def request():
        async with client_for(sandbox) as livepeer:
            return await livepeer.assets.request_upload("video")

    with serve() as sandbox:
        tus = TusClient(limits=SMALL_LIMITS)
        for number in range(LOOPS):
            ticket = asyncio.run(request())
            assert run(upload, number)

        async def close():
            async with tus:
                pass

        run(close)


@pytest.mark.skipif(sys.platform != "linux", reason="lists descriptors in /proc")
@pytest.mark.parametrize("run", [run, run_and_close_abruptly])
def test_200_loops_leave_no_descriptor_open(serve, run, tmp_path):
    def count_descriptors():
        return len(os.listdir("/proc/self/fd"))

    with serve() as sandbox:
        livepeer = client_for(sandbox, tmp_path / "journal")
        run(upload, livepeer, 0)
        gc.collect()
        before = count_descriptors()
        for _ in range(200):
            run(livepeer.ping)
        # The sandbox closes its side of the last connection a little later.
        wait_until(lambda: count_descriptors() <= before)
        run(livepeer.aclose)


def test_pause_of_an_earlier_loop_ends(serve):
    async def upload_briefly(livepeer):
        async with asyncio.timeout(0.2):
            await livepeer.upload(make_bytes(100), "first")

    full = Answer(429, b"full", headers={"Retry-After": "2"})
    with serve(Fault(On(path="request-upload", times=1), full)) as sandbox:
        livepeer = client_for(sandbox)
        with pytest.raises(TimeoutError):
            asyncio.run(upload_briefly(livepeer))
        assert livepeer.throttle.is_paused
        asyncio.run(upload(livepeer, 1))
        assert not livepeer.throttle.is_paused


def test_settings_apply_in_each_loop(serve):
    with serve() as sandbox:
        livepeer = client_for(sandbox)
        livepeer.throttle.max_rate = 1000 * PART
        livepeer.throttle.concurrency = 1
        assets = livepeer.assets

        async def upload_all():
            async with livepeer.upload_many([make_bytes(PART), make_bytes(2 * PART)]) as results:
                found = [result async for result in results]
            assert [result.error for result in found] == [None, None]
            return [asset.id async for asset in assets.list()]

        assert [len(asyncio.run(upload_all())) for _ in range(2)] == [2, 4]
        assert (livepeer.throttle.max_rate, livepeer.throttle.concurrency) == (1000 * PART, 1)


@pytest.mark.parametrize("has_block", [False, True])
def test_loops_in_threads_share_a_client(serve, has_block, tmp_path):
    def upload_in_thread(number):
        for _ in range(2):
            asyncio.run((enter_and_upload if has_block else upload)(livepeer, number))

    with serve() as sandbox:
        livepeer = client_for(sandbox, tmp_path / "journal")
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(upload_in_thread, range(8))) == [None] * 8
        asyncio.run(livepeer.aclose())
        assert len(sandbox.assets) == 16
    assert not [path.name for path in tmp_path.iterdir() if "owner" in path.name]


def test_key_has_one_owner_over_all_threads(serve, tmp_path):
    stall = Fault(On(method="PATCH", nth=1), Stall(VERY_LONG))
    ended = threading.Event()

    async def hold(livepeer):
        async with livepeer.begin_upload(make_bytes(4 * PART), "video", key="talk"):
            await until(ended.is_set)
            raise ZeroDivisionError

    async def upload_with_key(livepeer):
        async with livepeer:
            await livepeer.upload(make_bytes(4 * PART), "video", key="talk")

    with serve(stall) as sandbox, ThreadPoolExecutor(1) as pool:
        livepeer = client_for(sandbox, tmp_path / "journal")
        holding = pool.submit(asyncio.run, hold(livepeer))
        try:
            wait_until(lambda: stall.fired)
            for _ in range(2):
                # Leaving the block doesn't close the journal of the other thread.
                with pytest.raises(errors.UploadInUse):
                    asyncio.run(upload_with_key(livepeer))
        finally:
            ended.set()
        with pytest.raises(ZeroDivisionError):
            holding.result()
        asyncio.run(upload_with_key(livepeer))
        assert len(sandbox.assets) == 1


def test_lease_of_a_closed_loop_is_void(tmp_path):
    journal = Journal(tmp_path / "journal", account="a")
    lease = journal.acquire("talk")
    run_and_close_abruptly(lease.__aenter__)

    async def acquire():
        async with journal.acquire("talk"):
            with pytest.raises(errors.UploadInUse):
                async with journal.acquire("talk"):
                    pass
        await journal.aclose()

    asyncio.run(acquire())
    asyncio.run(acquire())


def test_closed_client_is_closed_in_its_loop_only(serve, tmp_path):
    async def close_and_use(livepeer):
        await upload(livepeer, 1)
        await livepeer.aclose()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await livepeer.ping()
        async with livepeer:
            await upload(livepeer, 2)

    with serve() as sandbox:
        livepeer = client_for(sandbox, tmp_path / "journal")
        asyncio.run(close_and_use(livepeer))
        asyncio.run(close_and_use(livepeer))


def test_failed_asset_is_raised_in_each_loop(serve):
    with serve(Fault(On(asset="bad"), FailProcessing("no"))) as sandbox:
        livepeer = client_for(sandbox)
        for _ in range(LOOPS):
            with pytest.raises(errors.AssetFailed):
                asyncio.run(livepeer.upload(b"bytes", "bad"))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("is_known", [True, False])
def test_given_client_of_another_loop_is_a_typed_error(serve, library, is_known):
    with serve() as sandbox, asyncio.Runner() as runner:
        http_client = library.AsyncClient()
        livepeer = client_for(sandbox, http_client=http_client)
        if is_known:
            runner.run(livepeer.ping())
        else:
            runner.run(http_client.get(sandbox.base_url))
        with pytest.raises(errors.ConfigurationError, match="another event loop") as caught:
            run_in_thread(livepeer.ping)
        assert "leave http_client out" in caught.value.advice
        runner.run(http_client.aclose())


@pytest.mark.parametrize("library", LIBRARIES)
def test_given_client_without_connections_works_in_each_loop(library, serve):
    with serve() as sandbox:
        mock = library.MockTransport(lambda _: library.Response(200, content=b"[]"))
        limits = library.Limits(max_keepalive_connections=0)
        for options in ({"transport": mock}, {"limits": limits}):
            livepeer = client_for(sandbox, http_client=library.AsyncClient(**options))
            for _ in range(LOOPS):
                asyncio.run(livepeer.request("GET", "/asset"))


def test_rate_is_shared_by_loops_in_threads(serve):
    rate, size = 40 * PART, 4 * PART

    async def upload_at_rate(livepeer):
        loop = asyncio.get_running_loop()
        await livepeer.upload(make_bytes(size), "video")
        return loop.time()

    with serve() as sandbox:
        livepeer = client_for(sandbox)
        livepeer.throttle.max_rate = rate
        started = asyncio.new_event_loop()
        begin = started.time()
        started.close()
        with ThreadPoolExecutor(4) as pool:
            coroutines = [upload_at_rate(livepeer) for _ in range(4)]
            ends = list(pool.map(asyncio.run, coroutines))
        # All bytes but one block of each, which is sent ahead.
        assert max(ends) - begin >= 4 * (size - 2 * PART) / rate


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts processes as Celery's prefork does")
def test_forked_processes_use_the_client_of_a_module(serve, tmp_path):
    def upload_in_child(number):
        child = os.fork()
        if not child:
            is_done = False
            try:
                for index in range(2):
                    asyncio.run(upload(livepeer, 10 * number + index))
                is_done = True
            finally:
                os._exit(not is_done)
        return os.waitpid(child, 0)[1]

    with serve() as sandbox:
        livepeer = client_for(sandbox, tmp_path / "journal")
        asyncio.run(upload(livepeer, 1))
        with warnings.catch_warnings():
            # Of Python 3.12 and newer, about the thread of the sandbox.
            warnings.simplefilter("ignore", DeprecationWarning)
            assert [upload_in_child(number) for number in (1, 2)] == [0, 0]
        asyncio.run(upload(livepeer, 2))
        assert len(sandbox.assets) == 6


@pytest.mark.parametrize("call", ["ping", "upload", "begin_upload", "upload_many"])
def test_without_asyncio_a_typed_error_is_raised(call):
    """As under trio, the other event loop of anyio."""

    async def use():
        livepeer = AsyncLivepeer("key", base_url="http://127.0.0.1:9/api")
        if call == "upload_many":
            async with livepeer.upload_many([b"bytes"]):
                pass
        elif call == "begin_upload":
            async with livepeer.begin_upload(b"bytes"):
                pass
        else:
            await getattr(livepeer, call)(*([b"bytes"] if call == "upload" else []))

    with pytest.raises(errors.ConfigurationError, match="no event loop of asyncio") as caught:
        use().send(None)
    assert "asyncio.run()" in caught.value.advice


def test_close_ends_the_client_in_each_loop(serve):
    ended = threading.Event()

    async def stay(livepeer):
        await livepeer.ping()
        await until(ended.is_set)
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await livepeer.ping()

    async def close(livepeer):
        with pytest.raises(errors.ConfigurationError, match="close") as caught:
            livepeer.close()
        assert caught.value.advice == "await aclose() there"

    with serve() as sandbox, asyncio.Runner() as runner, ThreadPoolExecutor(1) as pool:
        livepeer = client_for(sandbox)
        runner.run(livepeer.ping())
        staying = pool.submit(asyncio.run, stay(livepeer))
        wait_until(lambda: len(sandbox.requests) == 2)
        asyncio.run(livepeer.ping())
        asyncio.run(close(livepeer))
        livepeer.close()
        ended.set()
        staying.result()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            runner.run(livepeer.ping())
        livepeer.close()
        # A loop that the client doesn't know yet is like a new one.
        asyncio.run(livepeer.ping())
