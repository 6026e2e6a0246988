import json

import pytest
from msgspec.structs import replace

from livepeer_async import errors
from livepeer_async.api.requests import check_account, delete_asset, get_asset, retry_asset
from livepeer_async.api.responses import decode_body, error_from_response
from livepeer_async.http.messages import Response
from livepeer_async.models import Asset, UploadTicket
from support.samples import read_text

KEY = "3f9c1c1e-secret-key"
PLACE = "GET https://studio.example/api/asset/a1"


def answer(status, body=b"", **headers):
    return Response(
        status=status,
        body=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        place=PLACE,
        request_id="r1",
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.NotAuthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (413, errors.ApiError),
        (422, errors.InvalidRequest),
        (429, errors.TooManyRequests),
        (500, errors.ServerError),
        (503, errors.ServerError),
    ],
)
def test_each_status_has_its_error(status, kind):
    error = error_from_response(answer(status, b'{"errors":["what it says"]}'))
    assert type(error) is kind
    assert (error.status, error.errors, error.request_id) == (status, ("what it says",), "r1")
    assert (error.method, error.url) == ("GET", "https://studio.example/api/asset/a1")
    assert str(error) == f"{status} from {PLACE}: what it says [request r1]"


def test_a_violation_is_read_out_of_the_string_that_holds_it():
    error = error_from_response(
        answer(422, read_text("error_422_profile_without_bitrate.json").encode())
    )
    assert error.errors == ("profiles.0: must have required property 'bitrate'",)
    assert error.violations[0].instance_path == "/profiles/0"
    assert error.violations[0].keyword == "required"


def test_a_violation_names_the_unknown_field_and_the_allowed_words():
    unknown = error_from_response(answer(422, read_text("error_422_unknown_field.json").encode()))
    assert unknown.errors == ("must NOT have additional properties ('foo')",)
    policy = error_from_response(
        answer(422, read_text("error_422_unknown_policy_type.json").encode())
    )
    assert "public, jwt, webhook" in policy.errors[0]


def test_a_violation_without_a_message_is_named_by_its_keyword():
    body = rb'{"errors":["{\"instancePath\":\"/a\",\"keyword\":\"oneOf\"}"]}'
    assert error_from_response(answer(422, body)).errors == ("a: oneOf",)


def test_braces_that_are_no_violation_stay_as_they_are():
    assert error_from_response(answer(400, b'{"errors":["{odd"]}')).errors == ("{odd",)


def test_an_echoed_key_is_taken_out():
    body = f'{{"errors":["no token {KEY} found"]}}'.encode()
    error = error_from_response(answer(401, body), KEY)
    assert KEY not in str(error)
    assert error.errors == ("no token *** found",)
    assert KEY not in str(error_from_response(answer(401, body)))


def test_a_page_of_html_is_quoted_in_short():
    error = error_from_response(answer(502, b"<html>\n<h1>502 Bad Gateway</h1>" + b"x" * 5000))
    assert error.errors[0].startswith("<html> <h1>502 Bad Gateway</h1>")
    assert len(error.errors[0]) < 200


def test_an_empty_answer_says_that_nothing_was_explained():
    assert "no explanation" in str(error_from_response(answer(500)))


def test_a_redirect_asks_whether_the_base_url_is_right():
    assert "base URL" in str(error_from_response(answer(301, location="https://elsewhere.example")))


def test_the_server_may_say_how_long_to_wait():
    assert error_from_response(answer(429, b"", retry_after="7")).retry_after == 7


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"<html>hello</html>", "$"),
        (b"", "$"),
        (b'{"id":"a', "$"),
        (b"[" * 100_000, "$"),
        (b'{"id":5}', "$.id"),
        (b'{"id":"a","status":{"phase":3}}', "$.status.phase"),
        (b'{"name":"no id"}', "$"),
        (b'"\xff"', "$"),
    ],
)
def test_what_cannot_be_decoded_names_the_place(body, path):
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(answer(200, body), Asset)
    assert caught.value.path == path
    assert caught.value.request_id == "r1"
    assert PLACE in str(caught.value)


def test_a_ticket_that_cannot_be_decoded_does_not_show_its_token():
    body = b'{"tusEndpoint":"https://o.example/tus?token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}'
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(answer(200, body), UploadTicket)
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize("make", [get_asset, delete_asset, retry_asset])
def test_every_call_raises_the_error_that_the_answer_stands_for(make):
    call = make(check_account("https://studio.example/api", KEY), "a1")
    with pytest.raises(errors.NotFound, match="Asset not found"):
        call.decode(answer(404, read_text("error_404_asset_not_found.json").encode()))


def test_a_retry_that_was_taken_gives_nothing():
    call = retry_asset(check_account("https://studio.example/api", KEY), "a1")
    assert call.decode(answer(204)) is None


VIOLATION = json.dumps({"instancePath": f"/{KEY}", "keyword": KEY, "message": KEY})


def escaped(text):
    return text.replace(KEY, rf"\u00{ord(KEY[0]):x}{KEY[1:]}")


@pytest.mark.parametrize(
    "body",
    [
        f"no {KEY}",
        escaped(f'{{"errors": ["no {KEY}"]}}'),
        json.dumps({"errors": [f"{VIOLATION}"]}),
        json.dumps({"errors": [escaped(VIOLATION)]}),
    ],
)
@pytest.mark.parametrize("known", [{"api_key": KEY}, {}])
def test_echoed_secret_of_the_request_is_taken_out(body, known):
    said = answer(422, body.encode())
    said = replace(said, secrets=() if known else (KEY,))
    error = error_from_response(said, **known)
    assert KEY not in f"{error}{error.errors}{error.violations}"
    assert "***" in str(error)


def test_content_type_that_echoes_the_key_is_not_quoted():
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(answer(200, b"{", content_type=f"text/{KEY}"), Asset, KEY)
    assert KEY not in str(caught.value)
    assert "text/***" in str(caught.value)
