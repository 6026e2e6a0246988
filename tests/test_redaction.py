"""Redaction of secrets in texts and upload URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.redaction import hide, secrets_of_upload, split_upload_url, words_of
from support.strategies import any_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("nothing here", "nothing here"),
        ("a s3cret-1 b", "a *** b"),
        ("S3CRET-1", "***"),
        ("s3cret-1s3cret-1", "******"),
        ("s3cret%2D1", "***"),
        ("%73%33cret%252d1!", "***!"),
        (r"s3cret\x2d1", "***"),
        (r"s3cret\\u002D1\n", r"***\n"),
        ("s3cret&#45;1 s3cret&#x2D;1 s3cret&amp;#45;1", "*** *** ***"),
        (r'{"a":"s3cret-1\""}', r'{"a":"***\""}'),
        ("s3cret-", "s3cret-"),
        ("&copy; %zz 50%", "&copy; %zz 50%"),
    ],
)
def test_secret_is_found_in_any_encoding(text, shown):
    assert hide(text, ["s3cret-1"]) == shown


def test_overlapping_secrets_are_replaced_once():
    assert hide("a 12345678 b", ["12345", "45678", "12345678", "23"]) == "a *** b"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("a b+c", "A+B%20C"),
        ("pässword", "p%C3%A4ssword"),
        ("pässword", r"p\xc3\xa4ssword"),
        ("pässword", "P\u00c4SSWORD"),
        ('q"q\\q', r"q\"q\\q"),
        ("q&q<q", "q&amp;q&lt;q"),
        ("s3cret%2B1", "s3cret+1"),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}xyz",) * 2,
    ],
)
def test_secret_with_special_characters_is_found(secret, text):
    assert hide(f"<{text}>", [secret]) == "<***>"


def test_empty_secret_hides_nothing():
    assert hide("abc", ["", "\\"]) == "abc"


@given(
    st.text('ab%&+\\x2d"é;#', max_size=12),
    any_text(max_size=30),
    st.text(" <>", min_size=1, max_size=3),
)
def test_text_around_a_secret_is_unchanged(secret, before, after):
    text = f"{before}{after}S3CRET{secret}{after}"
    hidden = hide(text, [f"s3cret{secret}"])
    assert hidden.startswith(f"{before}{after}")
    assert hidden.endswith(after)
    assert "S3CRET" not in hidden


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Bearer abc", {"Bearer", "abc"}),
        ('a=1; session="xyz"', {"a=1;", "a=1", "1", 'session="xyz"', "xyz"}),
        ("dXNlcg==", {"dXNlcg==", "="}),
        ("AWS me:xyz", {"AWS", "me:xyz", "xyz"}),
        ('{"key":"xyz"}', {'{"key":"xyz"}', 'key":"xyz', "xyz"}),
        ("https://host.example", {"https://host.example"}),
        ("Basic bWU6eHl6", {"Basic", "bWU6eHl6", "me:xyz", "xyz"}),
        ("basic eHl6Og==", {"basic", "eHl6Og==", "=", "xyz:", "xyz"}),
        ("Basic b", {"Basic", "b"}),
        ("", set()),
    ],
)
def test_words_of_a_header_are_listed(header, words):
    assert words_of(header) - {""} == words


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("http://h/files/ab12cd34ef56", "http://h/files/"),
        ("http://h/files/ab12cd34ef56/", "http://h/files/"),
        ("http://h/files//ab12cd34ef56//", "http://h/files//"),
        ("http://h/uploads/ab12cd34ef56/blob", "http://h/uploads/"),
        ("http://h/tus/ab12cd34ef56;v=1", "http://h/tus/"),
        ("http://h/api/v1/directUpload%2fab12cd34ef56%2F", "http://h/api/v1/directUpload%2f"),
        (
            "http://h/my-files/resumable_uploads/Abcdefghijkl/x",
            "http://h/my-files/resumable_uploads/",
        ),
        ("http://h/files/abcdefghij", "http://h/files/"),
        ("http://h/s3/ab/cd/12/34", "http://h/s3/ab/cd/"),
        ("//h/files/ab12", "//h/files/"),
        ("/files/ab12", "/files/"),
        ("ab12", ""),
        ("http://h/", "http://h/"),
        ("http://h", "http://h"),
        ("", ""),
    ],
)
def test_upload_url_is_split_before_its_identifier(url, known):
    assert split_upload_url(url) == (known, url.removeprefix(known))


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("http://h/files/ab12cd34ef56/", {"cd34ef56"}),
        ("http://h/files/abcdefghijkl", {"efghijkl"}),
        ("http://h/uploads/ab12cd34ef56/blob", {"cd34ef56/blob", "cd34ef56"}),
        ("http://h/tus/ab12cd34ef56;v=1", {"cd34ef56;v=1", "cd34ef56", "v", "1"}),
        ("http://h/tus/ab12%2Bd34ef56", {"%2Bd34ef56", "+d34ef56"}),
        ("http://h/", {""}),
    ],
)
def test_secrets_of_an_upload_url_exclude_its_prefix(url, secrets):
    assert secrets_of_upload(url) == secrets
