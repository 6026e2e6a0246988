import traceback

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType
from rich.pretty import pretty_repr

import livepeer_async
from livepeer_async.api.calls import check_account
from livepeer_async.redaction import (
    Hidden,
    abbreviate,
    chain,
    clear_variables,
    excerpt,
    find_credentials,
    find_upload_secrets,
    hides_variables,
    limit_text,
    mask,
    mask_values,
    quote_header,
    redact,
    redact_url,
    redacted,
    replace_secrets,
    show_source,
    split_upload_url,
)

API = "https://livepeer.example/api"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyZXQifQ.c2lnbmF0dXJl-_"


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
def test_secret_is_replaced_in_any_encoding(text, shown):
    assert replace_secrets(text, ["s3cret-1"]) == shown


def test_overlapping_secrets_are_replaced_once():
    assert replace_secrets("a 12345678 b", ["12345", "45678", "12345678", "23"]) == "a *** b"


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
def test_secret_with_special_characters_is_replaced(secret, text):
    assert replace_secrets(f"<{text}>", [secret]) == "<***>"


def test_empty_secret_changes_nothing():
    assert replace_secrets("abc", ["", "\\"]) == "abc"


@given(
    st.text('ab%&+\\x2d"é;#', max_size=12),
    st.text(max_size=30),
    st.text(" <>", min_size=1, max_size=3),
)
def test_text_around_a_secret_is_unchanged(secret, before, after):
    text = f"{before}{after}S3CRET{secret}{after}"
    hidden = replace_secrets(text, [f"s3cret{secret}"])
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
def test_header_credentials_are_found(header, words):
    assert find_credentials(header) - {""} == words


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
def test_upload_url_is_split_before_the_upload_id(url, known):
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
def test_upload_secrets_exclude_the_first_characters(url, secrets):
    assert find_upload_secrets(url) == secrets


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
        ("Authorization: Basic dXNlcjpzM2NyZXQ=", "Authorization: Basic ***"),
        ("{'authorization': 'basic s3cret'}", "{'authorization': '***'}"),
        ('{"sharedSecret": "my s3cret", "name": "x"}', '{"sharedSecret": "***", "name": "x"}'),
        ("AsyncLivepeer(api_key='s3cret')", "AsyncLivepeer(api_key='***')"),
        ('"encryptedKey":"s3cret"', '"encryptedKey":"***"'),
        ("LIVEPEER_API_KEY=s3cret", "LIVEPEER_API_KEY=***"),
        ("?X-Amz-Credential=s3cret&x=1", "?X-Amz-Credential=***&x=1"),
        ("/clip.mp4?sig=s3cret", "/clip.mp4?sig=***"),
        ("design=new, resig=x", "design=new, resig=x"),
        (f"Livepeer-Signature: t=17,v1={'5ec2e7' * 11}", "Livepeer-Signature: t=17,v1=***"),
        (f"/api/asset/upload/direct?token={JWT}", "/api/asset/upload/direct?token=***"),
        ("https://host.example/?a)&signature=s3cret", "https://host.example/)&signature=***"),
    ],
)
def test_credentials_in_text_are_redacted(text, shown):
    assert redact(text) == shown


def test_public_redact_takes_any_object():
    assert livepeer_async.redact is redact
    assert redact(b"Bearer s3cret \xff") == "Bearer *** \N{REPLACEMENT CHARACTER}"
    assert redact(httpx.URL("https://user:s3cret@h/a?b=s3cret")) == "https://h/a"
    assert redact(ValueError("no https://h/a?s3cret")) == "no https://h/a"


def test_given_secrets_are_redacted():
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
def test_secret_is_redacted_at_any_position(before, secret, after):
    assert "s3cret" not in redact(f"{before} {secret}{after}", "k-s3cret")


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
    line = excerpt(body, max_length=longest)
    assert len(line) <= longest + 1
    assert line.isprintable()


