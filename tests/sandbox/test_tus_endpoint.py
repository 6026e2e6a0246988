"""The tus endpoint on both storages: sections 3 and 4, exchange by exchange."""

import pytest

from sandbox.dialect import BOTH, NOT_FOUND, STORAGES, check_text
from sandbox.wire import OFFSET_TYPE, PART, TUS, RawConnection, open_sandbox

pytestmark = pytest.mark.anyio


async def test_a_wrong_key_is_refused_on_upload_urls_too():
    async with open_sandbox() as caller:
        _, location = await caller.begin(10)
        answer = await caller.http.head(location, headers={**TUS, "Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        (found,) = caller.sandbox.violations
        assert found.rule == "an Authorization header on an upload URL"


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
