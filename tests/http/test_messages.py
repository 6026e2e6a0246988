import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from livepeer_async.errors import DecodeError
from livepeer_async.http.messages import (
    Request,
    Response,
    Span,
    file_name_from_url,
    filter_headers,
    find_invalid_part,
    merge_headers,
)
from support.strategies import CHARACTERS, any_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyZXQifQ.c2lnbmF0dXJl-_"
NOON = "Sun, 06 Nov 1994 12:00:00 GMT"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.example", "h.example"),
        ("http://h/a/b/", "b"),
        ("http://h/?x", "h"),
        ("http://h/talk%20one.mp4?token=s", "talk one.mp4"),
        ("http:", ""),
        ("http://[::1/x", ""),
    ],
)
def test_file_name_is_read_from_url(url, name):
    assert file_name_from_url(url) == name


@pytest.mark.parametrize(
    ("method", "name", "value", "found"),
    [
        ("GET", "X-Mine", "plain value", None),
        ("GET", "X-Mine", "", None),
        ("GET", "TE", "trailers", None),
        ("GE T", "X-Mine", "a", "method"),
        ("GET", "X Mine", "a", "name of a header"),
        ("GET", "X-Mine", "a\r\nX: b", "header X-Mine"),
        ("GET", "X-Mine", "\xe4", "header X-Mine"),
        ("GET", "X-Mine", " a", "header X-Mine"),
        ("GET", "X-Mine", "a\t", "header X-Mine"),
        ("GET", "te", "gzip", "header te"),
    ],
)
def test_part_that_cannot_be_sent_is_found(method, name, value, found):
    request = Request(method=method, url="http://h.example/", headers={name: value})
    reason = find_invalid_part(request)
    assert reason is None if found is None else found in reason


@pytest.mark.parametrize(
    ("value", "single"),
    [
        (None, None),
        ("5", "5"),
        ("5, 5", "5"),
        ("5,5,5", "5"),
        ("5, 6", "5, 6"),
        (NOON, NOON),
        (f"{NOON}, {NOON}", NOON),
        (f"{NOON}, {NOON}, {NOON}", NOON),
        ("a, b, a", "a, b, a"),
        (",", ""),
    ],
)
def test_equal_values_of_a_header_count_once(value, single):
    headers = {} if value is None else {"x": value}
    assert Response(status=200, headers=headers).single("x") == single


def test_repeated_url_with_a_comma_counts_once():
    response = Response(status=201, headers={"location": "/7,7, /7,7"})
    assert response.single("location", separator=", ") == "/7,7"
    alone = Response(status=201, headers={"location": "7,7"})
    assert alone.single("location", separator=", ") == "7,7"


def test_repeated_retry_after_counts_once():
    headers = {"retry-after": "30, 30", "date": f"{NOON}, {NOON}"}
    response = Response(status=503, headers=headers)
    assert (response.retry_after, response.date) == (
        30.0,
        Response(headers={"date": NOON}, status=200).date,
    )
    assert Response(status=503, headers={"retry-after": "30, 31"}).retry_after is None


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("", "ä€".encode(), "ä€"),
        ("application/json", "ä€".encode(), "ä€"),
        ("text/plain; charset=latin-1", b"\xe4", "ä"),
        ('text/plain; Charset = "ISO-8859-1"; x=y', b"\xe4", "ä"),
        ("text/plain; charset=utf-16-le", "ä".encode("utf-16-le"), "ä"),
        ("text/plain; charset=unknown", b"a\xff", "a\ufffd"),
        ("text/plain; charset=base64", b"YQ==", "YQ=="),
        ("text/plain; charset=\x00", b"a", "a"),
        ("", b"", ""),
    ],
)
def test_text_is_decoded_by_its_charset(content_type, body, text):
    headers = {"content-type": content_type}
    assert Response(status=200, headers=headers, body=body).text == text


def test_json_is_decoded():
    body = b'{"names": ["talk \\ud83d", "x\xff"]}'
    assert Response(status=200, body=body).json() == {"names": ["talk \ufffd", "x\ufffd"]}


@pytest.mark.parametrize(
    "body", [b"", b"<html>s3cret-key</html>", b'{"a": s3cret-key', b"[" * 9999]
)
def test_invalid_json_is_a_typed_error_without_secrets(body):
    place = "GET https://h.example/stream"
    response = Response(
        status=200, body=body, place=place, request_id="r1", secrets=("s3cret-key",)
    )
    with pytest.raises(DecodeError, match="isn't JSON") as caught:
        response.json()
    assert place in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert (caught.value.path, caught.value.request_id) == ("$", "r1")
    assert caught.value.__context__ is None


def test_user_without_password_is_a_secret():
    request = Request(method="GET", url="https://S3cret-user@h.example/x")
    assert "S3cret-user" in request.secrets


