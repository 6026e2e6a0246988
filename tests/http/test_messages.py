import copy
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async import errors
from livepeer_async.http.messages import (
    Request,
    Response,
    Span,
    merge_headers,
    name_url,
    own_headers,
    retry_after,
)
from livepeer_async.redaction import excerpt, header_value, redact, without_query
from support.strategies import CHARACTERS, any_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyZXQifQ.c2lnbmF0dXJl-_"
NOON = "Sun, 06 Nov 1994 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        (f"no token {JWT} found", "no token *** found"),
        (f"token%3D{JWT}", "token%3D***"),
        (f"x{JWT}", "x***"),
        ("eyJhbGciOiJIUzI1NiJ9..aXY.Y2lwaGVy.dGFn!", "***!"),
        ("Authorization: Bearer s3cret", "Authorization: Bearer ***"),
        ("BEARER  s3cret, then", "BEARER ***, then"),
        ("jwt s3cret;", "jwt ***;"),
        ("bearer of bad news", "bearer *** bad news"),
        (
            "<ConnectionTerminated error_code:1, last_stream_id:0, additional_data:4b45>",
            "<ConnectionTerminated error_code:1, last_stream_id:0, additional_data:***>",
        ),
        ("additional_data:None", "additional_data:None"),
        ("GET https://host.example/a?token=s3cret failed", "GET https://host.example/a failed"),
        ("<https://host.example/a?b=s3cret>; rel=next", "<https://host.example/a>; rel=next"),
        ('"https://host.example?s3cret"', '"https://host.example"'),
        ("(http://host.example/a?s3cret)", "(http://host.example/a)"),
        ("HTTPS://host.example/a?s3cret", "HTTPS://host.example/a"),
        ("https://host.example/a#access=s3cret", "https://host.example/a"),
        ("https://host.example/a#b?token=s3cret", "https://host.example/a"),
        ("https://user:s3cret@host.example/a", "https://host.example/a"),
        ("s3+https://key:s3cret@host.example/a", "s3+https://host.example/a"),
        ("https://us@er:s3cret@host.example/a?s3cret", "https://host.example/a"),
        ("https://host.example/a@b", "https://host.example/a@b"),
        ("Cannot POST /tus?token=s3cret&x=1", "Cannot POST /tus?token=***&x=1"),
        ("/tus?a=1&API_KEY=s3cret", "/tus?a=1&API_KEY=***"),
        ("https://host.example/?a)&signature=s3cret", "https://host.example/)&signature=***"),
    ],
)
def test_secrets_are_taken_out_of_a_text(text, shown):
    assert redact(text) == shown


def test_given_secrets_are_taken_out():
    assert redact("no token k1 found for k2", "k1", None, "", "k2") == "no token *** found for ***"


@given(
    st.text("abc DEF.,:;/?&=@\n", max_size=20),
    st.sampled_from(
        [
            "https://u:s3cret@h/x",
            "https://h/x?s3cret",
            "http://h/x?a=b&c=s3cret",
            "Bearer s3cret",
            "/x?token=s3cret",
            "eyJzM2NyZXQi.s3cret.s3cret",
            "k-s3cret",
        ]
    ),
    st.text(" \n\"'<>", min_size=1, max_size=5),
)
def test_secret_is_found_wherever_it_stands(before, secret, after):
    assert "s3cret" not in redact(f"{before} {secret}{after}", "k-s3cret")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host.example/a%2Fb?token=s3cret#s3cret", "https://host.example/a%2Fb"),
        ("https://user:s3cret@host.example:8443/a", "https://host.example:8443/a"),
        ("http://[::1]:80/a?x", "http://[::1]:80/a"),
        ("", ""),
        ("https://[::1/a?s3cret", "an unreadable URL"),
    ],
)
def test_url_is_cut_down_to_host_and_path(url, shown):
    assert without_query(url) == shown


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
def test_a_url_has_a_name(url, name):
    assert name_url(url) == name


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", ""),
        (b"The file for this url was not found\n", "The file for this url was not found"),
        (b"<html>\r\n\t<p>502</p>\x00\x07\n</html>", "<html> <p>502</p> </html>"),
        (b"\xff\xd8\xff\xe0 caf\xc3\xa9", "\N{REPLACEMENT CHARACTER}" * 4 + " café"),
        (b"a" * 120, "a" * 120),
        (b"a" * 121, "a" * 120 + "…"),
        (f"key {JWT}".encode(), "key ***"),
        (b" " * 955 + b"k-123456", "…"),
        (b"first" + b"\n" * 945 + b"said k-123456", "first said…"),
    ],
)
def test_excerpt_is_one_line_without_secrets(body, shown):
    assert excerpt(body, "k-123456") == shown


