from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.web import BOUNDARY, CLOSING, field, file
from livepeer_async.errors import FormInvalid
from livepeer_async.integrations.multipart import FormParser

TYPE = f"multipart/form-data; boundary={BOUNDARY}"
TRICKY = st.sampled_from([b"\r\n", b"--", BOUNDARY.encode(), b"\r\n--" + BOUNDARY.encode()[:5]])


def parse(body, *cuts, content_type=TYPE, has_length=True, **options):
    parser = FormParser(content_type, len(body) if has_length else None, **options)
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    content = b""
    for start, stop in pairwise(edges):
        content += b"".join(parser.write(body[start:stop]))
    parser.finish()
    return parser, content


@given(
    st.lists(TRICKY | st.binary(max_size=30), max_size=5).map(b"".join),
    st.lists(st.integers(0, 500), max_size=30),
)
def test_content_and_length_are_exact(content, cuts):
    if b"\r\n--" + BOUNDARY.encode() in content:
        return
    body = field("title", b"A talk") + file(content, "Content-Type: video/mp4") + CLOSING
    parser, found = parse(body, *cuts)
    assert (found, parser.length) == (content, len(content))
    assert (parser.field, parser.filename, parser.content_type) == (
        "video",
        "talk.mp4",
        "video/mp4",
    )
    assert parser.fields == {"title": "A talk"}


def test_form_of_unknown_length_may_have_fields_after_the_file():
    body = field("a", b"1") + file(b"content") + field("b", b"2") + CLOSING
    parser, found = parse(body, has_length=False)
    assert (found, parser.length, parser.fields) == (b"content", None, {"a": "1", "b": "2"})


def test_names_outside_ascii_are_decoded():
    body = field("tïtle", "Ünï".encode()) + file(b"x", filename="Vortrag Ä.mp4") + CLOSING
    parser, _ = parse(body)
    assert (parser.fields, parser.filename) == ({"tïtle": "Ünï"}, "Vortrag Ä.mp4")


def test_boundary_may_be_quoted_and_the_type_in_capitals():
    _, found = parse(
        file(b"x") + CLOSING, content_type=f'Multipart/Form-Data; boundary="{BOUNDARY}"'
    )
    assert found == b"x"


INVALID = {
    "no form": (b"{}", "content type is 'application/json'", {"content_type": "application/json"}),
    "no content type": (b"", "content type is ''", {"content_type": ""}),
    "no boundary": (b"", "has no boundary", {"content_type": "multipart/form-data"}),
    "long boundary": (b"", "boundary", {"content_type": TYPE + "x" * 10_000}),
    "malformed": (b"no boundary at all\r\n\r\n", "malformed", {}),
    "another boundary": (file(b"x").replace(BOUNDARY.encode(), b"other"), "malformed", {}),
    "truncated": (file(b"x"), "before the closing boundary", {"has_length": False}),
    "empty body": (b"", "before the closing boundary", {}),
    "no file": (field("title", b"A talk") + CLOSING, "no file", {}),
    "no file chosen": (file(b"", filename="") + CLOSING, "no file was chosen", {}),
    "two files": (file(b"x") + file(b"y") + CLOSING, "several files", {"has_length": False}),
    "two files, length": (file(b"x") + file(b"y") + CLOSING, "last field", {}),
    "field after the file": (file(b"x" * 99) + field("a", b"1") + CLOSING, "last field", {}),
    "field after, as long": (file(b"x") + field("a", b"1" * 999) + CLOSING, "last field", {}),
    "epilogue": (file(b"x") + CLOSING + b"more", "last field", {}),
    "no final line break": (file(b"x" * 9) + CLOSING[:-2], "last field", {}),
    "other field": (file(b"x") + CLOSING, "wanted 'movie'", {"field": "movie"}),
    "no disposition": (file(b"x").replace(b"form-data", b"attachment") + CLOSING, "form-data", {}),
    "base64": (file(b"eA==", "Content-Transfer-Encoding: base64") + CLOSING, "base64", {}),
}


@pytest.mark.parametrize(("body", "finding", "options"), INVALID.values(), ids=INVALID)
def test_invalid_form_is_an_error(body, finding, options):
    with pytest.raises(FormInvalid, match=finding) as caught:
        parse(body, 3, 20, **options)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        field("a", b"x" * 2_000_000) + file(b"x") + CLOSING,
        b"".join(field(f"a{number}", b"x" * 100) for number in range(10_000)),
        file(b"x", "X-Long: " + "x" * 20_000) + CLOSING,
        file(b"x", *(f"X-{number}: x" for number in range(5_000))) + CLOSING,
        b"\r\n" * 1_000_000,
        file(b"x").replace(b"talk.mp4", b"x" * 2_000_000) + CLOSING,
    ],
    ids=["field", "fields", "header", "headers", "line breaks", "file name"],
)
def test_form_without_an_end_is_bounded(body):
    with pytest.raises(FormInvalid) as caught:
        parse(body, *range(0, len(body), 50_000))
    assert caught.value.status in {400, 413}


def test_field_that_is_too_large_has_its_status():
    with pytest.raises(FormInvalid, match="more than 100 bytes") as caught:
        parse(field("a", b"x" * 200) + file(b"x") + CLOSING, max_fields_size=100)
    assert caught.value.status == 413
