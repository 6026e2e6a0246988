import pytest

from livepeer_async import errors
from livepeer_async.api import requests
from livepeer_async.api.session import Session
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.models import NewAsset

pytestmark = pytest.mark.anyio
ACCOUNT = requests.check_account("https://studio.example/api", "key-1")


class Line:
    """A line to a server that answers what it is told to, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def send(self, request):
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def send(call, *answers, attempts=3):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    line = Line(*answers)
    session = Session(
        ACCOUNT, line, retry=RetryPolicy(attempts=attempts), sleep=sleep, jitter=lambda: 1.0
    )
    try:
        return await session.send(call), waits, line
    except errors.LivepeerError as error:
        error.waits, error.asked = waits, len(line.asked)
        raise


ASSET = Response(status=200, body=b'{"id":"a"}')
TICKET = Response(status=200, body=b'{"tusEndpoint":"https://o/t","asset":{"id":"a"}}')
BUSY = Response(status=429, body=b'{"errors":["full"]}')


@pytest.mark.parametrize(
    "retry_event",
    [
        Response(status=500),
        Response(status=502, body=b"<html>"),
        BUSY,
        errors.ConnectionBroken("cut"),
        errors.TimedOut("late"),
        errors.ConnectFailed("down"),
    ],
)
async def test_a_look_is_repeated_after_any_passing_failure(retry_event):
    asset, waits, line = await send(
        requests.get_asset(ACCOUNT, "a"), retry_event, retry_event, ASSET
    )
    assert asset.id == "a"
    assert waits == [0.5, 1.0]
    assert len(line.asked) == 3


async def test_the_server_is_given_the_time_that_it_asks_for():
    busy = Response(status=429, headers={"retry-after": "9"})
    _, waits, _ = await send(requests.get_asset(ACCOUNT, "a"), busy, ASSET)
    assert waits == [9.0]


async def test_a_full_queue_is_waited_out_beyond_the_attempts_but_not_for_ever():
    now = 0.0

    async def sleep(seconds):
        nonlocal now
        now += seconds

    policy = RetryPolicy(attempts=2, busy_timeout=60.0)
    line = Line(*[BUSY] * 200)
    session = Session(
        ACCOUNT, line, retry=policy, sleep=sleep, jitter=lambda: 1.0, clock=lambda: now
    )
    with pytest.raises(errors.TooManyRequests):
        await session.send(requests.request_upload(ACCOUNT, NewAsset("a")))
    assert 60.0 <= now <= 63.0
    assert len(line.asked) > 50


async def test_in_the_end_the_last_failure_is_raised():
    with pytest.raises(errors.ServerError) as caught:
        await send(requests.get_asset(ACCOUNT, "a"), *[Response(status=500)] * 4)
    assert caught.value.asked == 4
    with pytest.raises(errors.ConnectionBroken):
        await send(requests.get_asset(ACCOUNT, "a"), errors.ConnectionBroken("x"), attempts=0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_final_answer_is_not_asked_for_twice(status):
    with pytest.raises(errors.ApiError) as caught:
        await send(requests.get_asset(ACCOUNT, "a"), Response(status=status))
    assert caught.value.asked == 1


@pytest.mark.parametrize("lost", [errors.ConnectionBroken("cut"), errors.TimedOut("late")])
async def test_a_request_that_may_have_made_an_asset_is_not_repeated(lost):
    with pytest.raises(errors.AmbiguousRequest, match="may have been carried out") as caught:
        await send(requests.request_upload(ACCOUNT, NewAsset("x")), lost)
    assert caught.value.asked == 1
    assert caught.value.__cause__ is lost


@pytest.mark.parametrize(
    "refusal",
    [BUSY, Response(status=503, headers={"retry-after": "1"}), errors.ConnectFailed("down")],
)
async def test_a_request_that_surely_made_nothing_is_repeated(refusal):
    ticket, _, _ = await send(requests.request_upload(ACCOUNT, NewAsset("x")), refusal, TICKET)
    assert ticket.asset.id == "a"