@given(st.binary(max_size=3_000), st.integers(1, 200))
def test_excerpt_of_any_body_is_short_and_printable(body, longest):
    line = excerpt(body, longest=longest)
    assert len(line) <= longest + 1
    assert line.isprintable()


@given(st.integers(0, 1_200), st.sampled_from([b" ", b"\n", b"x ", b"eyJ.a "]))
def test_excerpt_never_shows_the_beginning_of_a_secret(count, filler):
    body = filler * count + b" said S3CRET-KEY-1 and more"
    assert "S3C" not in excerpt(body, "S3CRET-KEY-1")


def test_excerpt_with_a_cut_secret_ends_before_it():
    body = b" " * 840 + b"x" * 108 + b" S3CRET-KEY-1"
    assert excerpt(body, "S3CRET-KEY-1") == "x" * 108 + "…"


def test_user_without_a_password_is_a_secret():
    request = Request(method="GET", url="https://S3cret-user@h.example/x")
    assert "S3cret-user" in request.secrets


def test_secrets_of_a_redirected_request_stay_secret():
    url = "https://h.example/S3cret-key/x"
    request = Request(method="GET", url=url, other_secrets=("S3cret-key",))
    assert request.place == "GET https://h.example/***/x"
    assert request.secrets == ("S3cret-key",)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("12x", "'12x'"),
        ("a\nb", r"'a\nb'"),
        ("", "''"),
        ("Bearer s3cret", "'Bearer ***'"),
        ("x" * 81, "'" + "x" * 80 + "…'"),
    ],
)
def test_header_is_shown_quoted_and_short(value, shown):
    assert header_value(value) == shown


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
    assert retry_after(Response(status=503, headers=headers)) == seconds


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_date_without_a_zone_is_not_in_local_time(zone, monkeypatch):
    headers = {"retry-after": "Sun Nov  6 12:00:30 1994", "date": NOON}
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert retry_after(Response(status=503, headers=headers)) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


DATES = st.from_regex(
    r"\A[A-Z][a-z]{2}, ?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} ?.{0,6}\Z",
    alphabet=CHARACTERS,
)


@given(any_text(max_size=30) | DATES, any_text(max_size=30) | DATES | st.just(NOON))
def test_any_retry_after_is_seconds_or_nothing(value, date):
    seconds = retry_after(Response(status=503, headers={"retry-after": value, "date": date}))
    assert seconds is None or seconds >= 0.0


def test_repr_shows_no_query_header_or_body():
    url = "https://user:s3cret@host.example/a?token=s3cret"
    headers = {"Authorization": "Bearer s3cret"}
    request = Request(method="POST", url=url, headers=headers, content=b"s3cret")
    assert repr(request) == "<Request POST https://host.example/a, 6 bytes>"
    request = Request(method="PATCH", url=url, content=Span(3, 7))
    assert repr(request) == "<Request PATCH https://host.example/a, 4 bytes>"
    response = Response(status=401, headers=headers, body=b"s3cret", place=request.place)
    assert repr(response) == "<Response 401 to PATCH https://host.example/a, 6 bytes>"


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
def test_status_has_a_class(status, is_success, is_redirect):
    response = Response(status=status)
    assert (response.is_success, response.is_redirect) == (is_success, is_redirect)


def all_errors(kind=errors.LivepeerError):
    return {kind, *(deeper for sub in kind.__subclasses__() for deeper in all_errors(sub))}


FACTS = {
    errors.SourceError: {"source": "talk.mp4"},
    errors.KeyTaken: {"asset_id": "a1", "advice": "give another key"},
    errors.SourceChanged: {"source": "talk.mp4", "asset_id": "a1"},
    errors.SourceTooLarge: {"source": "talk.mp4", "length": 2, "limit": 1},
    errors.DecodeError: {"path": "$.asset", "request_id": "r1"},
    errors.UploadRefused: {"status": 403, "request_id": "r1"},
    errors.RetriesExhausted: {"attempts": 11, "request_id": "r1"},
    errors.AssetError: {"asset_id": "a1"},
    errors.AssetFailed: {"asset_id": "a1", "error_message": "no", "is_retryable": True},
    errors.IntegrityError: {"asset_id": "a1", "wanted": 1, "found": 2},
    errors.JournalError: {"path": "/a"},
    errors.UploadInUse: {"path": "/a", "key": "talk"},
    errors.LivepeerError: {"request_id": "r1"},
}


