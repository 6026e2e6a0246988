"""Requests to upload URLs on both storages."""

import pytest

from sandbox.client import (
    BOTH_STORAGES,
    NOT_FOUND,
    OFFSET_TYPE,
    PART,
    STORAGES,
    TUS,
    RawConnection,
    assert_text_response,
    open_sandbox,
)

pytestmark = pytest.mark.anyio


async def test_wrong_key_is_refused_on_upload_url():
    async with open_sandbox() as client:
        _, location = await client.begin(10)
        response = await client.http.head(
            location, headers={**TUS, "Authorization": "Bearer wrong"}
        )
        assert response.status_code == 401
        (found,) = client.sandbox.violations
        assert found.rule == "Authorization header on an upload URL"


# Headers of a PATCH, status, body.
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


@BOTH_STORAGES
@pytest.mark.parametrize(("headers", "status", "text"), PATCHES)
async def test_invalid_patch_is_refused_as_recorded(storage, headers, status, text):
    async with open_sandbox(**STORAGES[storage]) as client:
        _, location = await client.begin(10)
        response = await client.http.patch(location, content=b"hello", headers=headers)
        assert_text_response(response, status, text)
        assert await client.offset(location) == 0


@BOTH_STORAGES
async def test_unknown_upload_returns_404(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        _, location = await client.begin(10)
        unknown = location[:-16] + "nosuchid"
        assert_text_response(await client.patch(unknown, 0, b"hello"), 404, NOT_FOUND)
        head = await client.head(unknown)
        assert (head.status_code, head.content) == (404, b"")
        assert head.headers["content-length"] == "36"


@BOTH_STORAGES
async def test_head_without_version_returns_412(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        _, location = await client.begin(10)
        head = await client.http.head(location)
        assert (head.status_code, head.content) == (412, b"")
        assert head.headers["content-length"] == "23"


@BOTH_STORAGES
@pytest.mark.parametrize("length", [10, 0])
async def test_get_of_upload_returns_404(storage, length):
    async with open_sandbox(**STORAGES[storage]) as client:
        _, location = await client.begin(length)
        response = await client.http.get(location, headers=TUS)
        assert (response.status_code, response.text) == (404, NOT_FOUND)
        assert "content-type" not in response.headers
        assert "tus-resumable" not in response.headers


# The end of the path as written, and the status.
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
async def test_slash_of_upload_id_must_stay_encoded(path, status):
    async with open_sandbox(**STORAGES["s3"]) as client:
        ticket, _ = await client.begin(10)
        target = path.format(ticket.playback_id)
        connection = await RawConnection.to(client.sandbox.origin)
        url = f"{client.sandbox.base_url}/asset/upload/tus/{target}"
        await connection.send_head("HEAD", url, [*TUS.items(), ("Connection", "close")])
        assert (await connection.read_head()).startswith(f"HTTP/1.1 {status} ")
        await connection.close()


async def test_playback_id_is_case_sensitive():
    async with open_sandbox(**STORAGES["s3"]) as client:
        ticket, location = await client.begin(10)
        upper = location.replace(ticket.playback_id, ticket.playback_id.upper())
        assert (await client.head(upper)).status_code == 404


@BOTH_STORAGES
async def test_patch_by_method_override(storage):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket, location = await client.begin(10)
        response = await client.http.post(
            location,
            content=b"helloworld",
            headers={
                **TUS,
                "Content-Type": OFFSET_TYPE,
                "X-HTTP-Method-Override": "PATCH",
                "Upload-Offset": "0",
            },
        )
        assert (response.status_code, response.headers["upload-offset"]) == (204, "10")
        await client.wait(ticket, "ready")


@pytest.mark.parametrize(("storage", "more"), [("file", ",expiration"), ("s3", "")])
async def test_tus_options_need_method_override(storage, more):
    async with open_sandbox(**STORAGES[storage]) as client:
        ticket = await client.request_upload()
        plain = await client.http.options(ticket.tus_endpoint)
        assert plain.status_code == 204
        assert not [name for name in plain.headers if name.startswith("tus-")]
        response = await client.post_creation(ticket, **{"X-HTTP-Method-Override": "OPTIONS"})
        extensions = "creation,creation-with-upload,creation-defer-length,termination" + more
        assert (response.status_code, response.headers["tus-extension"]) == (204, extensions)
        assert response.headers["access-control-max-age"] == "86400"
        assert response.headers["livepeer-playback-id"] == ticket.playback_id


async def test_wrong_offset_is_refused_before_body_arrives():
    async with open_sandbox() as client:
        _, location = await client.begin(4 * PART)
        connection = await RawConnection.to(location)
        await connection.send_patch(location, 7, 4 * PART, bytes(100))
        assert (await connection.read_head()).startswith("HTTP/1.1 409 Conflict")
        assert await connection.reader.readexactly(23) == b"Upload-Offset conflict\n"
        await connection.send(bytes(4 * PART - 100))
        await connection.send_head("HEAD", location, TUS.items())
        assert (await connection.read_head()).startswith("HTTP/1.1 200 ")
        await connection.close()


async def test_continue_precedes_checks():
    async with open_sandbox() as client:
        _, location = await client.begin(10)
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


async def test_chunked_patch_is_accepted():
    async def blocks():
        yield b"hello"
        yield b"world"

    async with open_sandbox() as client:
        _, location = await client.begin(10)
        response = await client.http.patch(
            location,
            content=blocks(),
            headers={**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": "0"},
        )
        assert (response.status_code, response.headers["upload-offset"]) == (204, "10")
        assert client.sandbox.requests[-1].headers["transfer-encoding"] == "chunked"
