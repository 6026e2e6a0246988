"""Downloads: the whole file, its name, what is rejected, and uploads of a download."""

import gzip

import pytest

from livepeer_async import AsyncLivepeer, errors
from livepeer_async.sandbox import Sandbox
from sources.origin import FILE, GONE, TAG, Origin, fetch, open_download, open_downloads
from support.libraries import LIBRARIES
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("library", LIBRARIES)
async def test_whole_file_is_read_with_either_library(library):
    origin = Origin()
    async with (
        library.AsyncClient(
            headers={"Authorization": "Bearer ours"}, params={"mine": "1"}, cookies={"c": "1"}
        ) as client,
        serve_http(origin) as server,
        open_downloads(http_client=client) as ours,
        ours.open(f"{server.origin}/a%20b/talk%2B1.mp4?sign=abc") as download,
    ):
        assert (download.name, download.length) == ("talk+1.mp4", len(FILE))
        assert b"".join([block async for block in download.blocks]) == FILE
        assert [block async for block in download.blocks] == []
    (request,) = server.requests
    assert request.target == "/a%20b/talk%2B1.mp4?sign=abc"
    head = request.head.lower()
    assert b"accept-encoding: identity\r\n" in head
    assert b"authorization" not in head
    assert b"cookie" not in head
    assert b"range" not in head


@pytest.mark.parametrize("path", ["/", "", "/?sign=abc"])
async def test_file_without_a_name_is_named_after_its_host(path):
    async with open_download(Origin(), path) as download:
        assert download.name == "127.0.0.1"


async def test_refused_connection_is_an_error_of_the_source():
    async with open_downloads() as ours:
        with pytest.raises(errors.SourceNotReadable, match="no connection") as caught:
            async with ours.open("http://127.0.0.1:9/x?token=s3cret"):
                pass
    assert isinstance(caught.value.__cause__, errors.ConnectFailed)
    assert caught.value.source == "http://127.0.0.1:9/x"


@pytest.mark.parametrize("status", [GONE, "403 Forbidden", "401 Unauthorized", "204 No Content"])
async def test_rejection_is_final(status):
    origin = Origin(first=[http_response(b"s3cret", status=status)])
    with pytest.raises(errors.SourceNotReadable, match=status[:3]) as caught:
        await fetch(origin, "/x?sign=s3cret")
    assert "s3cret" not in str(caught.value)
    assert len(origin.ranges) == 1


async def test_gzip_is_rejected():
    body = gzip.compress(FILE)
    with pytest.raises(errors.SourceNotReadable, match="Content-Encoding is 'gzip'"):
        await fetch(http_response(body, "Content-Encoding: gzip"))


async def test_body_that_ends_with_its_connection_is_rejected():
    with pytest.raises(errors.SourceNotReadable, match="can't be distinguished"):
        await fetch(b"HTTP/1.1 200 OK\r\n\r\nabc")


async def test_empty_file_is_rejected():
    with pytest.raises(errors.SourceEmpty, match=r"^talk.mp4 is empty"):
        await fetch(Origin(b""))


@pytest.mark.parametrize("url", ["ftp://a.example/x", "talk.mp4", "http://[::1/x"])
async def test_invalid_url_is_a_configuration_error(url):
    async with open_downloads() as ours:
        with pytest.raises(errors.ConfigurationError):
            async with ours.open(url):
                pass


@pytest.mark.parametrize("library", LIBRARIES)
async def test_mock_transport_works(library):
    mock = library.MockTransport(lambda _: library.Response(200, content=b"okay"))
    async with (
        library.AsyncClient(transport=mock) as client,
        open_downloads(http_client=client) as ours,
        ours.open("http://x.example/a.mp4") as download,
    ):
        assert download.length == 4
        assert [block async for block in download.blocks] == [b"okay"]


@pytest.mark.parametrize("validators", [(TAG,), ()])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_download_is_uploaded(validators, is_chunked):
    origin = Origin(cuts=[300_000, 400_000, 500_000], validators=validators, is_chunked=is_chunked)
    async with (
        serve_http(origin) as server,
        Sandbox() as sandbox,
        AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer,
        open_downloads() as ours,
        ours.open(f"{server.origin}/talk.mp4?sign=s3cret") as download,
    ):
        asset = await livepeer.upload(download.blocks, download.name, length=download.length)
        assert asset.name == "talk.mp4"
        assert sandbox.stored(asset.playback_id).read_bytes() == FILE
    assert len(origin.ranges) == 4


async def test_download_that_changes_ends_its_upload():
    origin = Origin(cuts=[300_000], change={"validators": ('ETag: "v2"',)})
    async with (
        Sandbox() as sandbox,
        AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer,
        open_download(origin) as download,
    ):
        with pytest.raises(errors.SourceError, match="changed while it was read") as caught:
            await livepeer.upload(download.blocks, length=download.length)
    assert isinstance(caught.value.__cause__ or caught.value, errors.SourceError)
