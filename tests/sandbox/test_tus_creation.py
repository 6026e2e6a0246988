"""Creations on both storages: plain, with a body, and with a deferred length."""

import pytest

from sandbox.client import (
    BOTH_STORAGES,
    OFFSET_TYPE,
    PART,
    STORAGES,
    TUS,
    assert_text_response,
    open_sandbox,
)

pytestmark = pytest.mark.anyio

NO_CONCATENATION = (
    "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.\n"
)


@BOTH_STORAGES
async def test_creation_returns_location(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        response = await client.post_creation(ticket, **{"Upload-Length": "10"})
        folder = "directUpload%2F" if storage == "s3" else ""
        expected = f"{client.sandbox.base_url}/asset/upload/tus/{folder}{ticket.playback_id}"
        assert (response.status_code, response.content) == (201, b"")
        assert response.headers["location"] == expected
        assert response.headers["livepeer-playback-id"] == ticket.playback_id
        assert response.headers["content-length"] == "0"
        assert "Upload-Offset" in response.headers["access-control-expose-headers"]
        head = await client.head(expected)
        assert head.status_code == 200
        assert head.headers["cache-control"] == "no-store"
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("0", "10")
        assert await client.phase(ticket) == "uploading"


# Headers of the creation, status, body.
CREATIONS = [
    ({"Upload-Length": "10"}, 412, "Tus-Resumable Required\n"),
    ({"Tus-Resumable": "0.2.2", "Upload-Length": "10"}, 400, "Invalid tus-resumable\n"),
    (TUS, 400, "Upload-Length or Upload-Defer-Length header required\n"),
    ({**TUS, "Upload-Length": "abc"}, 400, "Invalid upload-length\n"),
    ({**TUS, "Upload-Length": "-1"}, 400, "Invalid upload-length\n"),
    (
        {**TUS, "Upload-Length": "10", "Upload-Metadata": "filename not*base64 x"},
        400,
        "Invalid upload-metadata\n",
    ),
    (
        {**TUS, "Upload-Length": "10", "Upload-Metadata": "filename x*x"},
        400,
        "Invalid upload-metadata\n",
    ),
    (
        {**TUS, "Upload-Length": "10", "Upload-Concat": "partial"},
        501,
        NO_CONCATENATION,
    ),
    ({**TUS, "Upload-Length": "10", "Tus-Version": "0.2.2"}, 400, "Invalid tus-version\n"),
    (
        {**TUS, "Upload-Length": "10", "X-Forwarded-Proto": "wss"},
        400,
        "Invalid x-forwarded-proto\n",
    ),
]


@BOTH_STORAGES
@pytest.mark.parametrize(("headers", "status", "text"), CREATIONS)
async def test_invalid_creation_is_refused_as_recorded(storage, headers, status, text):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        response = await client.http.post(ticket.tus_endpoint, headers=headers)
        assert_text_response(response, status, text)
        assert response.headers["livepeer-playback-id"] == ticket.playback_id


# Query, status, message.
TOKENS = [
    ("", 401, "Missing uploadToken metadata from /request-upload API"),
    ("?token=garbage", 403, "Invalid signed upload URL: JsonWebTokenError: jwt malformed"),
    ("?token=a.b.c", 403, "Invalid signed upload URL: JsonWebTokenError: invalid signature"),
]


@pytest.mark.parametrize(("query", "status", "sentence"), TOKENS)
async def test_creation_needs_token(query, status, sentence):
    async with open_sandbox() as client:
        response = await client.http.post(
            f"{client.sandbox.base_url}/asset/upload/tus{query}",
            headers={**TUS, "Upload-Length": "10"},
        )
        assert (response.status_code, response.json()) == (status, {"errors": [sentence]})


@pytest.mark.parametrize(
    "headers", [{"Upload-Checksum": "sha1 AAAA"}, {"X-Request-ID": "abc"}, {"Forwarded": "for=x"}]
)
async def test_unsupported_headers_are_ignored(headers):
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        await client.create(ticket, 10, **headers)


async def test_metadata_is_kept_and_ignored():
    metadata = "filename Y2xpcC5tcDQ=,filetype dmlkZW8vbXA0,is_confidential"
    async with open_sandbox() as client:
        ticket = await client.request_upload("named.mp4")
        location = await client.create(ticket, 10, **{"Upload-Metadata": metadata})
        assert (await client.head(location)).headers["upload-metadata"] == metadata
        assert (await client.asset(ticket))["name"] == "named.mp4"


@BOTH_STORAGES
async def test_creation_with_whole_body_completes(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        response = await client.post_creation(
            ticket, b"helloworld", **{"Content-Type": OFFSET_TYPE, "Upload-Length": "10"}
        )
        assert (response.status_code, response.headers["upload-offset"]) == (201, "10")
        assert await client.offset(response.headers["location"]) == 10
        assert (await client.wait(ticket))["size"] == 10
        assert client.sandbox.stored(ticket.playback_id).read_bytes() == b"helloworld"


@pytest.mark.parametrize(("storage", "offset", "status"), [("file", 5, 204), ("s3", 0, 409)])
async def test_creation_with_half_the_body_is_forgotten_by_s3(storage, offset, status):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        response = await client.post_creation(
            ticket, b"hello", **{"Content-Type": OFFSET_TYPE, "Upload-Length": "10"}
        )
        location = response.headers["location"]
        assert response.headers["upload-offset"] == "5"
        assert await client.offset(location) == offset
        assert (await client.patch(location, 5, b"world")).status_code == status


@pytest.mark.parametrize(("storage", "offset"), [("file", "10"), ("s3", "0")])
async def test_upload_of_deferred_length_stays_uploading(storage, offset):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        response = await client.post_creation(ticket, **{"Upload-Defer-Length": "1"})
        location = response.headers["location"]
        head = await client.head(location)
        assert head.headers["upload-defer-length"] == "1"
        assert "upload-length" not in head.headers
        patched = await client.patch(location, 0, b"helloworld")
        assert (patched.status_code, patched.headers["upload-offset"]) == (204, "10")
        assert (await client.head(location)).headers["upload-offset"] == offset
        assert await client.phase(ticket) == "uploading"


@BOTH_STORAGES
async def test_deferred_length_is_set_by_first_patch(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        response = await client.post_creation(ticket, **{"Upload-Defer-Length": "1"})
        location = response.headers["location"]
        await client.patch(location, 0, b"helloworld", **{"Upload-Length": "10"})
        head = await client.head(location)
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("10", "10")
        assert (await client.wait(ticket))["size"] == 10


@pytest.mark.parametrize(
    ("storage", "header"), [("file", "upload-length"), ("s3", "upload-defer-length")]
)
async def test_empty_upload_fails_processing(storage, header):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket, location = await client.begin(0)
        assert header in (await client.head(location)).headers
        failed = await client.wait(ticket, "failed")
        assert "failed to probe or open file" in failed["status"]["errorMessage"]


@pytest.mark.parametrize(
    ("headers", "start"),
    [
        (
            {"X-Forwarded-Host": "livepeer.studio", "X-Forwarded-Proto": "https"},
            "https://livepeer.studio/api/",
        ),
        ({"Host": "up.example:8443"}, "http://up.example:8443/api/"),
    ],
)
async def test_location_follows_forwarded_headers(headers, start):
    async with open_sandbox() as client:
        ticket = await client.request_upload()
        assert (await client.create(ticket, 10, **headers)).startswith(start)


@pytest.mark.parametrize(("storage", "offset", "length"), [("file", 0, "9"), ("s3", PART, None)])
async def test_repeated_creation_does_not_resume(storage, offset, length):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket, location = await client.begin(2 * PART)
        await client.patch(location, 0, bytes(PART))
        assert await client.create(ticket, 9) == location
        head = await client.head(location)
        assert head.headers["upload-offset"] == str(offset)
        assert head.headers["upload-length"] == (length or str(2 * PART))
