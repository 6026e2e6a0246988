"""Responses that redirect clients to other hosts, into loops or into long waits."""

import anyio
import pytest

from hostile.clients import KEY, api_client, tus_client
from livepeer_async import RetryPolicy, errors
from livepeer_async.tus.requests import resolve_location
from support.constants import TIMEOUT
from support.servers import http_response, serve_http, serve_unreached

pytestmark = pytest.mark.anyio
VIDEO = b"video" * 1000
ONE_RETRY = RetryPolicy(attempts=1, first_delay=0.01)
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
async def test_redirects_are_not_followed(status):
    async with serve_unreached() as other:
        moved = http_response(b"", f"Location: {url_of(other)}", status=status)
        async with serve_http(moved) as server, api_client(server) as livepeer, tus_client() as tus:
            for call in (livepeer.assets.get("x"), livepeer.upload(VIDEO)):
                with pytest.raises(errors.ApiError, match="not followed"):
                    await call
            for where in ({"endpoint": server.origin}, {"upload_url": server.origin}):
                with pytest.raises(errors.TusError, match="not followed"):
                    await tus.upload(VIDEO, **where)
            assert len(server.requests) == 4


async def test_redirect_costs_one_request():
    moved = http_response(b"", "Location: /api/asset/x", status="307 Temporary Redirect")
    async with serve_http(moved) as server, api_client(server) as livepeer:
        with pytest.raises(errors.ApiError):
            await livepeer.assets.get("x")
        assert len(server.requests) == 1


LOCATIONS = {
    "another host": "{other}",
    "another host without a scheme": "//{host}/files/1",
    "file": "file:///etc/passwd",
    "script": "javascript:alert(1)",
    "another protocol": "ftp://127.0.0.1/x",
    "user before the other host": "http://127.0.0.1@{host}/files/1",
    "backslash": "http:\\\\{host}\\files",
    "folded line": "{other}\r\n x",
    "space": "http:// {host}/",
    "invalid port": "http://127.0.0.1:99999/files/1",
    "incomplete address": "http://[::1/files/1",
    "NUL": "/files/\x00",
    "not ASCII": "/files/\xe9",
    "slow to search": "http://" * 5_000,
    "long path": "/" + "a" * 50_000,
    "empty value": "",
}


@pytest.mark.parametrize("name", LOCATIONS)
async def test_invalid_location_is_refused(name):
    async with serve_unreached() as other:
        location = LOCATIONS[name].format(other=url_of(other), host=other.origin.partition("//")[2])
        created = http_response(b"", f"Location: {location}", TUS, status="201 Created")
        responses = {"POST": created, "*": http_response(b"", TUS)}
        async with serve_http(responses) as server, tus_client() as tus:
            with pytest.raises(errors.LivepeerError):
                await tus.upload(VIDEO, server.origin + "/files")


async def test_location_from_https_to_http_is_refused():
    with pytest.raises(errors.ProtocolError, match="leaves https"):
        resolve_location("https://a.example/files", "http://a.example/files/1")


async def test_next_link_to_another_host_is_not_followed():
    rows = http_response(b'[{"id":"a"}]', 'Link: <{other}?cursor=skip1>; rel="next"')
    async with serve_unreached() as other:
        first = rows.replace(b"{other}", url_of(other).encode())
        pages = [first, http_response(b"[]")]
        async with serve_http(lambda _: pages.pop(0)) as server, api_client(server) as livepeer:
            assert [asset.id async for asset in livepeer.assets.list()] == ["a"]
            assert len(server.requests) == 2


@pytest.mark.parametrize("cursors", [["skip1"], ["skip1", "skip2", "skip3"]])
async def test_list_with_repeated_cursors_ends(cursors):
    requests = []

    def page(_):
        requests.append(1)
        cursor = cursors[len(requests) % len(cursors)]
        return http_response(b'[{"id":"a"}]', f'Link: </x?cursor={cursor}>; rel="next"')

    async with serve_http(page) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.DecodeError):
            async for _ in livepeer.assets.list():
                pass
    assert len(requests) < 20


async def test_list_without_new_rows_ends():
    requests = []

    def page(_):
        requests.append(1)
        return http_response(b'[{"id":"a"}]', f'Link: </x?cursor=skip{len(requests)}>; rel="next"')

    async with serve_http(page) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.DecodeError):
            async for _ in livepeer.assets.list():
                pass


