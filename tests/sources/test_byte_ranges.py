"""What answers mean to a download: each status, each validator, each contradiction."""

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


def answer(status, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, place=f"GET {URL}")


def at(position, known):
    return DownloadState(source=URL, position=position, known=known)


def verdict(said, standing=None):
    return interpret_response(said, standing or DownloadState(source=URL), is_delimited=True)


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({}, FileVersion()),
        ({"content_length": "100"}, FileVersion(length=100)),
        ({"content_length": "1x"}, FileVersion()),
        ({"content_length": "9" * 5000}, FileVersion()),
        ({"etag": TAG}, FileVersion(etag=TAG)),
        ({"etag": TAG, "last_modified": LONG_AGO, "date": DATE}, FileVersion(etag=TAG)),
        # A weak tag can't be sent, nor a date beside it.
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
def test_first_answer_tells_what_is_known(headers, known):
    assert verdict(answer(200, **headers)) == UseBody(known=known, stop=known.length)


@pytest.mark.parametrize(
    ("standing", "headers"),
    [
        (DownloadState(source=URL), {}),
        (at(0, TAGGED), {}),
        (at(7, PLAIN), {}),
        (at(7, TAGGED), {"Range": "bytes=7-", "If-Range": TAG}),
        (at(7, DATED), {"Range": "bytes=7-", "If-Range": LONG_AGO}),
    ],
)
def test_range_is_asked_for_with_a_strong_validator_only(standing, headers):
    assert range_headers(standing) == headers


@pytest.mark.parametrize(
    ("known", "headers", "length"),
    [
        (TAGGED, {"content_range": "bytes 7-99/100", "etag": TAG}, 100),
        (TAGGED, {"content_range": "Bytes 7-99/*", "etag": TAG}, 100),
        (DATED, {"content_range": "bytes 7-99/100"}, 100),
        (DATED, {"content_range": "bytes 7-99/100", "last_modified": LONG_AGO}, 100),
        (DATED, {"content_range": "bytes 7-99/100", "content_length": "93"}, 100),
        (OPEN_ENDED, {"content_range": "bytes 7-99/100", "etag": TAG}, 100),
    ],
)
def test_part_that_fits_is_taken(known, headers, length):
    taken = verdict(answer(206, **headers), at(7, known))
    assert (taken.skip, taken.stop, taken.known.length) == (0, 100, length)
    assert taken.known.validator == known.validator


def test_part_may_end_before_the_file_does():
    said = answer(206, content_range="bytes 7-49/100", content_length="43", etag=TAG)
    assert verdict(said, at(7, TAGGED)) == UseBody(known=TAGGED, stop=50)


@pytest.mark.parametrize(
    ("known", "headers"),
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
def test_part_that_contradicts_the_request_is_refused(known, headers):
    with pytest.raises(errors.SourceNotReadable, match="wanted the bytes from 7 on"):
        verdict(answer(206, **headers), at(7, known))


@pytest.mark.parametrize(
    ("known", "headers"),
    [
        (TAGGED, {"content_range": "bytes 7-99/100", "etag": '"v2"'}),
        (TAGGED, {"content_range": "bytes 7-99/100", "etag": f"W/{TAG}"}),
        (TAGGED, {"content_range": "bytes 7-99/100"}),
        (DATED, {"content_range": "bytes 7-99/100", "last_modified": JUST_NOW}),
        (TAGGED, {"content_range": "bytes 7-119/120", "etag": TAG}),
    ],
)
def test_part_of_another_version_is_not_taken(known, headers):
    with pytest.raises(errors.SourceChanged, match="at byte 7"):
        verdict(answer(206, **headers), at(7, known))


@pytest.mark.parametrize("standing", [DownloadState(source=URL), at(0, TAGGED), at(7, PLAIN)])
@pytest.mark.parametrize("status", [206, 416])
def test_part_that_nobody_asked_for_is_refused(standing, status):
    with pytest.raises(errors.SourceNotReadable, match=f"{status} from"):
        verdict(answer(status, content_range="bytes 7-99/100", etag=TAG), standing)


@pytest.mark.parametrize(
    ("known", "headers"),
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
def test_whole_file_is_skipped_to_where_the_download_stands(known, headers):
    taken = verdict(answer(200, **headers), at(7, known))
    assert taken == UseBody(known=known, skip=7, stop=known.length)


@pytest.mark.parametrize(
    ("known", "headers"),
    [
        (TAGGED, {"etag": '"v2"', "content_length": "100"}),
        (TAGGED, {"content_length": "100"}),
        (TAGGED, {"etag": TAG, "content_length": "99"}),
        (DATED, {"last_modified": JUST_NOW}),
        (DATED, {}),
        (PLAIN, {"content_length": "101"}),
    ],
)
def test_whole_file_of_another_version_is_a_change(known, headers):
    with pytest.raises(errors.SourceChanged, match="at byte 7") as caught:
        verdict(answer(200, **headers), at(7, known))
    assert caught.value.source == URL


def test_before_the_first_byte_another_version_of_the_same_length_will_do():
    said = answer(200, etag='"v2"', content_length="100")
    assert verdict(said, at(0, TAGGED)) == UseBody(
        known=FileVersion(length=100, etag='"v2"'), stop=100
    )
    assert verdict(answer(200, etag=TAG), at(0, PLAIN)).known == TAGGED


def test_length_that_was_announced_must_stay():
    with pytest.raises(errors.SourceChanged, match="it has 99 bytes; wanted 100"):
        verdict(answer(200, content_length="99"), at(0, TAGGED))


@pytest.mark.parametrize("headers", [{}, {"etag": TAG}])
def test_no_range_may_mean_that_the_end_was_reached(headers):
    said = answer(416, content_range="bytes */7", **headers)
    assert verdict(said, at(7, OPEN_ENDED)) == Finished()


@pytest.mark.parametrize(
    ("known", "headers", "kind"),
    [
        (OPEN_ENDED, {"content_range": "bytes */6"}, errors.SourceChanged),
        (OPEN_ENDED, {"content_range": "bytes */8"}, errors.SourceChanged),
        (OPEN_ENDED, {"content_range": "bytes */7", "etag": '"v2"'}, errors.SourceChanged),
        (TAGGED, {"content_range": "bytes */7"}, errors.SourceChanged),
        (OPEN_ENDED, {}, errors.SourceNotReadable),
        (OPEN_ENDED, {"content_range": "bytes 7-8/9"}, errors.SourceNotReadable),
    ],
)
def test_no_range_elsewhere_is_an_error(known, headers, kind):
    with pytest.raises(kind):
        verdict(answer(416, **headers), at(7, known))


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "unheard-of"])
def test_file_in_a_coding_is_refused(status, coding):
    said = answer(status, content_encoding=coding, content_range="bytes 7-99/100", etag=TAG)
    with pytest.raises(errors.SourceNotReadable, match="Content-Encoding is"):
        verdict(said, at(7, TAGGED))


