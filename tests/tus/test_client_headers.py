"""Given headers beside the protocol's: compared without case, and each sent once."""

import pytest

from livepeer_async.errors import UploadRefused
from livepeer_async.tus import ServerLimits, TusClient
from support.libraries import LIBRARIES
from tus.faulty_server import run_server

pytestmark = pytest.mark.anyio

CONTENT = bytes(1000)
LIMITS = ServerLimits(first_chunk=600)
PROTOCOL_HEADERS = {
    "tus-resumable": "0.2.2",
    "upload-offset": "7",
    "upload-length": "7",
    "upload-defer-length": "1",
    "content-type": "text/plain",
    "content-length": "7",
    "transfer-encoding": "chunked",
    "host": "other.example",
    "x-http-method-override": "DELETE",
}
SPELLINGS = [str.lower, str.title, str.upper]


async def sent(headers, **options):
    """Upload, terminate, and return the requests."""
    async with run_server() as server, TusClient(headers=headers, limits=LIMITS, **options) as tus:
        await tus.discover(server.endpoint)
        url = await tus.upload(CONTENT, server.endpoint, metadata={"a": "b"})
        assert server.stored(url) == CONTENT
        await tus.upload(CONTENT, upload_url=url)
        await tus.terminate(url)
    assert server.methods == ["OPTIONS", "POST", "PATCH", "PATCH", "HEAD", "DELETE"]
    return server.requests


def without_id(requests):
    """Return the headers without those that differ between runs."""
    varying = {"x-request-id", "host"}
    return [sorted(pair for pair in r.headers if pair[0] not in varying) for r in requests]


@pytest.mark.parametrize("spell", SPELLINGS)
async def test_headers_of_the_protocol_are_ignored(spell):
    requests = await sent({spell(name): value for name, value in PROTOCOL_HEADERS.items()})
    assert without_id(requests) == without_id(await sent({}))
    assert all(PROTOCOL_HEADERS["host"] not in request.values("host") for request in requests)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_protocol_headers_are_ignored_with_a_given_client(library):
    async with library.AsyncClient(trust_env=False) as client:
        requests = await sent(PROTOCOL_HEADERS, http_client=client)
    assert without_id(requests) == without_id(await sent({}))


@pytest.mark.parametrize("spell", SPELLINGS)
async def test_given_header_is_sent_once(spell):
    names = ["x-request-id", "user-agent", "accept", "accept-encoding", "authorization", "x-mine"]
    requests = await sent({spell(name): "identity" for name in names})
    for request in requests:
        assert [request.values(name) for name in names] == [["identity"]] * len(names)


async def test_header_given_twice_is_sent_once():
    requests = await sent({"X-Mine": "1", "x-mine": "2"})
    assert all(request.values("x-mine") == ["2"] for request in requests)


async def test_metadata_replaces_a_given_header():
    requests = await sent({"upload-metadata": "mine"})
    assert requests[1].values("upload-metadata") == ["a Yg=="]


@pytest.mark.parametrize("name", ["x-request-id", "X-REQUEST-ID"])
async def test_errors_have_the_given_request_id(name):
    script = {"PATCH": [(403, {})]}
    async with run_server(script=script) as server, TusClient(headers={name: "mine"}) as tus:
        with pytest.raises(UploadRefused) as caught:
            await tus.upload(CONTENT, server.endpoint)
    assert caught.value.request_id == "mine"


async def test_empty_request_id_is_replaced():
    requests = await sent({"x-request-id": ""})
    ids = [request.values("x-request-id") for request in requests]
    assert all(len(values) == 1 and values[0] for values in ids)