@given(st.integers(0, 1_200), st.sampled_from([b" ", b"\n", b"x ", b"eyJ.a "]))
def test_excerpt_never_shows_the_beginning_of_a_secret(count, filler):
    body = filler * count + b" said S3CRET-KEY-1 and more"
    assert "S3C" not in excerpt(body, "S3CRET-KEY-1")


def test_excerpt_ends_before_a_cut_secret():
    body = b" " * 840 + b"x" * 108 + b" S3CRET-KEY-1"
    assert excerpt(body, "S3CRET-KEY-1") == "x" * 108 + "…"


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
def test_header_is_quoted_and_truncated(value, shown):
    assert quote_header(value) == shown


def test_log_of_httpx_has_no_upload_url():
    line = 'HTTP Request: PATCH http://h/api/asset/upload/tus/directUpload%2F6f4ay440x8m42zaj "204"'
    assert redact(line) == (
        'HTTP Request: PATCH http://h/api/asset/upload/tus/directUpload%2F6f4a… "204"'
    )


@pytest.mark.parametrize("folder", ["directUpload/", "directUpload%2f", ""])
def test_upload_path_in_text_is_redacted(folder):
    assert redact(f"no /upload/tus/{folder}6f4ay440x8m42zaj") == f"no /upload/tus/{folder}6f4a…"


def test_encoded_secret_in_long_text_is_redacted():
    text = f"{'word ' * 700}{'%41' * 100} {'word ' * 700}"
    assert "%41" not in redact(text, "A" * 100)
    assert redact(text, "A" * 100).endswith("word…")


def test_long_text_is_cut_before_a_secret():
    text = f"{'word ' * 900}token={'x' * 200}"
    assert redact(text).endswith("word…")
    assert len(redact(text)) < 5000


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/path", "https://host/path"),
        ("https://host", "https://host"),
        ("https://host:8443/a%2Fb?x=1", "https://host:8443/a%2Fb"),
        ("https://host.example/a%2Fb?token=s3cret#s3cret", "https://host.example/a%2Fb"),
        ("https://host?x=1", "https://host"),
        ("https://host/a:b@c", "https://host/a:b@c"),
        ("http://[::1]:80/a?x", "http://[::1]:80/a"),
        ("ipfs://bafy1", "ipfs://bafy1"),
        ("https://a@b:c@host/a", "https://host/a"),
        ("https://user:s3cret@host.example:8443/a", "https://host.example:8443/a"),
        ("https://host/a?mail=x@y", "https://host/a"),
        ("https://host/a\n?x", "https://host/a\n"),
        ("//host/a?s3cret", "//host/a"),
        ("/a/b:c?s3cret", "/a/b:c"),
        ("host/a", "host/a"),
        ("", ""),
    ],
)
def test_url_loses_userinfo_and_query(url, shown):
    assert redact_url(url) == shown


AMBIGUOUS_URLS = [
    "http://user:s3cret/x@h/a",
    "http://user:s3cret?x@h/a",
    "http://user:s3cret#x@h/a",
    "http://user:12345/s3cret@h/a",
    "http://user:12345?s3cret@h/a",
    "s3+https://key:wJalr/s3cret@host/bucket",
    "s3+https://key:wJalr?s3cret@host/bucket",
    "https://user:s3cret",
]


@pytest.mark.parametrize(
    "url",
    [
        *AMBIGUOUS_URLS,
        "s3cret",
        "mailto:s3cret@host",
        "user:s3cret@h/a",
        "http:user:s3cret@h/a",
        "http:/user:s3cret@h/a",
        "http:\\\\user:s3cret@h/a",
        "https://[::1/s3cret",
        "https://",
    ],
)
def test_unreadable_url_is_redacted_as_a_whole(url):
    assert redact_url(url) == "***"


@pytest.mark.parametrize("url", AMBIGUOUS_URLS)
def test_ambiguous_url_in_text_is_redacted(url):
    assert redact(f"no {url}, there") == "no ***, there"


