"""What a request carries and nobody may show."""

import pytest
from rich.pretty import pretty_repr

from livepeer_async.http.messages import Request, Response
from livepeer_async.redaction import redact, redact_url

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
def test_a_request_knows_its_secrets(url, headers, secrets):
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
def test_the_name_of_an_upload_is_one_but_for_its_beginning(url, secrets):
    assert Request(method="HEAD", url=url, hides_path=True).secrets == secrets
    assert Request(method="HEAD", url=url).secrets == ()


def test_rich_shows_no_more_than_repr():
    headers = {"Authorization": "Bearer s3cret-1"}
    request = Request(method="PATCH", url=f"{URL}?s3cret-1", headers=headers, hides_path=True)
    response = Response(status=200, headers=headers, body=b"s3cret-1", place=request.place)
    shown = pretty_repr([request, response])
    assert "s3cret-1" not in shown
    assert "cd34ef56" not in shown
    assert "http://h/files/ab12…" in shown


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret/x@h/a",
        "http://user:s3cret?x@h/a",
        "http://user:s3cret#x@h/a",
        "http://user:12345/s3cret@h/a",
        "user:s3cret@h/a",
        "http:user:s3cret@h/a",
        "http:/user:s3cret@h/a",
        "http:\\\\user:s3cret@h/a",
    ],
)
def test_password_that_breaks_the_url_is_not_shown(url):
    assert redact_url(url) == "***"


@pytest.mark.parametrize("password", ["s3cret/x", "s3cret?x", "s3cret#x"])
def test_password_that_breaks_the_url_is_taken_out_of_a_text(password):
    assert redact(f"no http://user:{password}@h/a there") == "no *** there"


@pytest.mark.parametrize("url", ["http://h:80/a", "http://h/a@b", "http://[::1]:80/a"])
def test_url_with_a_port_stays_in_a_text(url):
    assert redact(f"see {url} there") == f"see {url} there"
