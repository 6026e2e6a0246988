"""Creations of uploads on both storages: sections 3 to 6, with bodies and without a length."""

import pytest

from sandbox.dialect import BOTH, STORAGES, check_text
from sandbox.wire import OFFSET_TYPE, PART, TUS, open_sandbox

pytestmark = pytest.mark.anyio

NO_CONCATENATION = (
    "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.\n"
)


@BOTH
async def test_a_creation_answers_where_the_upload_is(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "10"})
        folder = "directUpload%2F" if storage == "s3" else ""
        expected = f"{caller.sandbox.base_url}/asset/upload/tus/{folder}{ticket.playback_id}"
        assert (answer.status_code, answer.content) == (201, b"")
        assert answer.headers["location"] == expected
        assert answer.headers["livepeer-playback-id"] == ticket.playback_id
        assert answer.headers["content-length"] == "0"
        assert "Upload-Offset" in answer.headers["access-control-expose-headers"]
        head = await caller.head(expected)
        assert head.status_code == 200
        assert head.headers["cache-control"] == "no-store"
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("0", "10")
        assert await caller.phase(ticket) == "uploading"


# Sections 3.9 to 3.15: headers of the creation beside the token, status, body.
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


@BOTH
@pytest.mark.parametrize(("headers", "status", "text"), CREATIONS)
async def test_creations_are_refused_as_recorded(storage, headers, status, text):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(ticket.tus_endpoint, headers=headers)
        check_text(answer, status, text)
        assert answer.headers["livepeer-playback-id"] == ticket.playback_id


# Sections 3.5 to 3.8.
TOKENS = [
    ("", 401, "Missing uploadToken metadata from /request-upload API"),
    ("?token=garbage", 403, "Invalid signed upload URL: JsonWebTokenError: jwt malformed"),
    ("?token=a.b.c", 403, "Invalid signed upload URL: JsonWebTokenError: invalid signature"),
]


@pytest.mark.parametrize(("query", "status", "sentence"), TOKENS)
async def test_a_creation_needs_its_token(query, status, sentence):
    async with open_sandbox() as caller:
        answer = await caller.http.post(
            f"{caller.sandbox.base_url}/asset/upload/tus{query}",
            headers={**TUS, "Upload-Length": "10"},
        )
        assert (answer.status_code, answer.json()) == (status, {"errors": [sentence]})


@pytest.mark.parametrize(
    "headers", [{"Upload-Checksum": "sha1 AAAA"}, {"X-Request-ID": "abc"}, {"Forwarded": "for=x"}]
)
async def test_headers_that_mean_nothing_here_are_ignored(headers):
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        await caller.create(ticket, 10, **headers)


async def test_metadata_is_kept_and_names_nothing():
    metadata = "filename Y2xpcC5tcDQ=,filetype dmlkZW8vbXA0,is_confidential"
    async with open_sandbox() as caller:
        ticket = await caller.request_upload("named.mp4")
        location = await caller.create(ticket, 10, **{"Upload-Metadata": metadata})
        assert (await caller.head(location)).headers["upload-metadata"] == metadata
        assert (await caller.asset(ticket))["name"] == "named.mp4"


@BOTH
async def test_a_creation_with_the_whole_body_completes(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(
            ticket.tus_endpoint,
            content=b"helloworld",
            headers={**TUS, "Content-Type": OFFSET_TYPE, "Upload-Length": "10"},
        )
        assert (answer.status_code, answer.headers["upload-offset"]) == (201, "10")
        assert await caller.offset(answer.headers["location"]) == 10
        assert (await caller.wait(ticket))["size"] == 10
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == b"helloworld"


@pytest.mark.parametrize(("storage", "offset", "status"), [("file", 5, 204), ("s3", 0, 409)])
async def test_a_creation_with_half_the_body_is_forgotten_by_s3(storage, offset, status):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(
            ticket.tus_endpoint,
            content=b"hello",
            headers={**TUS, "Content-Type": OFFSET_TYPE, "Upload-Length": "10"},
        )
        location = answer.headers["location"]
        assert answer.headers["upload-offset"] == "5"
        assert await caller.offset(location) == offset
        assert (await caller.patch(location, 5, b"world")).status_code == status


@pytest.mark.parametrize(("storage", "offset"), [("file", "10"), ("s3", "0")])
async def test_a_deferred_length(storage, offset):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(
            ticket.tus_endpoint, headers={**TUS, "Upload-Defer-Length": "1"}
        )
        location = answer.headers["location"]
        head = await caller.head(location)
        assert head.headers["upload-defer-length"] == "1"
        assert "upload-length" not in head.headers
        patched = await caller.patch(location, 0, b"helloworld")
        assert (patched.status_code, patched.headers["upload-offset"]) == (204, "10")
        assert (await caller.head(location)).headers["upload-offset"] == offset
        assert await caller.phase(ticket) == "uploading"


@BOTH
async def test_a_length_declared_with_the_first_patch(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        answer = await caller.http.post(
            ticket.tus_endpoint, headers={**TUS, "Upload-Defer-Length": "1"}
        )
        location = answer.headers["location"]
        await caller.patch(location, 0, b"helloworld", **{"Upload-Length": "10"})
        head = await caller.head(location)
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("10", "10")
        assert (await caller.wait(ticket))["size"] == 10


@pytest.mark.parametrize(
    ("storage", "header"), [("file", "upload-length"), ("s3", "upload-defer-length")]
)
async def test_an_empty_upload_leaves_uploading_and_cannot_be_processed(storage, header):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(0)
        assert header in (await caller.head(location)).headers
        failed = await caller.wait(ticket, "failed")
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
async def test_forwarded_headers_decide_the_location(headers, start):
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        assert (await caller.create(ticket, 10, **headers)).startswith(start)


@pytest.mark.parametrize(("storage", "offset", "length"), [("file", 0, "9"), ("s3", PART, None)])
async def test_a_repeated_creation_is_no_resume(storage, offset, length):
    """Sections 5.6 and 6.6."""
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(2 * PART)
        await caller.patch(location, 0, bytes(PART))
        assert await caller.create(ticket, 9) == location
        head = await caller.head(location)
        assert head.headers["upload-offset"] == str(offset)
        assert head.headers["upload-length"] == (length or str(2 * PART))