ADVISING = {
    errors.KeyTaken,
    errors.SourceChanged,
    errors.AmbiguousRequest,
    errors.AssetFailed,
    errors.UploadInUse,
}


@pytest.mark.parametrize("kind", sorted(all_errors(), key=str), ids=lambda kind: kind.__name__)
def test_error_carries_its_facts(kind):
    if issubclass(kind, errors.ApiError):
        facts = {"status": 429, "errors": ("no",), "method": "GET", "url": "https://host.example/a"}
        error = kind(**facts, retry_after=7.0, request_id="r1")
        assert str(error) == "429 from GET https://host.example/a: no [request r1]"
        facts |= {"violations": (), "retry_after": 7.0, "request_id": "r1"}
    else:
        facts = next(FACTS[base] for base in kind.__mro__ if base in FACTS)
        error = kind("what was found", **facts)
        advice = f"; {error.advice}" if error.advice else ""
        suffix = " [request r1]" if "request_id" in facts else ""
        assert str(error) == f"what was found{advice}{suffix}"
        assert bool(advice) is (kind in ADVISING)
    for copied in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(copied), str(copied)) == (kind, str(error))
        for name, value in facts.items():
            assert getattr(copied, name) == value


def test_every_error_stands_in_the_tree():
    for kind in all_errors():
        assert kind.__name__ in errors.__doc__


def test_error_of_the_api_without_a_sentence_says_so():
    error = errors.ServerError(status=500, errors=(), method="GET", url="https://host.example/a")
    assert str(error) == "500 from GET https://host.example/a: no explanation"


def test_errors_are_also_what_python_calls_them():
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.AssetTimeout, TimeoutError)
    assert errors.TusError("x").upload_url is None


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
        ("https://[::1/files/ab12cd34", "an unreadable URL"),
    ],
)
def test_an_upload_url_is_told_from_others_but_is_no_key(url, shown):
    request = Request(method="HEAD", url=url, hides_path=True)
    assert request.place == f"HEAD {shown}"
    assert shown in repr(request)


def test_a_log_of_the_http_library_holds_no_upload_url():
    line = 'HTTP Request: PATCH http://h/api/asset/upload/tus/directUpload%2F6f4ay440x8m42zaj "204"'
    assert redact(line) == (
        'HTTP Request: PATCH http://h/api/asset/upload/tus/directUpload%2F6f4a… "204"'
    )


@pytest.mark.parametrize("folder", ["directUpload/", "directUpload%2f", ""])
def test_path_of_an_upload_at_livepeer_is_known_everywhere(folder):
    assert redact(f"no /upload/tus/{folder}6f4ay440x8m42zaj") == f"no /upload/tus/{folder}6f4a…"


def test_secret_is_found_in_a_long_text_whatever_its_coding():
    text = f"{'word ' * 700}{'%41' * 100} {'word ' * 700}"
    assert "%41" not in redact(text, "A" * 100)
    assert redact(text, "A" * 100).endswith("word…")


def test_a_long_text_is_cut_before_a_secret_that_may_be_cut_with_it():
    text = f"{'word ' * 900}token={'x' * 200}"
    assert redact(text).endswith("word…")
    assert len(redact(text)) < 5000


def test_last_header_of_a_name_without_case_wins():
    merged = merge_headers({"Accept": "a", "X": "1"}, {"ACCEPT": "b"}, {"x": "2", "y": "3"})
    assert merged == {"ACCEPT": "b", "x": "2", "y": "3"}


def test_caller_sets_no_framing_and_nothing_reserved():
    headers = {"Content-LENGTH": "1", "HOST": "x", "Tus-Resumable": "2", "X-A": "1", "x-a": "2"}
    assert own_headers(headers, reserved=frozenset({"tus-resumable"})) == {"x-a": "2"}
    assert own_headers(None) == {}
