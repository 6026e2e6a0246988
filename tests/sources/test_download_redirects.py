"""Redirects of downloads: which are followed, and which secrets are sent or shown."""

import logging
import traceback

import pytest

from livepeer_async import RetryPolicy, errors
from livepeer_async.sources.download import MAX_REDIRECTS
from sources.origin import FILE, GONE, Origin, fetch, open_downloads
from support.libraries import LIBRARIES, TLS_CONTEXT
from support.servers import http_response, serve_http, serve_unreached

pytestmark = pytest.mark.anyio


def redirect(location, status="302 Found"):
    return http_response(b"redirect", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
async def test_redirects_are_followed_at_each_attempt(status):
    origin = Origin(cuts=[400_000, 400_000])

    def respond(request):
        step = int(request.target.partition("?")[0].rpartition("/")[2])
        if step < MAX_REDIRECTS:
            return redirect(f"../to/{step + 1}?sign={step}#x", status)
        return origin(request)

    assert await fetch(respond, "/to/0") == FILE
    assert origin.ranges == [None, 400_000, 800_000]


async def test_number_of_redirects_is_limited():
    origin = Origin(first=[redirect("/x")] * 99)
    with pytest.raises(errors.SourceNotReadable, match="more than 5 redirects"):
        await fetch(origin)
    assert len(origin.ranges) == 1 + MAX_REDIRECTS


async def test_password_is_not_sent_to_another_host():
    async with serve_http(Origin()) as other:
        target = other.origin.replace("127.0.0.1", "localhost")
        async with serve_http(redirect(target + "/there.mp4")) as server, open_downloads() as ours:
            url = server.origin.replace("http://", "http://me:s3cret-pass@") + "/here.mp4"
            async with ours.open(url) as download:
                assert download.name == "here.mp4"
                assert b"".join([block async for block in download.blocks]) == FILE
    assert b"authorization: basic" in server.requests[0].head.lower()
    assert b"authorization" not in other.requests[0].head.lower()


@pytest.mark.parametrize(
    "location", ["", "ftp://{host}/", "http://[::1/", "http://127.0.0.1:99999/"]
)
async def test_unusable_redirect_is_an_error_of_the_source(location):
    async with serve_unreached() as evil:
        target = location.format(host=evil.origin.partition("//")[2])
        # The library rejects some of them itself.
        with pytest.raises(errors.SourceNotReadable, match=r"redirect|URL in location"):
            await fetch(redirect(target))


@pytest.mark.parametrize("last", [http_response(status=GONE), b"HTTP/1.1 abc s3cret-sign\r\n\r\n"])
async def test_secret_in_a_redirect_is_not_shown(last, caplog):
    caplog.set_level(logging.DEBUG)

    def respond(request):
        return last if request.target.startswith("/away") else redirect("/away/s3cret-sign/x.mp4")

    async with serve_http(respond) as server, open_downloads(retry=RetryPolicy(attempts=0)) as ours:
        with pytest.raises(errors.SourceNotReadable) as caught:
            async with ours.open(f"{server.origin}/here.mp4?sign=s3cret-sign"):
                pass
    shown = "".join(traceback.format_exception_only(caught.value))
    shown += f"{caught.value.__cause__!r} {caught.value.__context__!r} {caplog.text}"
    assert "/away/***" in shown
    assert "s3cret-sign" not in shown


SECRETS = ("s3cret-sign", "s3cret-pass", "s3cret-away", "s3cret-tag")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "last",
    [
        http_response(status=GONE),
        http_response(status="500 Oh"),
        http_response(b"", "Content-Encoding: gzip"),
    ],
)
async def test_no_secret_is_shown(last, library, caplog):
    caplog.set_level(logging.DEBUG)
    away = "/away/x.mp4?sign=s3cret-away"
    origin = Origin(first=[redirect(away)], cuts=[300_000])

    def respond(request):
        if b"s3cret-away" in request.target.encode() or not origin.ranges:
            return origin(request) if b"range" not in request.head.lower() else last
        return redirect(away)

    async with (
        library.AsyncClient(verify=TLS_CONTEXT) as client,
        serve_http(respond) as server,
        open_downloads(http_client=client) as ours,
    ):
        url = server.origin.replace("//", "//me:s3cret-pass@") + "/here.mp4?sign=s3cret-sign"
        with pytest.raises(errors.SourceNotReadable) as caught:
            async with ours.open(url) as download:
                shown = repr(download)
                async for _ in download.blocks:
                    pass
    shown += repr(caught.value) + str(caught.value.__cause__) + caught.value.source + caplog.text
    assert "HTTP Request" in shown
    assert "retry 1 of 3 in" in shown
    assert not [secret for secret in SECRETS if secret in shown]
