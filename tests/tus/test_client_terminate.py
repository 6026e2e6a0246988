"""`TusClient.terminate`: what passes is waited out, what is final is raised."""

import pytest

from livepeer_async.errors import ConnectFailed, RetriesExhausted, UploadRefused
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import TusClient
from tus.sloppy import sloppy

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)


async def begun(server, tus):
    url = await tus.upload(bytes(1000), server.endpoint)
    server.requests.clear()
    return url


@pytest.mark.parametrize(
    "answer",
    [
        (423, {}),
        (429, {"Retry-After": "0"}),
        (429, {}),
        (408, {}),
        (409, {}),
        (425, {}),
        (500, {}),
        (502, {}),
        (503, {"Retry-After": "0"}),
        (504, {}),
        (None, {}),
    ],
)
async def test_passing_trouble_is_waited_out(answer):
    async with sloppy(script={"DELETE": [answer] * 3}) as server, TusClient(retry=QUICK) as tus:
        await tus.terminate(await begun(server, tus))
        assert not server.uploads
    assert server.methods == ["DELETE"] * 4


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 412, 413, 422])
async def test_final_answer_is_raised_at_once(status):
    script = {"DELETE": [(status, {})]}
    async with sloppy(script=script) as server, TusClient(retry=QUICK) as tus:
        url = await begun(server, tus)
        with pytest.raises(UploadRefused) as caught:
            await tus.terminate(url)
    assert (caught.value.status, caught.value.upload_url) == (status, url)
    assert server.methods == ["DELETE"]


@pytest.mark.parametrize("status", [200, 204, 404, 410])
async def test_upload_that_is_gone_is_terminated(status):
    script = {"DELETE": [(423, {}), (status, {})]}
    async with sloppy(script=script) as server, TusClient(retry=QUICK) as tus:
        await tus.terminate(await begun(server, tus))
    assert server.methods == ["DELETE"] * 2


@pytest.mark.parametrize("answer", [(423, {}), (500, {}), (None, {})])
async def test_trouble_that_stays_ends_the_attempts(answer):
    async with sloppy(script={"DELETE": [answer] * 9}) as server, TusClient(retry=QUICK) as tus:
        url = await begun(server, tus)
        with pytest.raises(RetriesExhausted) as caught:
            await tus.terminate(url)
        assert server.uploads
    assert (caught.value.attempts, caught.value.upload_url) == (4, url)
    assert server.methods.count("DELETE") == 4
    assert url not in str(caught.value)


async def test_time_that_the_server_asks_for_is_obeyed_or_too_long():
    script = {"DELETE": [(503, {"Retry-After": "601"})]}
    async with sloppy(script=script) as server, TusClient(retry=QUICK) as tus:
        with pytest.raises(RetriesExhausted):
            await tus.terminate(await begun(server, tus))
    assert server.methods.count("DELETE") == 1


# @tus/s3-store 1.0.0 answers a second DELETE with 500.
async def test_lost_answer_to_a_termination_is_no_failure():
    script = {"DELETE": [(None, {})] + [(500, {})] * 3}
    async with sloppy(script=script) as server, TusClient(retry=QUICK) as tus:
        url = await begun(server, tus)
        server.uploads.clear()
        await tus.terminate(url)


async def test_server_that_is_away_is_named():
    async with sloppy() as server:
        pass
    async with TusClient(retry=QUICK) as tus:
        with pytest.raises(RetriesExhausted) as caught:
            await tus.terminate(f"{server.endpoint}/1")
    assert isinstance(caught.value.__cause__, ConnectFailed)
