"""One upload that its caller ends: by leaving, by cancelling, by an error of the caller's own."""

import asyncio
from functools import partial

import anyio
import pytest

from livepeer_async import Timeouts, errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import Answer, Fault, On, Stall
from livepeer_async.uploads import asset_requests
from support.clock import until
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
# Of one who must not be waited for, and when a test that does is over.
FOR_EVER = 1000.0
LIMIT = 30.0
ENDLESS = RetryPolicy(attempts=10**9, first_delay=0.01, max_delay=0.05)


async def test_leaving_the_block_early_leaves_what_can_be_resumed():
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


async def test_a_cancelled_upload_ends_at_once_and_the_client_goes_on():
    async with sandbox_and_client(client={"retry": ENDLESS}, **SMALL_S3) as (sandbox, livepeer):
        for delay in (0.0, 0.01, 0.03, 0.1):
            sandbox.faults[:] = [Fault(On(method="PATCH"), Answer(500))]
            with anyio.fail_after(LIMIT), anyio.move_on_after(delay):
                await livepeer.upload(make_bytes(64 * PART), "x")
        sandbox.faults.clear()
        asset = await livepeer.upload(make_bytes(5 * PART), "y")
        assert is_stored(sandbox, asset, make_bytes(5 * PART))


async def test_an_error_of_the_callers_own_code_leaves_no_useless_asset():
    def fails(progress):
        raise ZeroDivisionError

    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ZeroDivisionError):
            await livepeer.upload(make_bytes(100), "x", on_progress=fails)
        assert all(asset.is_deleted for asset in sandbox.assets)


async def test_a_group_that_the_caller_raises_stays_a_group():
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(ExceptionGroup) as caught:
            async with livepeer.begin_upload(make_bytes(64 * PART), "x"):
                raise ExceptionGroup("mine", [ValueError("a"), KeyError("b")])
        assert len(caught.value.exceptions) == 2


async def cancelled(make, *, once, how="scope"):
    """Cancel something as soon as a condition holds, and wait until it has ended."""
    scope = anyio.CancelScope()

    async def run():
        with scope:
            await make()

    task = asyncio.create_task(run())
    await until(once)
    (scope if how == "scope" else task).cancel()
    ended, _ = await asyncio.wait([task], timeout=LIMIT)
    assert ended
    assert scope.cancelled_caught if how == "scope" else task.cancelled()


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_cancelling_while_a_ticket_is_on_its_way_leaves_no_asset(how, monkeypatch):
    for name in ("TICKET_TIMEOUT", "GIVE_BACK_TIMEOUT"):
        monkeypatch.setattr(asset_requests, name, LIMIT)
    slow = Fault(On(path="request-upload"), Stall(0.3))
    async with sandbox_and_client(slow) as (sandbox, livepeer):
        make = partial(livepeer.upload, make_bytes(100), "x")
        await cancelled(make, once=lambda: slow.fired, how=how)
        assert [asset.is_deleted for asset in sandbox.assets] == [True]


async def test_cancelling_does_not_wait_for_a_ticket_that_never_comes():
    never = Fault(On(path="request-upload"), Stall(FOR_EVER))
    limits = {"timeout": Timeouts(stall=FOR_EVER, answer=FOR_EVER)}
    async with sandbox_and_client(never, client=limits) as (_, livepeer):
        await cancelled(partial(livepeer.upload, make_bytes(100), "x"), once=lambda: never.fired)
