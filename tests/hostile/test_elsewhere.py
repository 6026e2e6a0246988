"""A server that would lead its clients astray: to another host, in circles, or into next year."""

import anyio
import pytest

from hostile.clients import KEY, api_client, tus_client
from livepeer_async import RetryPolicy, errors
from livepeer_async.tus import requests
from support.constants import TIMEOUT
from support.servers import http_response, serve_http, serve_unreached

pytestmark = pytest.mark.anyio
VIDEO = b"video" * 1000
TWICE = RetryPolicy(attempts=1, first_delay=0.01)
MOVED = (
    "301 Moved Permanently",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
)
TUS = "Tus-Resumable: 1.0.0"
LENGTH = f"Upload-Length: {len(VIDEO)}"


def url_of(server):
    return server.origin + "/away"


@pytest.mark.parametrize("status", MOVED)
async def test_no_redirect_leads_elsewhere(status):
    async with serve_unreached() as evil:
        moved = http_response(b"", f"Location: {url_of(evil)}", status=status)
        async with serve_http(moved) as server, api_client(server) as livepeer, tus_client() as tus:
            for call in (livepeer.assets.get("x"), livepeer.upload(VIDEO)):
                with pytest.raises(errors.ApiError, match="not followed"):
                    await call
            for where in ({"endpoint": server.origin}, {"upload_url": server.origin}):
                with pytest.raises(errors.TusError, match="not followed"):
                    await tus.upload(VIDEO, **where)
            assert len(server.requests) == 4


async def test_a_chain_of_redirects_is_one_request():
    moved = http_response(b"", "Location: /api/asset/x", status="307 Temporary Redirect")
    async with serve_http(moved) as server, api_client(server) as livepeer:
        with pytest.raises(errors.ApiError):
            await livepeer.assets.get("x")
        assert len(server.requests) == 1


ASTRAY = {
    "another host": "{evil}",
    "another host without a scheme": "//{host}/files/1",
    "a file": "file:///etc/passwd",
    "a script": "javascript:alert(1)",
    "another protocol": "ftp://127.0.0.1/x",
    "a user before the other host": "http://127.0.0.1@{host}/files/1",
    "a backslash": "http:\\\\{host}\\files",
    "a folded line": "{evil}\r\n x",
    "a space": "http:// {host}/",
    "a port that is none": "http://127.0.0.1:99999/files/1",
    "an unfinished address": "http://[::1/files/1",
    "a NUL": "/files/\x00",
    "not ASCII": "/files/\xe9",
    "one that is slow to search": "http://" * 5_000,
    "a long one": "/" + "a" * 50_000,
    "nothing": "",
}


@pytest.mark.parametrize("name", ASTRAY)
async def test_no_location_leads_elsewhere(name):
    async with serve_unreached() as evil:
        location = ASTRAY[name].format(evil=url_of(evil), host=evil.origin.partition("//")[2])
        created = http_response(b"", f"Location: {location}", TUS, status="201 Created")
        answers = {"POST": created, "*": http_response(b"", TUS)}
        async with serve_http(answers) as server, tus_client() as tus:
            with pytest.raises(errors.LivepeerError):
                await tus.upload(VIDEO, server.origin + "/files")


async def test_from_https_no_location_leads_to_http():
    with pytest.raises(errors.ProtocolError, match="leaves https"):
        requests.resolve_location("https://a.example/files", "http://a.example/files/1")


async def test_the_key_goes_to_no_host_that_a_list_names():
    rows = http_response(b'[{"id":"a"}]', 'Link: <{evil}?cursor=skip1>; rel="next"')
    async with serve_unreached() as evil:
        first = rows.replace(b"{evil}", url_of(evil).encode())
        pages = [first, http_response(b"[]")]
        async with serve_http(lambda _: pages.pop(0)) as server, api_client(server) as livepeer:
            assert [asset.id async for asset in livepeer.assets.list()] == ["a"]
            assert len(server.requests) == 2


@pytest.mark.parametrize("cursors", [["skip1"], ["skip1", "skip2", "skip3"]])
async def test_a_list_that_leads_in_circles_ends(cursors):
    asked = []

    def page(_):
        asked.append(1)
        cursor = cursors[len(asked) % len(cursors)]
        return http_response(b'[{"id":"a"}]', f'Link: </x?cursor={cursor}>; rel="next"')

    async with serve_http(page) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.DecodeError):
            async for _ in livepeer.assets.list():
                pass
    assert len(asked) < 20


async def test_a_list_that_has_nothing_new_for_ever_ends():
    asked = []

    def page(_):
        asked.append(1)
        return http_response(b'[{"id":"a"}]', f'Link: </x?cursor=skip{len(asked)}>; rel="next"')

    async with serve_http(page) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.DecodeError):
            async for _ in livepeer.assets.list():
                pass


# Those that could be taken for a time are times beyond all limits here, and within the client's.
SOON = (
    "-1",
    "-99999999999999",
    "nan",
    "inf",
    "1e9",
    "3e2",
    "0x140",
    "٣٣٣",
    "soon",
    "",
    "300, 400",
    "\x01",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Feb 2026 25:61:61 GMT",
    "0",
)
LATE = ("1000000000", "9" * 400, "99999999999999999999")