# Invalid values, and valid ones that mean no wait.
NO_WAIT = (
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
TOO_LONG = ("1000000000", "9" * 400, "99999999999999999999")


@pytest.mark.parametrize("value", NO_WAIT)
async def test_invalid_retry_after_is_ignored(value):
    head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: "
    await assert_gives_up(head + value.encode() + b"\r\n\r\n")


@pytest.mark.parametrize("value", TOO_LONG)
async def test_too_long_retry_after_gives_up(value):
    await assert_gives_up(
        http_response(b"", f"Retry-After: {value}", status="429 Too Many Requests")
    )


async def test_too_late_retry_after_date_gives_up():
    headers = ("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", "Date: Sat, 21 Nov 2026 12:00:00 GMT")
    await assert_gives_up(http_response(b"", *headers, status="503 Service Unavailable"))


async def assert_gives_up(busy):
    async with serve_http(busy) as server, tus_client(retry=ONE_RETRY) as tus:
        async with api_client(server, retry=ONE_RETRY) as livepeer:
            with anyio.fail_after(TIMEOUT), pytest.raises(errors.ApiError):
                await livepeer.assets.get("x")
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.RetriesExhausted):
            await tus.upload(VIDEO, server.origin)


INVALID_OFFSETS = (
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


@pytest.mark.parametrize("value", INVALID_OFFSETS)
async def test_invalid_offset_is_refused(value):
    invalid = b"Upload-Offset: " + value.encode("utf-8")
    initial = http_response(b"", "Upload-Offset: 0", LENGTH, TUS)
    for method in ("HEAD", "PATCH"):
        responses = {"HEAD": initial, "PATCH": initial}
        responses[method] = initial.replace(b"Upload-Offset: 0", invalid)
        async with serve_http(responses) as server, tus_client(retry=ONE_RETRY) as tus:
            with anyio.fail_after(TIMEOUT), pytest.raises(errors.TusError):
                await tus.upload(VIDEO, upload_url=server.origin + "/1")


@pytest.mark.parametrize("offset", [len(VIDEO) + 1, 2**62])
async def test_offset_beyond_the_length_is_refused(offset):
    beyond = http_response(b"", f"Upload-Offset: {offset}", LENGTH, TUS)
    async with serve_http(beyond) as server, tus_client(retry=ONE_RETRY) as tus:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.TusError):
            await tus.upload(VIDEO, upload_url=server.origin + "/1")


async def test_offset_without_progress_gives_up():
    still = http_response(b"", "Upload-Offset: 0", LENGTH, TUS)
    async with serve_http(still) as server, tus_client(retry=ONE_RETRY) as tus:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.RetriesExhausted):
            await tus.upload(VIDEO, upload_url=server.origin + "/1")


async def test_body_of_a_204_response_is_ignored():
    initial = http_response(b"", "Upload-Offset: 0", LENGTH, TUS)
    done = http_response(b"surprise", f"Upload-Offset: {len(VIDEO)}", TUS, status="204 No Content")
    async with (
        serve_http({"HEAD": initial, "PATCH": done}) as server,
        tus_client(retry=ONE_RETRY) as tus,
    ):
        for _ in range(3):
            with anyio.fail_after(TIMEOUT):
                await tus.upload(VIDEO, upload_url=server.origin + "/1")


@pytest.mark.parametrize(
    "etag", ["*", '"' * 99, "W/", "\xff\xfe", "a" * 60_000, "", "\x7f", '"\t"']
)
async def test_invalid_etag_does_not_break_polling(etag):
    head = [f"ETag: {etag}", "Content-Type: application/json"]
    waiting = http_response(b'{"id":"x","status":{"phase":"waiting"}}', *head)
    ready = http_response(b'{"id":"x","status":{"phase":"ready"}}', *head)
    responses = [waiting, ready]
    async with serve_http(lambda _: responses.pop(0)) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT):
            asset = await livepeer.assets.wait("x", timeout=TIMEOUT)
    assert asset.phase == "ready"


INVALID_ENDPOINTS = (
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "//127.0.0.1:1/",
    "http://[::1/",
    "http://127.0.0.1:99999/",
    "\\r\\nHost: other",
    "",
)


@pytest.mark.parametrize("endpoint", INVALID_ENDPOINTS)
async def test_ticket_with_an_invalid_endpoint_is_a_typed_error(endpoint):
    body = f'{{"tusEndpoint":"{endpoint}","asset":{{"id":"x"}}}}'.encode()
    async with serve_http(http_response(body)) as server, api_client(server) as livepeer:
        with anyio.fail_after(TIMEOUT), pytest.raises(errors.LivepeerError):
            await livepeer.upload(VIDEO)


async def test_api_key_is_not_sent_to_the_tus_endpoint():
    async with serve_http(http_response(b"", status="400 Bad Request")) as other:
        body = f'{{"tusEndpoint":"{other.origin}/tus?token=t","asset":{{"id":"x"}}}}'.encode()
        async with serve_http(http_response(body)) as server, api_client(server) as livepeer:
            with pytest.raises(errors.TusError):
                await livepeer.upload(VIDEO)
        assert other.requests
        assert all(KEY.encode() not in it.head for it in other.requests)
