"""Responses to a download: each status, each validator, each contradiction."""

import pytest

from livepeer_async import errors
from livepeer_async.http.messages import Request, Response
from livepeer_async.sources.byte_ranges import (
    DownloadState,
    FileVersion,
    Finished,
    Redirected,
    RetryLater,
    UseBody,
    follow,
    interpret_response,
    range_headers,
)

URL = "https://origin.example/talk.mp4"
DATE = "Tue, 15 Nov 1994 08:12:31 GMT"
LONG_AGO = "Tue, 15 Nov 1994 08:11:31 GMT"
JUST_NOW = "Tue, 15 Nov 1994 08:11:32 GMT"
TAG = '"v1"'
TAGGED = FileVersion(length=100, etag=TAG)
DATED = FileVersion(length=100, modified=LONG_AGO)
PLAIN = FileVersion(length=100)
OPEN_ENDED = FileVersion(etag=TAG)


def response(status, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, place=f"GET {URL}")


def at(position, version):
    return DownloadState(source=URL, position=position, version=version)


def interpret(received, state=None):
    return interpret_response(received, state or DownloadState(source=URL), is_delimited=True)


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, FileVersion()),
        ({"content_length": "100"}, FileVersion(length=100)),
        ({"content_length": "1x"}, FileVersion()),
        ({"content_length": "9" * 5000}, FileVersion()),
        ({"etag": TAG}, FileVersion(etag=TAG)),
        ({"etag": TAG, "last_modified": LONG_AGO, "date": DATE}, FileVersion(etag=TAG)),
        # Neither a weak ETag can be used, nor a date beside it.
        ({"etag": f"W/{TAG}", "last_modified": LONG_AGO, "date": DATE}, FileVersion()),
        ({"etag": "v1"}, FileVersion()),
        ({"etag": '"a"b"'}, FileVersion()),
        ({"etag": '"é"'}, FileVersion()),
        ({"etag": f'"{"a" * 1001}"'}, FileVersion()),
        ({"last_modified": LONG_AGO, "date": DATE}, FileVersion(modified=LONG_AGO)),
        ({"last_modified": JUST_NOW, "date": DATE}, FileVersion()),
        ({"last_modified": LONG_AGO}, FileVersion()),
        ({"last_modified": "yesterday", "date": DATE}, FileVersion()),
        ({"last_modified": LONG_AGO.removesuffix(" GMT"), "date": DATE}, FileVersion()),
    ],
)
def test_first_response_sets_the_version(headers, version):
    assert interpret(response(200, **headers)) == UseBody(version=version, stop=version.length)


@pytest.mark.parametrize(
    ("state", "headers"),
    [
        (DownloadState(source=URL), {}),
        (at(0, TAGGED), {}),
        (at(7, PLAIN), {}),
        (at(7, TAGGED), {"Range": "bytes=7-", "If-Range": TAG}),
        (at(7, DATED), {"Range": "bytes=7-", "If-Range": LONG_AGO}),
    ],
)
def test_range_is_requested_with_a_strong_validator_only(state, headers):
    assert range_headers(state) == headers


@pytest.mark.parametrize(
    ("version", "headers", "length"),
    [
        (TAGGED, {"content_range": "bytes 7-99/100", "etag": TAG}, 100),
        (TAGGED, {"content_range": "Bytes 7-99/*", "etag": TAG}, 100),
        (DATED, {"content_range": "bytes 7-99/100"}, 100),
        (DATED, {"content_range": "bytes 7-99/100", "last_modified": LONG_AGO}, 100),
        (DATED, {"content_range": "bytes 7-99/100", "content_length": "93"}, 100),
        (OPEN_ENDED, {"content_range": "bytes 7-99/100", "etag": TAG}, 100),
    ],
)
def test_matching_part_is_used(version, headers, length):
    outcome = interpret(response(206, **headers), at(7, version))
    assert (outcome.skip, outcome.stop, outcome.version.length) == (0, 100, length)
    assert outcome.version.validator == version.validator


