"""Cookies of one upload, such as those by which a load balancer finds the server of its bytes.

They are sent to the host that has set them, with requests of the same upload; never to another host
or to Livepeer's API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.message import Message
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit
from urllib.request import Request as UrllibRequest

from msgspec.structs import replace

from livepeer_async.http.messages import Request, Response

if TYPE_CHECKING:
    from http.client import HTTPResponse

# A hostile server must not fill the memory: RFC 6265, 6.1, asks for 50 cookies of 4,096 bytes.
MAX_COOKIES = 50
MAX_COOKIE_LENGTH = 4096

SendRequest = Callable[[Request], Awaitable[Response]]


class Cookies:
    """The cookies of one upload, by host."""

    def __init__(self) -> None:
        self._jars: dict[str, CookieJar] = {}

    def __repr__(self) -> str:
        return f"<Cookies of {len(self._jars)} hosts>"

    def add_to(self, request: Request) -> Request:
        """Return a request with the cookies of its host."""
        jar = self._jars.get(_host_of(request)) if self._jars else None
        if jar is None:
            return request
        carrier = UrllibRequest(request.url)  # noqa: S310 - nothing is opened
        jar.add_cookie_header(carrier)
        cookie = carrier.get_header("Cookie")
        if cookie is None:
            return request
        return replace(request, headers={**request.headers, "Cookie": cookie})

    def store(self, request: Request, response: Response) -> None:
        """Store the cookies that a response sets or deletes."""
        if not response.set_cookies:
            return
        jar = self._jars.setdefault(_host_of(request), CookieJar())
        for line in response.set_cookies[:MAX_COOKIES]:
            is_valid = line.isascii() and line.isprintable() and len(line) <= MAX_COOKIE_LENGTH
            if is_valid and len(jar) < MAX_COOKIES:
                carrier = UrllibRequest(request.url)  # noqa: S310 - nothing is opened
                jar.extract_cookies(cast("HTTPResponse", _Headers(line)), carrier)

    def wrap(self, send: SendRequest) -> SendRequest:
        """Return a function that sends a request with the cookies, and stores those it gets."""

        async def send_with_cookies(request: Request) -> Response:
            request = self.add_to(request)
            response = await send(request)
            self.store(request, response)
            return response

        return send_with_cookies


class _Headers:
    """The part of a response that `CookieJar` reads."""

    def __init__(self, line: str) -> None:
        self._message = Message()
        self._message["Set-Cookie"] = line

    def info(self) -> Message:
        return self._message


def _host_of(request: Request) -> str:
    return urlsplit(request.url).hostname or ""
