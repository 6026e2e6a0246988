"""Retries of the driver: waits, repeated requests, and when it gives up."""

import pytest

from livepeer_async.errors import (
    DecodeError,
    ProtocolError,
    RetriesExhausted,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.retry import RetryPolicy
from tus.network import CONTENT, LIVEPEER, Network, run, source_of, upload_of
from tus.servers import ENDPOINT, Answer, Cut, Garble, LoseAnswer, NotConnected, S3Store

pytestmark = pytest.mark.anyio


async def test_interrupted_patch_requests_the_offset():
    network = Network(faults=[None, Cut(3)])
    upload = await run(network)
    assert network.stored(upload) == CONTENT
    assert network.methods()[:4] == ["POST", "PATCH", "HEAD", "PATCH"]
    assert network.requests[3].headers["Upload-Offset"] == "3"


async def test_waits_double_until_the_offset_moves():
    # PATCHes are cut before or after their first byte.
    network = Network(faults=[None, Cut(0), None, Cut(0), None, Cut(1), None, Cut(0)])
    await run(network)
    assert [seconds for seconds in network.sleeps if seconds] == [1.0, 2.0, 4.0, 1.0]


async def test_attempts_count_since_the_offset_last_rose():
    faults = [None]
    for _ in range(10):
        faults += [Cut(0), None, Cut(0), None, Cut(1), None]
    network = Network(faults=faults)
    upload = await run(network, retry=RetryPolicy(attempts=3))
    assert network.stored(upload) == CONTENT


async def test_upload_without_progress_exhausts_retries():
    network = Network(faults=[None, *[Answer(503)] * 9])
    upload = upload_of()
    with pytest.raises(RetriesExhausted) as caught:
        await run(network, upload)
    error = caught.value
    assert (error.attempts, error.upload_url) == (4, upload.upload_url)
    assert str(error).startswith("no progress beyond byte 0 after 4 failures; the last: 503 from")
    # It can be resumed.
    network.faults.clear()
    await run(network, upload_of(upload_url=error.upload_url))
    assert network.stored(upload) == CONTENT


async def test_offset_that_never_settles_exhausts_retries():
    network = Network(S3Store(), faults=[None, Cut(3)])
    network.faults += [Garble(str(8 * (count % 2))) for count in range(20)]
    with pytest.raises(RetriesExhausted, match="moved from 0 to 8 by itself"):
        await run(network, upload_of(limits=LIVEPEER))


async def test_retry_after_is_obeyed():
    network = Network(faults=[Answer(429, {"retry-after": "33"}), None, Answer(503), None])
    await run(network)
    assert [seconds for seconds in network.sleeps if seconds] == [33.0, 1.0]


async def test_only_the_wait_beyond_retry_after_may_end_early():
    async def end_early(seconds):
        shortened.append(seconds)

    shortened = []
    network = Network(faults=[None, Answer(503, {"retry-after": "3"}), None, Answer(503), None])
    await run(network, wait_to_retry=end_early)
    assert [seconds for seconds in network.sleeps if seconds] == [3.0]
    assert shortened == [2.0]


async def test_too_long_retry_after_ends_the_upload():
    network = Network(faults=[Answer(429, {"retry-after": "601"})])
    with pytest.raises(RetriesExhausted) as caught:
        await run(network)
    assert (caught.value.attempts, caught.value.upload_url) == (1, None)


async def test_offset_must_settle():
    network = Network(S3Store(), faults=[None, Cut(3)])
    upload = await run(network, upload_of(limits=LIVEPEER), retry=RetryPolicy(first_delay=0.0))
    assert network.stored(upload) == CONTENT
    assert network.methods() == ["POST", "PATCH", "HEAD", "HEAD", "PATCH", "HEAD", *["PATCH"] * 4]
    assert network.sleeps == [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, *[0.0] * 4]


@pytest.mark.parametrize("status", [400, 401, 403, 415, 301])
async def test_final_status_ends_the_upload(status):
    network = Network(faults=[None, Answer(status)])
    upload = upload_of()
    with pytest.raises(UploadRefused) as caught:
        await run(network, upload)
    assert (caught.value.status, caught.value.upload_url) == (status, upload.upload_url)
    assert upload.upload_url is not None


@pytest.mark.parametrize("status", [404, 410])
async def test_unknown_upload_raises_upload_gone(status):
    with pytest.raises(UploadGone, match=f"the upload is lost: {status} from PATCH") as caught:
        await run(Network(faults=[None, Answer(status)]))
    assert caught.value.upload_url is None


async def test_lost_creation_is_not_repeated_if_created_once():
    network = Network(S3Store(), faults=[LoseAnswer()])
    with pytest.raises(UploadGone, match="the creation may have happened: cut"):
        await run(network, upload_of(limits=LIVEPEER))
    assert network.methods() == ["POST"]


async def test_creation_without_a_connection_is_repeated():
    network = Network(S3Store(), faults=[NotConnected(), Answer(503, {"retry-after": "5"})])
    upload = await run(network, upload_of(limits=LIVEPEER))
    assert network.stored(upload) == CONTENT
    assert network.sleeps[:3] == [0.0, 1.0, 5.0]


async def test_unusable_location_ends_the_upload():
    elsewhere = Answer(201, {"location": "https://evil.example/1"})
    with pytest.raises(ProtocolError, match="on another host") as caught:
        await run(Network(faults=[elsewhere]))
    assert caught.value.upload_url is None


async def test_too_long_response_is_an_interruption():
    too_long = DecodeError("the response is larger than 65536 bytes", path="$")
    network = Network(faults=[None, too_long, too_long])
    assert network.stored(await run(network)) == CONTENT


async def test_failures_of_chunks_and_heads_are_counted_apart():
    # The first three attempts of each chunk fail, and two HEADs after each.
    faults = [None]
    for _ in range(5):
        faults += [*[Cut(0), Answer(500), Answer(500), None] * 3, None]
    network = Network(faults=faults)
    assert network.stored(await run(network)) == CONTENT
    assert not network.faults


async def test_failing_heads_exhaust_retries():
    network = Network(faults=[None, Cut(0), *[Answer(500)] * 9])
    with pytest.raises(RetriesExhausted, match="after 4 failures"):
        await run(network)
    assert network.methods() == ["POST", "PATCH", *["HEAD"] * 3]


async def test_find_offset_sends_no_bytes():
    network = Network(faults=[None, Cut(3)])
    upload = upload_of()
    driver = network.driver(upload, source_of())
    network.faults.append(RuntimeError("stop"))
    with pytest.raises(RuntimeError):
        await driver.run()
    found = upload_of(upload_url=upload.upload_url)
    await network.driver(found, source_of()).find_offset()
    assert found.offset == 3
    assert network.methods() == ["POST", "PATCH", "HEAD", "HEAD"]


async def test_find_offset_fails_for_an_unknown_upload():
    network = Network(faults=[Answer(404)])
    with pytest.raises(UploadGone, match="404 from HEAD"):
        await network.driver(upload_of(upload_url=f"{ENDPOINT}/1"), source_of()).find_offset()
