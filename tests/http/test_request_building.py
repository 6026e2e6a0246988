"""Requests of our own connections are those that the library would send."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livepeer_async.http.messages import Request, Span
from livepeer_async.http.request_building import build_head, build_request
from livepeer_async.http.streams import Outgoing

TEXT = st.text("abz09/.%2fF~_-=&,:+?;@!$'()*[]{}|^\\\"<>` #é", max_size=30)


def outgoing(url, method="GET", content=b"", **headers):
    request = Request(method=method, url=url, headers=headers, content=content)
    return Outgoing(request, "id", {})


@given(
    st.sampled_from(
        ["http://h.example", "https://127.0.0.1:81", "http://[::1]:8080", "HTTP://H:80"]
    ),
    TEXT,
)
@example("http://h", "/a/../b/./c?x=%C3%A9")
@example("http://user:p%40ss@h", "/a")
@example("http://h", "")
def test_head_is_that_of_the_library(origin, rest):
    sent = outgoing(origin + "/" + rest if rest else origin)
    built = build_request(httpx, sent, {})
    head = build_head(httpx, sent)
    assert head.target == built.url.raw_path
    assert head.host.encode() == built.url.raw_host
    assert (head.scheme, head.port) == (built.url.scheme, built.url.port or default(built.url))
    assert dict(head.headers)[b"Host"] == built.headers["Host"].encode()


def default(url):
    return 443 if url.scheme == "https" else 80


@pytest.mark.parametrize("method", ["GET", "post", "PUT", "PATCH", "DELETE", "HEAD"])
@pytest.mark.parametrize("content", [b"", b"abc", Span(0, 10)])
def test_headers_are_those_of_the_library(method, content):
    sent = outgoing("http://h.example/a", method, content, Authorization="Bearer x", ACCEPT="a/b")
    built = build_request(httpx, sent, {})
    head = build_head(httpx, sent)
    assert head.method == built.method
    names = {name.lower(): value for name, value in head.headers}
    assert names == {name.lower(): value for name, value in built.headers.raw}
    assert len(names) == len(head.headers)


def test_userinfo_is_sent_as_credentials():
    head = build_head(httpx, outgoing("http://user:p%40ss@h/", authorization="Bearer x"))
    assert [it for it in head.headers if it[0].lower() == b"authorization"] == [
        (b"Authorization", b"Basic dXNlcjpwQHNz")
    ]
