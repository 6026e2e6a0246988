"""Cookies of load balancers in front of tus servers."""

import logging

import pytest

from livepeer_async.http.messages import Request, Response
from livepeer_async.tus import ServerLimits, TusClient
from livepeer_async.tus.cookies import MAX_COOKIES, Cookies
from support.constants import FAST_RETRY
from support.sandbox import PART, make_bytes
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio
URL = "https://tus.example/files/1"
VIDEO = make_bytes(2 * PART)


def cookies_after(*lines, url=URL):
    cookies = Cookies()
    cookies.store(Request(method="POST", url=url), Response(status=201, set_cookies=lines))
    return cookies


def sent_to(cookies, url=URL):
    return cookies.add_to(Request(method="HEAD", url=url)).headers.get("Cookie")


@pytest.mark.parametrize(
    ("line", "url", "sent"),
    [
        ("lb=a1", URL, "lb=a1"),
        ("lb=a1; Path=/; HttpOnly; SameSite=None", URL, "lb=a1"),
        ("lb=a1; Path=/files", URL, "lb=a1"),
        ("lb=a1; Path=/other", URL, None),
        ("lb=a1; Secure", URL, "lb=a1"),
        ("lb=a1; Secure", "http://tus.example/files/1", None),
        ("lb=a1", "https://tus.example:8443/files/1", "lb=a1"),
        ("lb=a1", "https://other.example/files/1", None),
        ("lb=a1; Domain=.tus.example", "https://sub.tus.example/files/1", None),
        ("lb=a1; Domain=other.example", URL, None),
        ("lb=a1; Max-Age=600", URL, "lb=a1"),
        ("lb=a1; Max-Age=0", URL, None),
        ("lb=a1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", URL, None),
        ('lb="a 1"', URL, 'lb="a 1"'),
        ("lb=\xe4", URL, None),
        ("lb=" + "a" * 5000, URL, None),
        ("", URL, None),
        ("=", URL, None),
    ],
)
async def test_attributes_of_a_cookie_are_respected(line, url, sent):
    assert sent_to(cookies_after(line), url) == sent


async def test_cookie_is_replaced_and_deleted():
    cookies = cookies_after("lb=a1", "other=b")
    cookies.store(Request(method="HEAD", url=URL), Response(status=200, set_cookies=("lb=a2",)))
    assert sorted(sent_to(cookies).split("; ")) == ["lb=a2", "other=b"]
    deletion = ("lb=; Max-Age=0", "other=; Max-Age=-1")
    cookies.store(Request(method="HEAD", url=URL), Response(status=200, set_cookies=deletion))
    assert sent_to(cookies) is None


async def test_number_of_cookies_is_limited():
    cookies = Cookies()
    for first in range(0, 1000, 100):
        lines = tuple(f"c{number}=1" for number in range(first, first + 100))
        cookies.store(Request(method="HEAD", url=URL), Response(status=200, set_cookies=lines))
    assert len(sent_to(cookies).split("; ")) == MAX_COOKIES
    assert "c1" not in repr(cookies)


class Balancer:
    """A tus server behind a load balancer: an upload is known with its own cookie only."""

    def __init__(self):
        self.offsets = {}
        self.foreign = []
        self.has_failed = False

    def choose(self, request):
        lines = dict(line.split(": ", 1) for line in request.head.decode().split("\r\n")[1:-2])
        headers = {name.lower(): value for name, value in lines.items()}
        cookies = headers.get("cookie", "").split("; ")
        if request.method == "OPTIONS":
            return http_response(b"", "Set-Cookie: options=1", status="204 No Content")
        if request.method == "POST":
            self.foreign += [it for it in cookies if it not in {"", "mine=own-cookie"}]
            name = f"s3cret-server-{len(self.offsets)}"
            self.offsets[name] = 0
            lines = [f"Location: /files/{name}", f"Set-Cookie: lb={name}; Path=/; HttpOnly"]
            return http_response(b"", *lines, status="201 Created")
        name = request.target.rpartition("/")[2]
        if f"lb={name}" not in cookies:
            return http_response(b"", status="404 Not Found")
        self.foreign += [it for it in cookies if it not in {f"lb={name}", "mine=own-cookie"}]
        if request.method == "PATCH" and not self.has_failed:
            self.has_failed = True
            return http_response(b"", status="503 Service Unavailable")
        self.offsets[name] += len(request.body)
        return http_response(b"", f"Upload-Offset: {self.offsets[name]}")


@pytest.mark.parametrize("headers", [None, {"cookie": "mine=own-cookie"}])
async def test_cookie_is_kept_for_the_requests_of_one_upload(headers, caplog):
    caplog.set_level(logging.DEBUG)
    balancer = Balancer()
    limits = ServerLimits(max_chunk=PART, first_chunk=PART)
    async with (
        serve_http(balancer.choose) as server,
        TusClient(headers=headers, retry=FAST_RETRY, limits=limits) as tus,
    ):
        for _ in range(2):
            await tus.upload(VIDEO, f"{server.origin}/files")
    assert list(balancer.offsets.values()) == [len(VIDEO)] * 2
    assert balancer.foreign == []
    assert "server-0" not in caplog.text
