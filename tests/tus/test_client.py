"""`TusClient` over real sockets, against the sandbox."""

import hashlib
from contextlib import suppress

import httpx
import pytest
from msgspec.structs import replace

from livepeer_async.errors import (
    ConfigurationError,
    NetworkError,
    ProtocolError,
    RetriesExhausted,
    SourceChanged,
    SourceEmpty,
    SourceNotReadable,
    SourceTooLarge,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.sandbox import (
    Answer,
    ChangeHeaders,
    CutConnection,
    Fault,
    LoseAnswer,
    On,
    Redirect,
    Sandbox,
)
from livepeer_async.tus import ServerLimits, TusClient, livepeer_limits
from support.constants import KIB
from support.streams import split

pytestmark = pytest.mark.anyio

CONTENT = hashlib.shake_128(b"livepeer").digest(300_000)

RETRY = RetryPolicy(first_delay=0.01, max_delay=0.05)
SMALL = ServerLimits(first_chunk=64 * KIB, max_chunk=64 * KIB)
TUS = {"tus-version": "1.0.0", "tus-extension": "creation,creation-with-upload"}


class Studio:
    """A sandbox and the upload of a test."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.playback_id = ""

    async def ticket(self):
        """Request an upload and return its tus endpoint."""
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.post(
                f"{self.sandbox.base_url}/asset/request-upload",
                headers={"Authorization": f"Bearer {self.sandbox.api_key}"},
                json={"name": "x"},
            )
        self.playback_id = response.json()["asset"]["playbackId"]
        return response.json()["tusEndpoint"]

    def fail(self, method, action, **more):
        """Inject a fault into the next request of a method."""
        on = On(method=method, path="/asset/upload/tus", **{"nth": 1} | more)
        return self.sandbox.add_fault(Fault(on, action))

    def stored(self):
        return self.sandbox.stored(self.playback_id).read_bytes()

    def tus_requests(self):
        """Return the method and the received bytes of each tus request."""
        requests = [r for r in self.sandbox.requests if "/asset/upload/tus" in r.path]
        return [(request.method, request.received) for request in requests]


@pytest.fixture
async def studio():
    async with Sandbox(storage="file") as sandbox:
        yield Studio(sandbox)


@pytest.fixture
async def client():
    async with TusClient(retry=RETRY, limits=SMALL) as client:
        yield client


async def test_upload_returns_its_url(studio, client):
    reported = []
    upload_url = await client.upload(CONTENT, await studio.ticket(), on_sent=reported.append)
    assert studio.stored() == CONTENT
    assert upload_url.endswith(studio.playback_id)
    assert "token" not in upload_url
    assert reported[-1] == len(CONTENT)


@pytest.mark.parametrize("action", [LoseAnswer(), CutConnection(after_bytes=30_000)])
async def test_interrupted_upload_continues(studio, client, action):
    endpoint = await studio.ticket()
    studio.fail("PATCH", action)
    await client.upload(CONTENT, endpoint)
    assert studio.stored() == CONTENT
    methods = [method for method, _ in studio.tus_requests()]
    assert methods[:4] == ["POST", "PATCH", "HEAD", "PATCH"]


async def test_file_is_uploaded(studio, client, tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(CONTENT)
    await client.upload(path, await studio.ticket(), metadata={"filename": "talk.mp4", "empty": ""})
    assert studio.stored() == CONTENT


async def test_empty_metadata_value_is_sent(studio, client):
    await client.upload(CONTENT, await studio.ticket(), metadata={"empty": ""})
    assert studio.stored() == CONTENT


async def test_failed_upload_can_be_resumed(studio):
    endpoint = await studio.ticket()
    studio.fail("PATCH", CutConnection(after_bytes=30_000), nth=2)
    async with TusClient(retry=RetryPolicy(attempts=0), limits=SMALL) as client:
        with pytest.raises(RetriesExhausted) as caught:
            await client.upload(CONTENT, endpoint)
        upload_url = caught.value.upload_url
        assert await client.upload(
            split(CONTENT, 70_000), upload_url=upload_url, length=len(CONTENT)
        )
    assert studio.stored() == CONTENT


async def test_source_of_another_length_cannot_resume(studio):
    endpoint = await studio.ticket()
    studio.fail("PATCH", CutConnection(after_bytes=30_000))
    async with TusClient(retry=RetryPolicy(attempts=0), limits=SMALL) as client:
        with pytest.raises(RetriesExhausted) as caught:
            await client.upload(CONTENT, endpoint)
        with pytest.raises(UploadGone, match="Upload-Length is 300000; wanted 299999"):
            await client.upload(CONTENT[:-1], upload_url=caught.value.upload_url)


@pytest.mark.parametrize("length", [None, len(CONTENT)])
async def test_stream_is_uploaded(studio, client, length):
    await client.upload(split(CONTENT, 70_000), await studio.ticket(), length=length)
    assert studio.stored() == CONTENT


async def test_stream_of_deferred_length_is_uploaded(studio, client):
    endpoint = await studio.ticket()
    studio.fail("PATCH", LoseAnswer(), nth=3)
    await client.upload(split(CONTENT, 70_000), endpoint, defer_length=True)
    assert studio.stored() == CONTENT
    assert max(received for _, received in studio.tus_requests()) == 64 * KIB


async def test_stream_never_raises_a_limit(studio):
    async with TusClient(limits=SMALL) as client:
        await client.upload(split(CONTENT, 70_000), await studio.ticket(), length=len(CONTENT))
    assert max(received for _, received in studio.tus_requests()) == 64 * KIB


async def test_stream_can_have_large_parts(studio):
    limits = ServerLimits(align=9 * KIB * KIB, tail_alone=True, first_chunk=9 * KIB * KIB)
    async with TusClient(limits=limits) as client:
        await client.upload(split(CONTENT, 70_000), await studio.ticket(), length=len(CONTENT))
    assert studio.stored() == CONTENT


async def test_patch_is_overridden(studio):
    async with TusClient(limits=replace(SMALL, override_patch=True)) as client:
        await client.upload(CONTENT, await studio.ticket())
    assert studio.stored() == CONTENT
    assert {method for method, _ in studio.tus_requests()} == {"POST"}


async def test_livepeer_limits_violate_no_rule():
    async with Sandbox(storage="s3", part_size=64 * KIB, min_piece=40 * KIB) as sandbox:
        studio = Studio(sandbox)
        endpoint = await studio.ticket()
        limits = replace(livepeer_limits(1), align=64 * KIB, first_chunk=64 * KIB, settle=0.2)
        limits = replace(limits, with_creation=64 * KIB, max_chunk=128 * KIB)
        studio.fail("PATCH", CutConnection(after_bytes=100 * KIB), nth=2)
        async with TusClient(limits=limits, retry=RETRY) as client:
            await client.upload(CONTENT, endpoint)
        assert studio.stored() == CONTENT
        assert not sandbox.violations


async def test_options_are_requested_from_each_endpoint(studio):
    options = studio.sandbox.add_fault(Fault(On(method="OPTIONS"), ChangeHeaders(put=TUS)))
    async with TusClient() as client:
        for _ in range(2):
            endpoint = await studio.ticket()
            await client.upload(CONTENT, endpoint)
            assert studio.stored() == CONTENT
            await client.upload(CONTENT[:5], await studio.ticket())
    methods = [method for method, _ in studio.tus_requests()]
    # Each ticket has an endpoint of its own, and each upload was sent with its creation.
    assert methods == ["OPTIONS", "POST"] * 4
    assert options in studio.sandbox.faults


async def test_options_are_requested_once_per_endpoint(studio):
    endpoint = await studio.ticket()
    async with TusClient() as client:
        await client.upload(CONTENT, endpoint)
        # Refused if the first one is already complete.
        with suppress(UploadRefused):
            await client.upload(CONTENT, endpoint)
    assert [method for method, _ in studio.tus_requests()].count("OPTIONS") == 1


async def test_length_above_the_listed_maximum_sends_nothing(studio):
    limit = {"tus-max-size": "299999"}
    studio.sandbox.add_fault(Fault(On(method="OPTIONS"), ChangeHeaders(put=TUS | limit)))
    async with TusClient() as client:
        with pytest.raises(SourceTooLarge):
            await client.upload(CONTENT, await studio.ticket())
    assert [method for method, _ in studio.tus_requests()] == ["OPTIONS"]


@pytest.mark.parametrize(
    "action",
    [CutConnection(), Answer(500), Answer(404), Answer(200, b"<html>" * 20_000)],
    ids=["cut", "500", "404", "page"],
)
async def test_server_without_usable_options_is_used(studio, action):
    endpoint = await studio.ticket()
    studio.fail("OPTIONS", action, nth=None)
    async with TusClient(retry=RETRY) as client:
        await client.upload(CONTENT, endpoint)
    assert studio.stored() == CONTENT


async def test_discovery_raises_network_errors(studio):
    studio.fail("OPTIONS", CutConnection(), nth=None)
    async with TusClient() as client:
        with pytest.raises(NetworkError):
            await client.discover(await studio.ticket())


async def test_termination_succeeds_or_is_refused(studio, client):
    endpoint = await studio.ticket()
    upload_url = await client.upload(CONTENT, endpoint)
    studio.fail("DELETE", Answer(403, b"not yours"))
    with pytest.raises(UploadRefused, match="not yours"):
        await client.terminate(upload_url)
    await client.terminate(upload_url)
    await client.terminate(upload_url)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "Location is missing"),
        ("http://evil.example/1", "is on another host"),
        ("ftp://evil.example/1", "neither http nor https"),
        ("http://[::1/1", "wanted a URL"),
    ],
)
async def test_client_rejects_an_unusable_location(studio, client, location, message):
    endpoint = await studio.ticket()
    studio.fail("POST", ChangeHeaders(put={"location": location}, remove=("location",)))
    with pytest.raises(ProtocolError, match=message):
        await client.upload(CONTENT, endpoint)


async def test_redirect_is_refused(studio, client):
    endpoint = await studio.ticket()
    studio.fail("PATCH", Redirect("http://evil.example/1"))
    with pytest.raises(UploadRefused, match="redirects are not followed"):
        await client.upload(CONTENT, endpoint)


@pytest.mark.parametrize("offset", ["", "12x", "-1", "1e3"])
async def test_invalid_offset_is_requested_again(studio, client, offset):
    endpoint = await studio.ticket()
    studio.fail("PATCH", ChangeHeaders(put={"upload-offset": offset}))
    await client.upload(CONTENT, endpoint)
    assert studio.stored() == CONTENT


async def test_long_page_of_a_proxy_is_an_interruption(studio, client):
    endpoint = await studio.ticket()
    studio.fail("PATCH", Answer(502, b"<html>" * 20_000))
    await client.upload(CONTENT, endpoint)
    assert studio.stored() == CONTENT


async def test_header_is_sent_and_not_quoted_in_messages(studio):
    key = "made-up-key-123"
    headers = {"Authorization": f"Bearer {key}", "X-Short": "gzip", "X-Empty": ""}
    endpoint = await studio.ticket()
    studio.fail("PATCH", Answer(401, f"no token {key} found".encode()))
    async with TusClient(headers=headers, limits=SMALL) as client:
        with pytest.raises(UploadRefused) as caught:
            await client.upload(CONTENT, endpoint)
    assert "no token *** found" in str(caught.value)
    patches = [r for r in studio.sandbox.requests if r.method == "PATCH"]
    assert all(request.is_authorized for request in patches)


@pytest.mark.parametrize(
    ("source", "error"),
    [(b"", SourceEmpty), (7, ConfigurationError), ("/nowhere/talk.mp4", SourceNotReadable)],
)
async def test_unusable_source_is_an_error(studio, client, source, error):
    with pytest.raises(error):
        await client.upload(source, await studio.ticket())


async def test_file_cannot_defer_its_length(studio, client):
    with pytest.raises(ConfigurationError):
        await client.upload(CONTENT, await studio.ticket(), defer_length=True)


async def test_stream_longer_than_its_length_has_changed(studio, client):
    with pytest.raises(SourceChanged, match="has more than"):
        await client.upload(split(CONTENT, 70_000), await studio.ticket(), length=len(CONTENT) - 1)


async def test_given_client_stays_open(studio):
    async with httpx.AsyncClient(trust_env=False) as http:
        async with TusClient(http_client=http, limits=SMALL) as client:
            await client.upload(CONTENT, await studio.ticket())
        assert not http.is_closed
    assert studio.stored() == CONTENT
