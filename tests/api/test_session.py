import pytest

from livepeer_async import errors
from livepeer_async.api import calls, requests
from livepeer_async.api.session import Session
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.models import NewAsset
from support.clock import VirtualClock

pytestmark = pytest.mark.anyio
POLICY = RetryPolicy(attempts=3)
ACCOUNT = calls.check_account("https://studio.example/api", "key-1")


class FakeTransport:
    """Returns or raises the given results in turn."""

    def __init__(self, *results):
        self.results = list(results)
        self.requests: list[Request] = []

    async def send(self, request):
        self.requests.append(request)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def send(call, *results, retry=POLICY):
    """Send a call; return its result or error, the delays and the number of requests."""
    clock, transport = VirtualClock(), FakeTransport(*results)
    session = Session(ACCOUNT, transport, retry=retry, clock=clock.as_clock(lambda: 1.0))
    try:
        result = await session.send(call)
    except errors.LivepeerError as error:
        result = error
    return result, clock.sleeps, len(transport.requests)


GET_ASSET = requests.get_asset(ACCOUNT, "a")
REQUEST_UPLOAD = requests.request_upload(ACCOUNT, NewAsset("a"))
ASSET = Response(status=200, body=b'{"id":"a"}')
TICKET = Response(status=200, body=b'{"tusEndpoint":"https://o/t","asset":{"id":"a"}}')
BUSY = Response(status=429, body=b'{"errors":["full"]}')


@pytest.mark.parametrize(
    "failure",
    [
        Response(status=500),
        Response(status=502, body=b"<html>"),
        BUSY,
        errors.ConnectionBroken("cut"),
        errors.TimedOut("late"),
        errors.ConnectFailed("down"),
    ],
)
async def test_read_is_retried_after_a_transient_failure(failure):
    asset, delays, count = await send(GET_ASSET, failure, failure, ASSET)
    assert asset.id == "a"
    assert delays == [0.5, 1.0]
    assert count == 3


async def test_retry_after_is_obeyed():
    busy = Response(status=429, headers={"retry-after": "9"})
    _, delays, _ = await send(GET_ASSET, busy, ASSET)
    assert delays == [9.0]


async def test_full_queue_is_retried_until_busy_timeout():
    policy = RetryPolicy(attempts=2, busy_timeout=60.0)
    error, delays, count = await send(REQUEST_UPLOAD, *[BUSY] * 200, retry=policy)
    assert isinstance(error, errors.TooManyRequests)
    assert 60.0 <= sum(delays) <= 63.0
    assert count > 50


async def test_last_failure_is_raised():
    error, _, count = await send(GET_ASSET, *[Response(status=500)] * 4)
    assert isinstance(error, errors.ServerError)
    assert count == 4
    error, _, _ = await send(GET_ASSET, errors.ConnectionBroken("x"), retry=RetryPolicy(attempts=0))
    assert isinstance(error, errors.ConnectionBroken)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_final_status_is_not_retried(status):
    error, _, count = await send(GET_ASSET, Response(status=status))
    assert isinstance(error, errors.ApiError)
    assert count == 1


@pytest.mark.parametrize("lost", [errors.ConnectionBroken("cut"), errors.TimedOut("late")])
async def test_request_that_may_have_created_an_asset_is_not_retried(lost):
    error, _, count = await send(REQUEST_UPLOAD, lost)
    assert isinstance(error, errors.AmbiguousRequest)
    assert "may have taken effect" in str(error)
    assert error.__cause__ is lost
    assert count == 1


@pytest.mark.parametrize(
    "refusal",
    [BUSY, Response(status=503, headers={"retry-after": "1"}), errors.ConnectFailed("down")],
)
async def test_request_that_created_nothing_is_retried(refusal):
    ticket, _, _ = await send(REQUEST_UPLOAD, refusal, TICKET)
    assert ticket.asset.id == "a"