def test_secrets_of_redirected_request_stay_secret():
    url = "https://h.example/S3cret-key/x"
    request = Request(method="GET", url=url, other_secrets=("S3cret-key",))
    assert request.place == "GET https://h.example/***/x"
    assert request.secrets == ("S3cret-key",)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 120 "}, 120.0),
        ({"retry-after": "9" * 400}, 999_999_999.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 11:00:00 GMT", "date": NOON}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 12:00:30 GMT"}, None),
        ({"retry-after": NOON, "date": "whenever"}, None),
        # RFC 9110, 5.6.7: the forms of older days.
        ({"retry-after": "Sunday, 06-Nov-94 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Sun Nov  6 12:00:30 1994", "date": NOON}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 12:00:30 -0000", "date": NOON}, 30.0),
        ({"retry-after": "Sun, 40 Nov 1994 12:00:30 GMT", "date": NOON}, None),
        ({"retry-after": "Sun, 06 Nov 99999999999999999999 12:00:30 GMT", "date": NOON}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, seconds):
    assert Response(status=503, headers=headers).retry_after == seconds


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_date_without_zone_is_gmt(zone, monkeypatch):
    headers = {"retry-after": "Sun Nov  6 12:00:30 1994", "date": NOON}
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert Response(status=503, headers=headers).retry_after == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


DATES = st.from_regex(
    r"\A[A-Z][a-z]{2}, ?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} ?.{0,6}\Z",
    alphabet=CHARACTERS,
)


@given(any_text(max_size=30) | DATES, any_text(max_size=30) | DATES | st.just(NOON))
def test_any_retry_after_is_seconds_or_none(value, date):
    seconds = Response(status=503, headers={"retry-after": value, "date": date}).retry_after
    assert seconds is None or seconds >= 0.0


def test_repr_shows_no_query_header_or_body():
    url = "https://user:s3cret@host.example/a?token=s3cret"
    headers = {"Authorization": "Bearer s3cret"}
    request = Request(method="POST", url=url, headers=headers, content=b"s3cret")
    assert repr(request) == "Request(place='POST https://host.example/a')"
    request = Request(method="PATCH", url=url, content=Span(3, 7))
    assert repr(request) == "Request(place='PATCH https://host.example/a')"
    response = Response(status=401, headers=headers, body=b"s3cret", place=request.place)
    assert repr(response) == "Response(status=401, place='PATCH https://host.example/a')"


@pytest.mark.parametrize(
    ("status", "is_success", "is_redirect"),
    [
        (199, False, False),
        (200, True, False),
        (299, True, False),
        (300, False, True),
        (399, False, True),
        (400, False, False),
    ],
)
def test_status_is_classified(status, is_success, is_redirect):
    response = Response(status=status)
    assert (response.is_success, response.is_redirect) == (is_success, is_redirect)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://o.example/files/ab12", "https://o.example/files/ab12"),
        ("https://o.example/files/ab12cd34?x=1", "https://o.example/files/ab12…"),
        (
            "https://o.example/api/asset/upload/tus/directUpload%2F6f4ay440x8m42zaj",
            "https://o.example/api/asset/upload/tus/directUpload%2F6f4a…",
        ),
        ("https://o.example/files/ab12cd34/", "https://o.example/files/ab12…"),
        ("https://u:p@o.example/uploads/ab12cd34/blob", "https://o.example/uploads/ab12…"),
        ("https://o.example/tus/ab12cd34;v=1?x", "https://o.example/tus/ab12…"),
        ("https://o.example/", "https://o.example/"),
        ("https://[::1/files/ab12cd34", "***"),
    ],
)
def test_upload_url_is_shortened(url, shown):
    request = Request(method="HEAD", url=url, hides_path=True)
    assert request.place == f"HEAD {shown}"
    assert shown in repr(request)


def test_last_value_of_a_header_wins():
    merged = merge_headers({"Accept": "a", "X": "1"}, {"ACCEPT": "b"}, {"x": "2", "y": "3"})
    assert merged == {"ACCEPT": "b", "x": "2", "y": "3"}


def test_framing_and_reserved_headers_are_dropped():
    headers = {"Content-LENGTH": "1", "HOST": "x", "Tus-Resumable": "2", "X-A": "1", "x-a": "2"}
    assert filter_headers(headers, reserved=frozenset({"tus-resumable"})) == {"x-a": "2"}
    assert filter_headers(None) == {}


URL = "http://h/files/ab12cd34ef56"


@pytest.mark.parametrize(
    ("url", "headers", "secrets"),
    [
        ("http://h/a", {}, ()),
        ("http://h/a?limit=100&order=createdAt-true&phase=uploading", {}, ()),
        ("http://h/a?x=short", {"X-Flag": "true"}, ()),
        ("http://h/a", {"Content-Type": "application/json", "Accept": "text/plain"}, ()),
        ("http://h/a", {"Authorization": "Bearer s3cret-1"}, ("s3cret-1",)),
        ("http://h/a", {"X-Key": "s3cret-1 s3cret-22"}, ("s3cret-22", "s3cret-1")),
        ("http://h/a?token=s3cret%2B1#x", {}, ("s3cret%2B1", "s3cret+1")),
        ("http://h/a?s3cret-1", {}, ("s3cret-1",)),
        ("http://user:s3cret%231@h/a", {}, ("dXNlcjpzM2NyZXQjMQ==", "s3cret#1")),
        ("http://h/a", {"Cookie": 'a=1; b="s3cret-1"'}, ('b="s3cret-1"', "s3cret-1")),
    ],
)
def test_request_lists_its_secrets(url, headers, secrets):
    assert Request(method="GET", url=url, headers=headers).secrets == secrets


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (URL, ("cd34ef56",)),
        ("http://h/tus/directUpload%2f" + "ab12cd34ef56", ("cd34ef56",)),
        ("http://h/files/ab12cd34", ("ab12cd34",)),
        ("http://h/files/ab", ()),
    ],
)
def test_upload_id_is_a_secret_of_the_request(url, secrets):
    assert Request(method="HEAD", url=url, hides_path=True).secrets == secrets
    assert Request(method="HEAD", url=url).secrets == ()


def test_rich_shows_no_secrets_of_messages():
    headers = {"Authorization": "Bearer s3cret-1"}
    request = Request(method="PATCH", url=f"{URL}?s3cret-1", headers=headers, hides_path=True)
    response = Response(status=200, headers=headers, body=b"s3cret-1", place=request.place)
    shown = pretty_repr([request, response])
    assert "s3cret-1" not in shown
    assert "cd34ef56" not in shown
    assert "http://h/files/ab12…" in shown
