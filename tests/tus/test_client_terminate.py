"""`TusClient.terminate`: transient failures are retried, final ones raised."""

import pytest

from livepeer_async.errors import ConnectFailed, RetriesExhausted, UploadRefused
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import TusClient
from tus.faulty_server import run_server

pytestmark = pytest.mark.anyio

RETRY = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)


async def new_upload(server, tus):
    url = await tus.upload(bytes(1000), server.endpoint)
    server.requests.clear()
    return url


@pytest.mark.parametrize(
    "response",
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
async def test_transient_failures_are_retried(response):
    async with (
        run_server(script={"DELETE": [response] * 3}) as server,
        TusClient(retry=RETRY) as tus,
    ):
        await tus.terminate(await new_upload(server, tus))
        assert not server.uploads
    assert server.methods == ["DELETE"] * 4


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 412, 413, 422])
async def test_final_status_is_raised_at_once(status):
    script = {"DELETE": [(status, {})]}
    async with run_server(script=script) as server, TusClient(retry=RETRY) as tus:
        url = await new_upload(server, tus)
        with pytest.raises(UploadRefused) as caught:
            await tus.terminate(url)
    assert (caught.value.status, caught.value.upload_url) == (status, url)
    assert server.methods == ["DELETE"]


@pytest.mark.parametrize("status", [200, 204, 404, 410])
async def test_unknown_upload_counts_as_terminated(status):
    script = {"DELETE": [(423, {}), (status, {})]}
    async with run_server(script=script) as server, TusClient(retry=RETRY) as tus:
        await tus.terminate(await new_upload(server, tus))
    assert server.methods == ["DELETE"] * 2


@pytest.mark.parametrize("response", [(423, {}), (500, {}), (None, {})])
async def test_persistent_failures_exhaust_retries(response):
    async with (
        run_server(script={"DELETE": [response] * 9}) as server,
        TusClient(retry=RETRY) as tus,
    ):
        url = await new_upload(server, tus)
        with pytest.raises(RetriesExhausted) as caught:
            await tus.terminate(url)
        assert server.uploads
    assert (caught.value.attempts, caught.value.upload_url) == (4, url)
    assert server.methods.count("DELETE") == 4
    assert url not in str(caught.value)


async def test_too_long_retry_after_ends_the_termination():
    script = {"DELETE": [(503, {"Retry-After": "601"})]}
    async with run_server(script=script) as server, TusClient(retry=RETRY) as tus:
        with pytest.raises(RetriesExhausted):
            await tus.terminate(await new_upload(server, tus))
    assert server.methods.count("DELETE") == 1


# @tus/s3-store 1.0.0 responds to a second DELETE with 500.
async def test_lost_termination_response_is_not_a_failure():
    script = {"DELETE": [(None, {})] + [(500, {})] * 3}
    async with run_server(script=script) as server, TusClient(retry=RETRY) as tus:
        url = await new_upload(server, tus)
        server.uploads.clear()
        await tus.terminate(url)


async def test_unreachable_server_is_the_cause():
    async with run_server() as server:
        pass
    async with TusClient(retry=RETRY) as tus:
        with pytest.raises(RetriesExhausted) as caught:
            await tus.terminate(f"{server.endpoint}/1")
    assert isinstance(caught.value.__cause__, ConnectFailed)