@pytest.mark.parametrize("value", SOON)
async def test_a_time_to_wait_that_is_none_is_not_waited(value):
    head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: "
    await assert_is_given_up_soon(head + value.encode() + b"\r\n\r\n")


@pytest.mark.parametrize("value", LATE)
async def test_a_time_to_wait_that_is_too_long_ends_the_attempt(value):
    await assert_is_given_up_soon(
        http_response(b"", f"Retry-After: {value}", status="429 Too Many Requests")
    )


async def test_a_date_to_wait_for_in_thousands_of_years_ends_the_attempt():
    headers = ("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", "Date: Sat, 21 Nov 2026 12:00:00 GMT")
    await assert_is_given_up_soon(http_response(b"", *headers, status="503 Service Unavailable"))


async def assert_is_given_up_soon(busy):
    async with serve_http(busy) as server, tus_client(retry=TWICE) as tus:
        async with api_client(server, retry=TWICE) as livepeer:
            with anyio.fail_after(TIMEOUT), pytest.raises(errors.ApiError):
                await livepeer.assets.get("x")
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.RetriesExhausted):
            await tus.upload(VIDEO, server.origin)


OFFSETS = (
    "-1",
    "+5",
    "9" * 30,
    "9" * 5000,
    "18446744073709551616",
    "1e3",
    "5.0",
    "٣",
    "0x1",
    "",
    " ",
    "5, 5",
    "nan",
    "\xb2",
)


@pytest.mark.parametrize("value", OFFSETS)
async def test_an_offset_that_is_none_is_not_believed(value):
    wrong = b"Upload-Offset: " + value.encode("utf-8")
    told = http_response(b"", "Upload-Offset: 0", LENGTH, TUS)
    for method in ("HEAD", "PATCH"):
        answers = {"HEAD": told, "PATCH": told}
        answers[method] = told.replace(b"Upload-Offset: 0", wrong)
        async with serve_http(answers) as server, tus_client(retry=TWICE) as tus:
            with anyio.fail_after(TIMEOUT), pytest.raises(errors.TusError):
                await tus.upload(VIDEO, upload_url=server.origin + "/1")


@pytest.mark.parametrize("offset", [len(VIDEO) + 1, 2**62])
async def test_an_offset_beyond_the_end_is_no_success(offset):
    beyond = http_response(b"", f"Upload-Offset: {offset}", LENGTH, TUS)
    async with serve_http(beyond) as server, tus_client(retry=TWICE) as tus:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.TusError):
            await tus.upload(VIDEO, upload_url=server.origin + "/1")


async def test_an_offset_that_never_moves_ends():
    still = http_response(b"", "Upload-Offset: 0", LENGTH, TUS)
    async with serve_http(still) as server, tus_client(retry=TWICE) as tus:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.RetriesExhausted):
            await tus.upload(VIDEO, upload_url=server.origin + "/1")


async def test_a_body_where_none_may_be_breaks_nothing():
    told = http_response(b"", "Upload-Offset: 0", LENGTH, TUS)
    done = http_response(b"surprise", f"Upload-Offset: {len(VIDEO)}", TUS, status="204 No Content")
    async with serve_http({"HEAD": told, "PATCH": done}) as server, tus_client(retry=TWICE) as tus:
        for _ in range(3):
            with anyio.fail_after(TIMEOUT):
                await tus.upload(VIDEO, upload_url=server.origin + "/1")


@pytest.mark.parametrize(
    "etag", ["*", '"' * 99, "W/", "\xff\xfe", "a" * 60_000, "", "\x7f", '"\t"']
)
async def test_an_etag_that_is_garbage_can_be_sent_back_or_is_not(etag):
    head = [f"ETag: {etag}", "Content-Type: application/json"]
    waiting = http_response(b'{"id":"x","status":{"phase":"waiting"}}', *head)
    ready = http_response(b'{"id":"x","status":{"phase":"ready"}}', *head)
    answers = [waiting, ready]
    async with serve_http(lambda _: answers.pop(0)) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT):
            asset = await livepeer.assets.wait("x", timeout=TIMEOUT)
    assert asset.phase == "ready"


NOWHERE = (
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "//127.0.0.1:1/",
    "http://[::1/",
    "http://127.0.0.1:99999/",
    "\\r\\nHost: evil",
    "",
)


@pytest.mark.parametrize("endpoint", NOWHERE)
async def test_a_ticket_to_nowhere_is_a_typed_error(endpoint):
    body = f'{{"tusEndpoint":"{endpoint}","asset":{{"id":"x"}}}}'.encode()
    async with serve_http(http_response(body)) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.LivepeerError):
            await livepeer.upload(VIDEO)


async def test_the_key_does_not_go_where_a_ticket_leads():
    async with serve_http(http_response(b"", status="400 Bad Request")) as other:
        body = f'{{"tusEndpoint":"{other.origin}/tus?token=t","asset":{{"id":"x"}}}}'.encode()
        async with serve_http(http_response(body)) as server, api_client(server) as livepeer:
            with pytest.raises(errors.TusError):
                await livepeer.upload(VIDEO)
        assert other.requests
        assert all(KEY.encode() not in asked.head for asked in other.requests)
