"""The tus endpoint on both storages: sections 3 and 4, exchange by exchange."""

import asyncio

import pytest

from livepeer_async.sandbox import studio
from sandbox.wire import (
    OFFSET_TYPE,
    PART,
    SMALL_PARTS,
    TUS,
    RawConnection,
    open_sandbox,
)

pytestmark = pytest.mark.anyio

STORAGES = {"file": {"storage": "file"}, "s3": {**SMALL_PARTS, "race": 0.0}}
BOTH = pytest.mark.parametrize("storage", ["file", "s3"])

NOT_FOUND = "The file for this url was not found\n"
NO_SUCH_UPLOAD = (
    "Something went wrong with that request\n"
    "The specified upload does not exist. The upload ID may be invalid, "
    "or the upload may have been aborted or completed.\n"
)
NO_CONCATENATION = (
    "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.\n"
)
NO_SUCH_KEY = "Something went wrong with that request\nThe specified key does not exist.\n"


def check_text(answer, status, text):
    """Check an answer in tus' dialect: plain text without a type."""
    assert (answer.status_code, answer.text) == (status, text)
    assert "content-type" not in answer.headers
    assert answer.headers["content-length"] == str(len(text))
    assert answer.headers["tus-resumable"] == "1.0.0"


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


async def test_a_wrong_key_is_refused_on_upload_urls_too():
    async with open_sandbox() as caller:
        _, location = await caller.begin(10)
        answer = await caller.http.head(location, headers={**TUS, "Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        (found,) = caller.sandbox.violations
        assert found.rule == "an Authorization header on an upload URL"


@pytest.mark.parametrize(
    "headers", [{"Upload-Checksum": "sha1 AAAA"}, {"X-Request-ID": "abc"}, {"Forwarded": "for=x"}]
)
async def test_headers_that_mean_nothing_here_are_ignored(headers):
    async with open_sandbox() as caller:
        ticket = await caller.request_upload()
        await caller.create(ticket, 10, **headers)


# Sections 3.44 to 3.50: headers of a PATCH, status, body.
PATCHES = [
    ({**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "3"}, 409, "Upload-Offset conflict\n"),
    (
        {**TUS, "Content-Type": "application/octet-stream", "Upload-Offset": "0"},
        400,
        "Invalid content-type\n",
    ),
    (
        {**TUS, "Content-Type": f"{OFFSET_TYPE}; charset=utf-8", "Upload-Offset": "0"},
        400,
        "Invalid content-type\n",
    ),
    ({**TUS, "Upload-Offset": "0"}, 403, "Content-Type header required\n"),
    ({**TUS, "Content-Type": OFFSET_TYPE}, 403, "Upload-Offset header required\n"),
    ({**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "-1"}, 400, "Invalid upload-offset\n"),
    ({"Content-Type": OFFSET_TYPE, "Upload-Offset": "0"}, 412, "Tus-Resumable Required\n"),
    (
        {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "0", "Upload-Length": "10"},
        400,
        "Upload-Length or Upload-Defer-Length header required\n",
    ),
]


@BOTH
@pytest.mark.parametrize(("headers", "status", "text"), PATCHES)
async def test_patches_are_refused_as_recorded(storage, headers, status, text):
    async with open_sandbox(**STORAGES[storage]) as caller:
        _, location = await caller.begin(10)
        answer = await caller.http.patch(location, content=b"hello", headers=headers)
        check_text(answer, status, text)
        assert await caller.offset(location) == 0


@BOTH
async def test_an_unknown_upload_is_404(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        _, location = await caller.begin(10)
        unknown = location[:-16] + "nosuchid"
        check_text(await caller.patch(unknown, 0, b"hello"), 404, NOT_FOUND)
        head = await caller.head(unknown)
        assert (head.status_code, head.content) == (404, b"")
        assert head.headers["content-length"] == "36"


@BOTH
async def test_head_without_the_version_is_412_without_a_body(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        _, location = await caller.begin(10)
        head = await caller.http.head(location)
        assert (head.status_code, head.content) == (412, b"")
        assert head.headers["content-length"] == "23"


@BOTH
@pytest.mark.parametrize("length", [10, 0])
async def test_a_stored_upload_cannot_be_fetched(storage, length):
    async with open_sandbox(**STORAGES[storage]) as caller:
        _, location = await caller.begin(length)
        answer = await caller.http.get(location, headers=TUS)
        assert (answer.status_code, answer.text) == (404, NOT_FOUND)
        assert "content-type" not in answer.headers
        assert "tus-resumable" not in answer.headers


# Sections 3.22 to 3.26 and 15.5: how the path is written, and whether it is found.
PATHS = [
    ("directUpload%2F{}", 200),
    ("directUpload%2f{}", 200),
    ("directUpload%2F{}/", 200),
    ("directUpload/{}", 404),
    ("directUpload%252F{}", 404),
    ("directUpload%2F{}?x=1", 404),
    ("..%2F..%2Fetc{}", 404),
]


@pytest.mark.parametrize(("path", "status"), PATHS)
async def test_the_slash_of_the_location_stays_encoded(path, status):
    async with open_sandbox(**STORAGES["s3"]) as caller:
        ticket, _ = await caller.begin(10)
        target = path.format(ticket.playback_id)
        connection = await RawConnection.to(caller.sandbox.origin)
        url = f"{caller.sandbox.base_url}/asset/upload/tus/{target}"
        await connection.send_head("HEAD", url, [*TUS.items(), ("Connection", "close")])
        assert (await connection.read_head()).startswith(f"HTTP/1.1 {status} ")
        await connection.close()


async def test_the_playback_id_is_case_sensitive():
    async with open_sandbox(**STORAGES["s3"]) as caller:
        ticket, location = await caller.begin(10)
        upper = location.replace(ticket.playback_id, ticket.playback_id.upper())
        assert (await caller.head(upper)).status_code == 404


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


@BOTH
async def test_a_patch_through_a_method_override(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(10)
        answer = await caller.http.post(
            location,
            content=b"helloworld",
            headers={
                **TUS,
                "Content-Type": OFFSET_TYPE,
                "X-HTTP-Method-Override": "PATCH",
                "Upload-Offset": "0",
            },
        )
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")
        await caller.wait(ticket, "ready")


@pytest.mark.parametrize(("storage", "more"), [("file", ",expiration"), ("s3", "")])
async def test_tus_own_options_need_an_override(storage, more):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.request_upload()
        plain = await caller.http.options(ticket.tus_endpoint)
        assert plain.status_code == 204
        assert not [name for name in plain.headers if name.startswith("tus-")]
        answer = await caller.http.post(
            ticket.tus_endpoint, headers={**TUS, "X-HTTP-Method-Override": "OPTIONS"}
        )
        extensions = "creation,creation-with-upload,creation-defer-length,termination" + more
        assert (answer.status_code, answer.headers["tus-extension"]) == (204, extensions)
        assert answer.headers["access-control-max-age"] == "86400"
        assert answer.headers["livepeer-playback-id"] == ticket.playback_id


async def test_after_completion_on_s3():
    """Sections 3.53 to 3.62."""
    async with open_sandbox(**STORAGES["s3"]) as caller:
        ticket, location = await caller.begin(10)
        await caller.patch(location, 0, b"helloworld")
        await caller.wait(ticket, "ready")
        assert await caller.offset(location) == 10
        for body in (b"", b"hello"):
            check_text(await caller.patch(location, 10, body), 500, NO_SUCH_UPLOAD)
        check_text(await caller.patch(location, 0, b"helloworld"), 409, "Upload-Offset conflict\n")
        deleted = await caller.http.delete(location, headers=TUS)
        check_text(deleted, 500, NO_SUCH_UPLOAD)
        assert await caller.offset(location) == 10
        assert caller.sandbox.stored(ticket.playback_id).read_bytes() == b"helloworld"


async def test_after_completion_on_file():
    """Sections 4.52 to 4.61."""
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(10)
        await caller.patch(location, 0, b"helloworld")
        asset = await caller.wait(ticket, "ready")
        assert (await caller.patch(location, 10, b"")).status_code == 204
        more = await caller.patch(location, 10, b"again")
        assert (more.status_code, more.headers["upload-offset"]) == (204, "15")
        assert await caller.offset(location) == 15
        assert (await caller.http.delete(location, headers=TUS)).status_code == 204
        assert (await caller.head(location)).status_code == 404
        assert caller.sandbox.stored(ticket.playback_id) is None
        assert (await caller.http.get(asset["downloadUrl"])).status_code == 404


@BOTH
async def test_a_finished_asset_takes_no_other_upload(storage):
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket = await caller.upload(b"helloworld")
        await caller.wait(ticket, "ready")
        expected = {"errors": ["asset has already been uploaded"]}
        post = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "1"})
        assert (post.status_code, post.json()) == (422, expected)
        put = await caller.http.put(ticket.direct_url, content=b"x")
        assert (put.status_code, put.json()) == (422, expected)


@pytest.mark.parametrize(("storage", "offset"), [("file", 10), ("s3", 5)])
async def test_more_bytes_than_the_length(storage, offset):
    """Sections 3.63 and 5.11: 204, unfinished; on S3 an empty PATCH wakes it up."""
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(5)
        answer = await caller.patch(location, 0, b"helloworld")
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")
        assert await caller.offset(location) == offset
        await asyncio.sleep(0.03)
        assert await caller.phase(ticket) == "uploading"
        empty = await caller.patch(location, 5, b"")
        if storage == "file":
            assert empty.status_code == 409
        else:
            assert (empty.status_code, empty.headers["upload-offset"]) == (204, "5")
            assert (await caller.wait(ticket))["size"] == 5


@pytest.mark.parametrize(
    ("storage", "status", "text"), [("file", 404, NOT_FOUND), ("s3", 500, NO_SUCH_KEY)]
)
async def test_a_terminated_upload(storage, status, text):
    """Sections 3.65 to 3.71."""
    async with open_sandbox(**STORAGES[storage]) as caller:
        ticket, location = await caller.begin(10)
        check_text(await caller.http.delete(location), 412, "Tus-Resumable Required\n")
        assert (await caller.http.delete(location, headers=TUS)).status_code == 204
        assert (await caller.head(location)).status_code == 404
        check_text(await caller.patch(location, 0, b"hello"), 404, NOT_FOUND)
        check_text(await caller.http.delete(location, headers=TUS), status, text)
        assert await caller.phase(ticket) == "uploading"
        assert await caller.create(ticket, 10) == location
        assert (await caller.patch(location, 0, b"helloworld")).status_code == 204
        assert (await caller.wait(ticket))["size"] == 10


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


async def test_a_wrong_offset_is_refused_before_the_body_came_and_the_connection_stays():
    """Section 5.5."""
    async with open_sandbox() as caller:
        _, location = await caller.begin(4 * PART)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 7, 4 * PART, bytes(100))
        assert (await connection.read_head()).startswith("HTTP/1.1 409 Conflict")
        assert await connection.reader.readexactly(23) == b"Upload-Offset conflict\n"
        await connection.send(bytes(4 * PART - 100))
        await connection.send_head("HEAD", location, TUS.items())
        assert (await connection.read_head()).startswith("HTTP/1.1 200 ")
        await connection.close()


async def test_a_hundred_comes_before_any_check():
    """Section 15.8."""
    async with open_sandbox() as caller:
        _, location = await caller.begin(10)
        connection = await RawConnection.to(location)
        headers = {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "3"}
        await connection.send_head(
            "PATCH",
            location,
            [*headers.items(), ("Content-Length", "5"), ("Expect", "100-continue")],
        )
        assert (await connection.read_head()).startswith("HTTP/1.1 100 Continue")
        assert (await connection.read_head()).startswith("HTTP/1.1 409 Conflict")
        await connection.close()


async def test_a_chunked_patch_is_accepted():
    async def blocks():
        yield b"hello"
        yield b"world"

    async with open_sandbox() as caller:
        _, location = await caller.begin(10)
        answer = await caller.http.patch(
            location,
            content=blocks(),
            headers={**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "0"},
        )
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")
        assert caller.sandbox.requests[-1].headers["transfer-encoding"] == "chunked"


async def test_an_upload_of_a_deleted_asset_goes_on_and_ends_nowhere():
    """Section 5.10."""
    async with open_sandbox() as caller:
        ticket, location = await caller.begin(5)
        assert (await caller.api("DELETE", f"/asset/{ticket.asset_id}")).status_code == 204
        assert await caller.offset(location) == 0
        assert (await caller.patch(location, 0, b"hello")).status_code == 204
        post = await caller.http.post(ticket.tus_endpoint, headers={**TUS, "Upload-Length": "5"})
        assert (post.status_code, post.json()) == (404, {"errors": ["asset not found"]})
        task = await caller.api("GET", f"/task/{ticket.task_id}")
        assert task.json()["status"]["phase"] == "pending"


async def test_the_asset_is_uploading_for_a_moment_after_the_last_answer(monkeypatch):
    """Section 5.9, with a moment that is long enough to look at."""
    assert 0.010 <= studio.FINISH_SECONDS <= 0.015
    monkeypatch.setattr(studio, "FINISH_SECONDS", 0.2)
    async with open_sandbox(waiting_seconds=5) as caller:
        ticket, location = await caller.begin(5)
        await caller.patch(location, 0, b"hello")
        assert await caller.phase(ticket) == "uploading"
        await caller.wait(ticket, "waiting")