def test_part_may_end_before_the_file_does():
    received = response(206, content_range="bytes 7-49/100", content_length="43", etag=TAG)
    assert interpret(received, at(7, TAGGED)) == UseBody(version=TAGGED, stop=50)


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (TAGGED, {"etag": TAG}),
        (TAGGED, {"etag": TAG, "content_type": "multipart/byteranges; boundary=x"}),
        (TAGGED, {"etag": TAG, "content_range": "bytes 0-99/100"}),
        (TAGGED, {"etag": TAG, "content_range": "bytes 8-99/100"}),
        (TAGGED, {"etag": TAG, "content_range": "bytes 7-100/100"}),
        (TAGGED, {"etag": TAG, "content_range": "bytes 7-6/100"}),
        (TAGGED, {"etag": TAG, "content_range": "bytes */100"}),
        (TAGGED, {"etag": TAG, "content_range": "items 7-99/100"}),
        (TAGGED, {"etag": TAG, "content_range": f"bytes 7-{'9' * 5000}/100"}),
        (TAGGED, {"etag": TAG, "content_range": "bytes 7-99/100", "content_length": "100"}),
        (OPEN_ENDED, {"etag": TAG, "content_range": "bytes 7-99/*"}),
    ],
)
def test_part_that_contradicts_the_request_is_rejected(version, headers):
    with pytest.raises(errors.SourceNotReadable, match="wanted the bytes from 7 on"):
        interpret(response(206, **headers), at(7, version))


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (TAGGED, {"content_range": "bytes 7-99/100", "etag": '"v2"'}),
        (TAGGED, {"content_range": "bytes 7-99/100", "etag": f"W/{TAG}"}),
        (TAGGED, {"content_range": "bytes 7-99/100"}),
        (DATED, {"content_range": "bytes 7-99/100", "last_modified": JUST_NOW}),
        (TAGGED, {"content_range": "bytes 7-119/120", "etag": TAG}),
    ],
)
def test_part_of_another_version_is_a_change(version, headers):
    with pytest.raises(errors.SourceChanged, match="at byte 7"):
        interpret(response(206, **headers), at(7, version))


@pytest.mark.parametrize("state", [DownloadState(source=URL), at(0, TAGGED), at(7, PLAIN)])
@pytest.mark.parametrize("status", [206, 416])
def test_part_that_was_not_requested_is_rejected(state, status):
    with pytest.raises(errors.SourceNotReadable, match=f"{status} from"):
        interpret(response(status, content_range="bytes 7-99/100", etag=TAG), state)


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (TAGGED, {"etag": TAG, "content_length": "100"}),
        (TAGGED, {"etag": TAG}),
        (OPEN_ENDED, {"etag": TAG, "content_length": "100"}),
        (DATED, {"last_modified": LONG_AGO}),
        (DATED, {"last_modified": LONG_AGO, "etag": '"new"'}),
        (PLAIN, {"content_length": "100"}),
        (PLAIN, {"etag": '"any"'}),
    ],
)
def test_full_response_is_skipped_to_the_position(version, headers):
    outcome = interpret(response(200, **headers), at(7, version))
    assert outcome == UseBody(version=version, skip=7, stop=version.length)


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        (TAGGED, {"etag": '"v2"', "content_length": "100"}),
        (TAGGED, {"content_length": "100"}),
        (TAGGED, {"etag": TAG, "content_length": "99"}),
        (DATED, {"last_modified": JUST_NOW}),
        (DATED, {}),
        (PLAIN, {"content_length": "101"}),
    ],
)
def test_full_response_of_another_version_is_a_change(version, headers):
    with pytest.raises(errors.SourceChanged, match="at byte 7") as caught:
        interpret(response(200, **headers), at(7, version))
    assert caught.value.source == URL


def test_version_may_change_before_the_first_byte():
    received = response(200, etag='"v2"', content_length="100")
    assert interpret(received, at(0, TAGGED)) == UseBody(
        version=FileVersion(length=100, etag='"v2"'), stop=100
    )
    assert interpret(response(200, etag=TAG), at(0, PLAIN)).version == TAGGED


def test_announced_length_must_not_change():
    with pytest.raises(errors.SourceChanged, match="it has 99 bytes; wanted 100"):
        interpret(response(200, content_length="99"), at(0, TAGGED))


@pytest.mark.parametrize("headers", [{}, {"etag": TAG}])
def test_unsatisfied_range_at_the_end_means_finished(headers):
    received = response(416, content_range="bytes */7", **headers)
    assert interpret(received, at(7, OPEN_ENDED)) == Finished()


