import json
import traceback

import pytest
from msgspec.structs import replace

from livepeer_async import errors
from livepeer_async.api.calls import check_account
from livepeer_async.api.requests import delete_asset, get_asset, retry_asset
from livepeer_async.api.responses import decode_body, error_from_response
from livepeer_async.http.messages import Response
from livepeer_async.models import Asset, UploadTicket, Webhook
from support.samples import read_text

KEY = "3f9c1c1e-secret-key"
PLACE = "GET https://studio.example/api/asset/a1"


def respond(status, body=b"", **headers):
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
def test_status_selects_the_error(status, kind):
    error = error_from_response(respond(status, b'{"errors":["what it says"]}'))
    assert type(error) is kind
    assert (error.status, error.errors, error.request_id) == (status, ("what it says",), "r1")
    assert (error.method, error.url) == ("GET", "https://studio.example/api/asset/a1")
    assert str(error) == f"{status} from {PLACE}: what it says [request r1]"


def test_violation_is_parsed_from_a_json_string():
    error = error_from_response(
        respond(422, read_text("error_422_profile_without_bitrate.json").encode())
    )
    assert error.errors == ("profiles.0: must have required property 'bitrate'",)
    assert error.violations[0].instance_path == "/profiles/0"
    assert error.violations[0].keyword == "required"


def test_violation_names_unknown_field_and_allowed_values():
    unknown = error_from_response(respond(422, read_text("error_422_unknown_field.json").encode()))
    assert unknown.errors == ("must NOT have additional properties ('foo')",)
    policy = error_from_response(
        respond(422, read_text("error_422_unknown_policy_type.json").encode())
    )
    assert "public, jwt, webhook" in policy.errors[0]


def test_violation_without_message_shows_its_keyword():
    body = rb'{"errors":["{\"instancePath\":\"/a\",\"keyword\":\"oneOf\"}"]}'
    assert error_from_response(respond(422, body)).errors == ("a: oneOf",)


def test_unparsable_violation_is_kept_as_text():
    assert error_from_response(respond(400, b'{"errors":["{odd"]}')).errors == ("{odd",)


def test_echoed_key_is_redacted():
    body = f'{{"errors":["no token {KEY} found"]}}'.encode()
    error = error_from_response(respond(401, body), KEY)
    assert KEY not in str(error)
    assert error.errors == ("no token *** found",)
    assert KEY not in str(error_from_response(respond(401, body)))


PAGES = [
    (
        (
            b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center>"
            b"<h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body></html>"
        ),
        "502 Bad Gateway",
    ),
    (
        (
            b'<!DOCTYPE html>\n<html lang="en">\n<head>\n<title>Error</title>\n</head>\n'
            b"<body>\n<pre>Cannot POST /asset</pre>\n</body></html>"
        ),
        "Cannot POST /asset",
    ),
    (b"<html><head><title>Blocked</title></head><body></body></html>", "Blocked"),
    (b"<style>a {}</style><!-- 1 < 2 --><p>down", "down"),
    (b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "SlowDown"),
    (b"<>", "<>"),
    (b"a < b > c", "a < b > c"),
]


@pytest.mark.parametrize(("body", "text"), PAGES)
def test_markup_of_a_page_is_omitted(body, text):
    assert error_from_response(respond(502, body)).errors == (text,)


def test_page_is_shortened():
    error = error_from_response(respond(502, b"<html>\n<h1>502 Bad Gateway</h1>" + b"x " * 9999))
    assert error.errors[0].startswith("502 Bad Gateway x")
    assert len(error.errors[0]) < 200


def test_empty_body_is_no_explanation():
    assert "no explanation" in str(error_from_response(respond(500)))


def test_redirect_suggests_a_wrong_base_url():
    assert "base URL" in str(
        error_from_response(respond(301, location="https://elsewhere.example"))
    )


def test_retry_after_is_kept():
    assert error_from_response(respond(429, b"", retry_after="7")).retry_after == 7


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
def test_decode_error_names_path_and_request(body, path):
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(respond(200, body), Asset)
    assert caught.value.path == path
    assert caught.value.request_id == "r1"
    assert PLACE in str(caught.value)


def test_decode_error_hides_the_token():
    body = b'{"tusEndpoint":"https://o.example/tus?token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}'
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(respond(200, body), UploadTicket)
    assert "eyJ" not in str(caught.value)


def test_traceback_of_decode_error_has_no_variables():
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(respond(200, b"{"), Asset, KEY)
    assert caught.value.__context__ is None
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    variables = [it for frame in frames for it in frame.f_locals.values()]
    assert not [it for it in variables if isinstance(it, Response) or it == KEY]


@pytest.mark.parametrize(
    "body", ['[{"sharedSecret": "my \\"s3cret"}', '[{"id": 1, "sharedSecret":"s3cret"}]']
)
def test_decode_error_hides_secrets_of_a_webhook(body):
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(respond(200, body.encode()), tuple[Webhook, ...])
    assert "s3cret" not in str(caught.value)
    assert "sharedSecret" in str(caught.value)


@pytest.mark.parametrize("make", [get_asset, delete_asset, retry_asset])
def test_call_raises_the_error_of_its_response(make):
    call = make(check_account("https://studio.example/api", KEY), "a1")
    with pytest.raises(errors.NotFound, match="Asset not found"):
        call.decode(respond(404, read_text("error_404_asset_not_found.json").encode()))


def test_accepted_retry_returns_none():
    call = retry_asset(check_account("https://studio.example/api", KEY), "a1")
    assert call.decode(respond(204)) is None


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
def test_echoed_secret_of_the_request_is_redacted(body, known):
    response = replace(respond(422, body.encode()), secrets=() if known else (KEY,))
    error = error_from_response(response, **known)
    assert KEY not in f"{error}{error.errors}{error.violations}"
    assert "***" in str(error)


def test_echoed_key_in_content_type_is_redacted():
    with pytest.raises(errors.DecodeError) as caught:
        decode_body(respond(200, b"{", content_type=f"text/{KEY}"), Asset, KEY)
    assert KEY not in str(caught.value)
    assert "text/***" in str(caught.value)