@pytest.mark.parametrize("url", ["http://h:80/a", "http://h/a@b", "http://[::1]:80/a", "http://h"])
def test_url_without_secrets_stays_in_text(url):
    for end in ("", " there", ".", ": it failed", ")", "]"):
        assert redact(f"see {url}{end}") == f"see {url}{end}"


@redacted(key=mask, headers=mask_values, source=show_source)
class Settings(Struct):
    key: str | UnsetType | None
    headers: dict[str, str]
    source: object = "talk.mp4"


@redacted("port", "host", host=str.upper)
class Server(Struct):
    host: str
    port: int
    password: str


def test_repr_masks_named_fields():
    shown = "Settings(key='***', headers={'X-Key': '***'}, source='https://h/a')"
    settings = Settings("s3cret", {"X-Key": "s3cret"}, "https://h/a?s3cret")
    assert repr(settings) == str(settings) == f"{settings}" == shown
    assert "s3cret" not in pretty_repr(settings)


@pytest.mark.parametrize("key", [None, UNSET])
def test_repr_shows_that_a_secret_is_absent(key):
    assert repr(Settings(key, {})) == f"Settings(key={key!r}, headers={{}}, source='talk.mp4')"


def test_repr_shows_only_named_attributes():
    assert repr(Server("h", 80, "s3cret")) == "Server(port=80, host='H')"


def variables_of(error):
    return {
        name: repr(value)
        for frame, _ in traceback.walk_tb(error.__traceback__)
        for name, value in frame.f_locals.items()
        if frame.f_globals["__name__"].startswith("livepeer_async")
    }


def test_hidden_value_has_no_repr():
    hidden = Hidden("s3cret")
    assert (repr(hidden), hidden.value) == ("***", "s3cret")


def test_arguments_are_hidden_in_tracebacks():
    for base_url, api_key in (("nonsense", "s3cret"), (API, "s3cret key")):
        with pytest.raises(ValueError, match="wanted") as raised:
            check_account(base_url, api_key)
        assert "s3cret" not in str(variables_of(raised.value))
    assert check_account(API, "s3cret").api_key == "s3cret"


def test_arguments_of_coroutines_are_hidden_in_tracebacks():
    @hides_variables
    async def call(token, *, fails):
        if fails:
            raise LookupError
        return token

    with pytest.raises(StopIteration) as returned:
        call("s3cret", fails=False).send(None)
    assert returned.value.value == "s3cret"
    with pytest.raises(LookupError) as raised:
        call("s3cret", fails=True).send(None)
    assert "s3cret" not in str(variables_of(raised.value))


def test_variables_are_cleared_once_a_function_has_ended():
    def run_and_clear():
        mine = "shown"
        try:
            check_account("nonsense", "s3cret")
        except ValueError as error:
            clear_variables(error)
            assert mine
            raise

    with pytest.raises(ValueError, match="base URL") as raised:
        run_and_clear()
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    assert any("mine" in variables for variables in frames)


def test_chain_names_each_error_once():
    first, second, third = ValueError(1), ValueError(2), ValueError(3)
    group = ExceptionGroup("several", [first, second])
    group.__cause__, first.__context__, second.__context__ = third, third, group
    assert len(list(chain(group))) == 4


@pytest.mark.parametrize("value", ["x" * 400, b"x" * 400, 5, None, [1], memoryview(b"abc")])
def test_short_value_is_unchanged(value):
    assert abbreviate(value) is value


def test_long_values_are_described():
    assert repr(abbreviate(b"x" * 401)) == "<bytes, 401 bytes>"
    assert repr(abbreviate(memoryview(bytes(1000)))) == "<memoryview, 1,000 bytes>"
    assert repr(abbreviate("x" * 401)) == f"'{'x' * 400}'… (401 characters)"
    closed = memoryview(b"x")
    closed.release()
    assert abbreviate(closed) is closed


def test_text_is_cut_in_its_middle():
    assert limit_text("short", 8) == "short"
    assert limit_text("0123456789abcdef", 8) == "0123456… (16 characters) …f"