@pytest.mark.parametrize(
    ("version", "headers", "kind"),
    [
        (OPEN_ENDED, {"content_range": "bytes */6"}, errors.SourceChanged),
        (OPEN_ENDED, {"content_range": "bytes */8"}, errors.SourceChanged),
        (OPEN_ENDED, {"content_range": "bytes */7", "etag": '"v2"'}, errors.SourceChanged),
        (TAGGED, {"content_range": "bytes */7"}, errors.SourceChanged),
        (OPEN_ENDED, {}, errors.SourceNotReadable),
        (OPEN_ENDED, {"content_range": "bytes 7-8/9"}, errors.SourceNotReadable),
    ],
)
def test_unsatisfied_range_elsewhere_is_an_error(version, headers, kind):
    with pytest.raises(kind):
        interpret(response(416, **headers), at(7, version))


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "unheard-of"])
def test_compressed_file_is_rejected(status, coding):
    received = response(status, content_encoding=coding, content_range="bytes 7-99/100", etag=TAG)
    with pytest.raises(errors.SourceNotReadable, match="Content-Encoding is"):
        interpret(received, at(7, TAGGED))


def test_identity_coding_is_accepted():
    assert interpret(response(200, content_encoding=" Identity ")) == UseBody(version=FileVersion())


@pytest.mark.parametrize("status", [200, 206])
def test_body_without_detectable_end_is_rejected(status):
    received = response(status, content_range="bytes 7-99/100", etag=TAG)
    with pytest.raises(errors.SourceNotReadable, match="can't be distinguished"):
        interpret_response(received, at(7, TAGGED), is_delimited=False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_return_their_location(status):
    assert interpret(response(status, location="/x")) == Redirected("/x")
    assert interpret(response(status)) == Redirected("")


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("state", [DownloadState(source=URL), at(7, TAGGED), at(7, PLAIN)])
def test_transient_statuses_are_retried(status, state):
    received = response(status, retry_after="3")
    assert interpret(received, state) == RetryLater(
        reason=f"{status} from GET {URL}", retry_after=3.0
    )


@pytest.mark.parametrize("status", [204, 205, 300, 304, 305, 400, 401, 403, 404, 410, 412, 451])
@pytest.mark.parametrize("state", [DownloadState(source=URL), at(7, TAGGED)])
def test_other_statuses_are_final(status, state):
    with pytest.raises(errors.SourceNotReadable, match=f"{status} from GET {URL}"):
        interpret(response(status), state)


def get(url):
    return Request(method="GET", url=url)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        (URL, "/b?t=1#x", "https://origin.example/b?t=1"),
        (URL, "b%2Fc", "https://origin.example/b%2Fc"),
        (URL, "//other.example/b", "https://other.example/b"),
        (URL, "https://other.example:8443/b", "https://other.example:8443/b"),
        ("http://a.example/", "https://a.example/", "https://a.example/"),
        ("http://a.example/", "http://b.example/", "http://b.example/"),
        ("https://me:pass@a.example/x", "/y", "https://me:pass@a.example/y"),
        ("https://me:pass@a.example/x", "https://b.example/y", "https://b.example/y"),
        ("https://me:pass@a.example/x", "https://a.example/y", "https://a.example/y"),
    ],
)
def test_redirect_is_resolved(url, location, target):
    assert follow(get(url), location, source=URL) == target


@pytest.mark.parametrize(
    "location",
    [
        *("", " ", "#x", "http:///x", "http://[::1/", "https://a.example/\x01", "javascript:1"),
        *("ftp://a.example/x", "file:///etc/passwd", "https://a.example:0/"),
        "https://a.example:99999/",
    ],
)
def test_unusable_redirect_is_an_error(location):
    with pytest.raises(errors.SourceNotReadable, match="a redirect "):
        follow(get(URL), location, source=URL)


def test_redirect_from_https_to_http_is_an_error():
    with pytest.raises(errors.SourceNotReadable, match="leaves https for http") as caught:
        follow(
            get("https://a.example/?s3cret=1"), "http://me:s3cret@b.example/x?s3cret=1", source=URL
        )
    assert "s3cret" not in str(caught.value)
    assert "b.example/x" in str(caught.value)


SIGNATURE = "SIGs3cret-31ab"


@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [
        (200, {"content-encoding": SIGNATURE}, None),
        (206, {"content-range": f"bytes {SIGNATURE}"}, at(50, TAGGED)),
        (416, {"content-range": SIGNATURE}, at(50, TAGGED)),
    ],
)
def test_echoed_secret_in_a_header_is_redacted(status, headers, state):
    received = Response(status=status, headers=headers, secrets=(SIGNATURE,))
    with pytest.raises(errors.SourceNotReadable) as caught:
        interpret(received, state)
    assert SIGNATURE not in str(caught.value)


def test_echoed_secret_in_a_redirect_is_redacted():
    with pytest.raises(errors.SourceNotReadable) as caught:
        follow(get(f"{URL}?sign={SIGNATURE}"), f"ftp://origin.example/{SIGNATURE}", source=URL)
    assert SIGNATURE not in str(caught.value)