def test_identity_is_no_coding():
    assert verdict(answer(200, content_encoding=" Identity ")) == UseBody(known=FileVersion())


@pytest.mark.parametrize("status", [200, 206])
def test_body_whose_end_is_a_guess_is_refused(status):
    said = answer(status, content_range="bytes 7-99/100", etag=TAG)
    with pytest.raises(errors.SourceNotReadable, match="can't be told"):
        interpret_response(said, at(7, TAGGED), is_delimited=False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_told(status):
    assert verdict(answer(status, location="/x")) == Redirected("/x")
    assert verdict(answer(status)) == Redirected("")


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("standing", [DownloadState(source=URL), at(7, TAGGED), at(7, PLAIN)])
def test_setbacks_are_waited_out(status, standing):
    said = answer(status, retry_after="3")
    assert verdict(said, standing) == RetryLater(reason=f"{status} from GET {URL}", retry_after=3.0)


@pytest.mark.parametrize("status", [204, 205, 300, 304, 305, 400, 401, 403, 404, 410, 412, 451])
@pytest.mark.parametrize("standing", [DownloadState(source=URL), at(7, TAGGED)])
def test_other_answers_are_final(status, standing):
    with pytest.raises(errors.SourceNotReadable, match=f"{status} from GET {URL}"):
        verdict(answer(status), standing)


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
def test_redirect_leads_to(url, location, target):
    assert follow(get(url), location, source=URL) == target


@pytest.mark.parametrize(
    "location",
    [
        *("", " ", "#x", "http:///x", "http://[::1/", "https://a.example/\x01", "javascript:1"),
        *("ftp://a.example/x", "file:///etc/passwd", "https://a.example:0/"),
        "https://a.example:99999/",
    ],
)
def test_redirect_that_leads_nowhere_is_an_error(location):
    with pytest.raises(errors.SourceNotReadable, match="a redirect "):
        follow(get(URL), location, source=URL)


def test_redirect_does_not_leave_https():
    with pytest.raises(errors.SourceNotReadable, match="leaves https for http") as caught:
        follow(
            get("https://a.example/?s3cret=1"), "http://me:s3cret@b.example/x?s3cret=1", source=URL
        )
    assert "s3cret" not in str(caught.value)
    assert "b.example/x" in str(caught.value)


SIGNATURE = "SIGs3cret-31ab"


@pytest.mark.parametrize(
    ("status", "headers", "standing"),
    [
        (200, {"content-encoding": SIGNATURE}, None),
        (206, {"content-range": f"bytes {SIGNATURE}"}, at(50, TAGGED)),
        (416, {"content-range": SIGNATURE}, at(50, TAGGED)),
    ],
)
def test_header_that_echoes_a_secret_is_not_quoted(status, headers, standing):
    said = Response(status=status, headers=headers, secrets=(SIGNATURE,))
    with pytest.raises(errors.SourceNotReadable) as caught:
        verdict(said, standing)
    assert SIGNATURE not in str(caught.value)


def test_redirect_that_echoes_a_secret_is_not_quoted():
    with pytest.raises(errors.SourceNotReadable) as caught:
        follow(get(f"{URL}?sign={SIGNATURE}"), f"ftp://origin.example/{SIGNATURE}", source=URL)
    assert SIGNATURE not in str(caught.value)
