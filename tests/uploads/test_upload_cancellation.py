"""Uploads that the caller ends, by a cancellation or an exception."""

import asyncio
from functools import partial

import anyio
import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import Answer, Fault, On, Stall
from livepeer_async.uploads import asset_requests
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
ENDLESS = RetryPolicy(attempts=10**9, first_delay=0.01, max_delay=0.05)


async def test_exception_in_the_block_keeps_a_resumable_upload():
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            async with livepeer.begin_upload(make_bytes(64 * PART), "x") as upload:
                async for progress in upload.progress():
                    if progress.sent > 3 * PART:
                        raise ZeroDivisionError
        assert not upload.is_done
        with pytest.raises(errors.ConfigurationError, match="no result"):
            _ = upload.result
        assert upload.upload_url is not None
        assert [asset.is_deleted for asset in sandbox.assets] == [False]


async def test_client_is_usable_after_cancelled_uploads():
    async with sandbox_and_client(client={"retry": ENDLESS}, **SMALL_S3) as (sandbox, livepeer):
        for delay in (0.0, 0.01, 0.03, 0.1):
            sandbox.faults[:] = [Fault(On(method="PATCH"), Answer(500))]
            with anyio.fail_after(TIMEOUT), anyio.move_on_after(delay):
                await livepeer.upload(make_bytes(64 * PART), "x")
        sandbox.faults.clear()
        asset = await livepeer.upload(make_bytes(5 * PART), "y")
        assert is_stored(sandbox, asset, make_bytes(5 * PART))


async def test_failing_callback_leaves_no_asset():
    def fails(progress):
        raise ZeroDivisionError

    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            await livepeer.upload(make_bytes(100), "x", on_progress=fails)
        assert all(asset.is_deleted for asset in sandbox.assets)


async def test_exception_group_of_the_caller_is_kept():
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(ExceptionGroup) as caught:
            async with livepeer.begin_upload(make_bytes(64 * PART), "x"):
                raise ExceptionGroup("mine", [ValueError("a"), KeyError("b")])
        assert len(caught.value.exceptions) == 2


async def cancel_once(function, *, condition, method="scope"):
    """Run a coroutine function, cancel it once a condition holds, and wait for its end."""
    scope = anyio.CancelScope()

    async def run():
        with scope:
            await function()

    task = asyncio.create_task(run())
    await until(condition)
    (scope if method == "scope" else task).cancel()
    ended, _ = await asyncio.wait([task], timeout=TIMEOUT)
    assert ended
    assert scope.cancelled_caught if method == "scope" else task.cancelled()


@pytest.mark.parametrize("method", ["scope", "task"])
async def test_cancellation_with_a_ticket_in_flight_leaves_no_asset(method, monkeypatch):
    for name in ("TICKET_TIMEOUT", "TICKET_DISCARD_TIMEOUT"):
        monkeypatch.setattr(asset_requests, name, TIMEOUT)
    slow = Fault(On(path="request-upload"), Stall(0.3))
    async with sandbox_and_client(slow) as (sandbox, livepeer):
        function = partial(livepeer.upload, make_bytes(100), "x")
        await cancel_once(function, condition=lambda: slow.fired, method=method)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


async def test_cancellation_does_not_wait_for_a_stalled_ticket():
    stalled = Fault(On(path="request-upload"), Stall(VERY_LONG))
    limits = {"timeout": Timeouts(stall=VERY_LONG, answer=VERY_LONG)}
    async with sandbox_and_client(stalled, client=limits) as (_, livepeer):
        await cancel_once(
            partial(livepeer.upload, make_bytes(100), "x"), condition=lambda: stalled.fired
        )
