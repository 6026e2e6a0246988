import pytest

from livepeer_async import errors
from livepeer_async.api.calls import check_account
from livepeer_async.api.requests import raw
from livepeer_async.api.urls import resolve_url

BASE = "https://livepeer.studio/api"


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/stream", f"{BASE}/stream"),
        ("stream", f"{BASE}/stream"),
        ("", f"{BASE}/"),
        ("/stream?a=b", f"{BASE}/stream?a=b"),
        ("/asset?url=https://other.example//x", f"{BASE}/asset?url=https://other.example//x"),
        ("/asset/a:b", f"{BASE}/asset/a:b"),
        ("/a..b/...", f"{BASE}/a..b/..."),
        ("/asset#part", f"{BASE}/asset"),
        (f"{BASE}/stream", f"{BASE}/stream"),
        ("HTTPS://Livepeer.Studio:443/api/x?token=t", "HTTPS://Livepeer.Studio:443/api/x?token=t"),
        ("https://livepeer.studio/other", "https://livepeer.studio/other"),
        ("//livepeer.studio/api/x", "https://livepeer.studio/api/x"),
    ],
)
def test_path_and_own_url_are_resolved(path, url):
    assert resolve_url(BASE, path) == url


@pytest.mark.parametrize(
    "path",
    [
        "https://other.example/x?token=s3cret",
        "http://livepeer.studio/api/x",
        "HTTP://livepeer.studio/api/x",
        "https://livepeer.studio:8443/api/x",
        "https://livepeer.studio.other.example/x",
        "https://livepeer.studio@other.example/x",
        "https://user:s3cret@livepeer.studio/api/x",
        "https://livepeer.studio:port/api/x",
        "https://[livepeer.studio/api/x",
        "//other.example/x",
        "///other.example/x",
        "https:///x",
        "https:/other.example/x",
        "ftp://livepeer.studio/x",
        "file:///etc/passwd",
    ],
)
def test_url_of_another_origin_is_refused(path):
    with pytest.raises(errors.ConfigurationError, match="would send the API key") as caught:
        resolve_url(BASE, path)
    assert "a URL of https://livepeer.studio" in str(caught.value)
    assert "HTTP client of your own" in caught.value.advice
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/../admin", "contains '..'"),
        ("..", "contains '..'"),
        ("/asset/%2e%2E/x", "contains '..'"),
        ("/asset/%2e%2e%2fx", "contains '..'"),
        ("https://livepeer.studio/api/../x", "contains '..'"),
        ("\\\\other.example\\x", "backslash"),
        ("/\\other.example/x", "backslash"),
        ("https:\\\\other.example/x", "backslash"),
        ("https://livepeer.studio\\@other.example/x", "backslash"),
        ("/asset\r\nX: y", "control character"),
        (None, "NoneType"),
        (b"/asset", "bytes"),
    ],
)
def test_path_that_may_leave_the_base_url_is_refused(path, message):
    with pytest.raises(errors.ConfigurationError, match=message):
        resolve_url(BASE, path)


def test_own_url_keeps_its_query_and_gets_the_key():
    account = check_account(BASE, "key")
    request = raw(account, "put", f"{BASE}/upload?token=t", params={"a": 1}).request
    assert request.url == f"{BASE}/upload?token=t&a=1"
    assert request.headers["Authorization"] == "Bearer key"
