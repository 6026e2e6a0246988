"""`Location` of a creation, and predicted upload URLs."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ProtocolError
from livepeer_async.tus import requests
from support.strategies import any_text

ENDPOINT = "https://host.example/api/asset/upload/tus?token=s3cret"
URL = "https://host.example/api/asset/upload/tus/directUpload%2Fp1"


@pytest.mark.parametrize(
    ("endpoint", "location", "url"),
    [
        (ENDPOINT, URL, URL),
        (ENDPOINT, f"  {URL}\t", URL),
        (ENDPOINT, "/a/directUpload%2Fp1", "https://host.example/a/directUpload%2Fp1"),
        (ENDPOINT, "tus/x%2fy", "https://host.example/api/asset/upload/tus/x%2fy"),
        (ENDPOINT, "../1", "https://host.example/api/asset/1"),
        (ENDPOINT, "//host.example/1", "https://host.example/1"),
        (ENDPOINT, "//HOST.example:443/1", "https://HOST.example:443/1"),
        (ENDPOINT, "https://host.example/1?a=b", "https://host.example/1?a=b"),
        (ENDPOINT, "?upload=1", "https://host.example/api/asset/upload/tus?upload=1"),
        (ENDPOINT, f"{URL}#part", URL),
        (ENDPOINT, "?", "https://host.example/api/asset/upload/tus"),
        (ENDPOINT, ";", "https://host.example/api/asset/upload/tus"),
        (ENDPOINT, "//", "https://host.example/api/asset/upload/tus"),
        (ENDPOINT, "https:///1", "https://host.example/1"),
        (ENDPOINT, "1;v=2", "https://host.example/api/asset/upload/1;v=2"),
        (ENDPOINT, "/é", "https://host.example/é"),
        (ENDPOINT, "https://user@host.example/1", "https://user@host.example/1"),
        ("http://host.example/tus", "https://host.example/1", "https://host.example/1"),
        ("http://host.example:80/tus", "https://host.example:443/1", "https://host.example:443/1"),
        ("http://host.example/tus", "http:/1", "http://host.example/1"),
        ("http://host.example:8080/tus", "/1", "http://host.example:8080/1"),
        ("http://host.example/tus", "http://host.example:/1", "http://host.example:/1"),
        ("http://[::1]:8080/tus", "/1", "http://[::1]:8080/1"),
        ("http://[::1]:8080/tus", "http://[::1]:8080/1", "http://[::1]:8080/1"),
        ("http://user:pw@host.example/tus", "/1", "http://user:pw@host.example/1"),
    ],
)
def test_location_is_resolved_against_the_endpoint(endpoint, location, url):
    assert requests.resolve_location(endpoint, location) == url


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "Location is missing"),
        (" \t", "Location is missing"),
        ("#", "Location is missing"),
        ("#part", "Location is missing"),
        ("http://host.example/1", "leaves https for http"),
        ("https://evil.example/1", "is on another host; wanted host.example"),
        ("//evil.example/1", "is on another host"),
        ("https://host.example:8443/1", "is on another host"),
        ("https://host.example:0/1", "is on another host"),
        ("https://host.example@evil.example/1", "is on another host"),
        ("https://host.example.evil.example/1", "is on another host"),
        ("https://host.example\\@evil.example/1", "is on another host"),
        ("https://127.0.0.1/1", "is on another host"),
        ("https://[::1]/1", "is on another host"),
        ("ftp://host.example/1", "neither http nor https"),
        ("file:///etc/passwd", "neither http nor https"),
        ("javascript:alert(1)", "neither http nor https"),
        ("http:/1", "neither http nor https"),
        ("https://host.example:port/1", "wanted a URL"),
        ("https://host.example:99999/1", "wanted a URL"),
        ("https://[::1/1", "wanted a URL"),
        ("https://[host]/1", "wanted a URL"),
        ("/a\x7fb", "wanted a URL"),
        ("/files/1, /files/2", "wanted a URL"),
        ("https://host.example/1, https://host.example/2", "wanted a URL"),
        ("/a\x01b", "wanted a URL"),
        ("/" + "a" * 20_000, "wanted a URL"),
    ],
)
def test_unusable_location_is_a_protocol_error(location, message):
    with pytest.raises(ProtocolError, match=message) as caught:
        requests.resolve_location(ENDPOINT, location)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("cdn.example", "https://cdn.example/1"),
        ("CDN.example", "https://cdn.example/1"),
        ("cdn.example", "https://cdn.example:8443/1"),
        ("cdn.example:8443", "https://CDN.example:8443/1"),
        ("cdn.example:8443", "https://user@cdn.example:8443/1"),
        ("[::1]:8443", "https://[::1]:8443/1"),
        ("::1", "https://[::1]:8443/1"),
    ],
)
def test_other_host_can_be_allowed(host, location):
    assert requests.resolve_location(ENDPOINT, location, other_hosts=frozenset({host})) == location


def test_allowed_host_must_keep_https():
    with pytest.raises(ProtocolError, match="leaves https"):
        requests.resolve_location(
            ENDPOINT, "http://cdn.example/1", other_hosts=frozenset({"cdn.example"})
        )


@given(any_text(max_size=60) | st.text("/:@?#[]\\.hostexample", max_size=40))
def test_any_location_stays_on_the_host_or_fails(location):
    try:
        url = requests.resolve_location(ENDPOINT, location)
    except ProtocolError:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname) == ("https", "host.example")
    assert "s3cret" not in url


@pytest.mark.parametrize("endpoint", [ENDPOINT, "https://host.example/api/asset/upload/tus/"])
def test_upload_urls_of_an_asset_are_predicted(endpoint):
    on_s3, on_disk = requests.predict_upload_urls(endpoint, "p1")
    assert on_s3 == URL
    assert on_disk == "https://host.example/api/asset/upload/tus/p1"


def test_playback_id_is_quoted_in_predicted_urls():
    for url in requests.predict_upload_urls(ENDPOINT, "../../x?y"):
        assert url.endswith("..%2F..%2Fx%3Fy")


@pytest.mark.parametrize("playback_id", [None, ""])
def test_no_upload_urls_are_predicted_without_playback_id(playback_id):
    assert requests.predict_upload_urls(ENDPOINT, playback_id) == ()
