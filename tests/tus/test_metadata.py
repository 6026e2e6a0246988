import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError, ProtocolError
from livepeer_async.tus import decode_metadata, encode_metadata
from livepeer_async.tus.metadata import LONGEST_METADATA
from support.strategies import any_text

KEYS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1
)
# File names come with surrogates in place of the bytes that are no UTF-8.
TEXT = any_text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def as_sent(value):
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return value or None


@given(st.dictionaries(KEYS, st.none() | TEXT | st.binary(), max_size=5))
def test_what_is_encoded_is_decoded(metadata):
    line = encode_metadata(metadata)
    assert line.isascii()
    assert line == line.strip()
    assert decode_metadata(line) == {key: as_sent(value) for key, value in metadata.items()}


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ({}, ""),
        ({"filename": "talk.mp4"}, "filename dGFsay5tcDQ="),
        ({"a": "1", "b": b"\x00\xff", "c": None}, "a MQ==,b AP8=,c"),
        ({"name": "😀"}, "name 8J+YgA=="),
        # What a header must not end in.
        ({"name": ""}, "name"),
        ({"name": b"", "b": "1"}, "name,b MQ=="),
        ({"name": "caf\udce9"}, "name Y2Fm6Q=="),
    ],
)
def test_metadata_line(metadata, line):
    assert encode_metadata(metadata) == line


@pytest.mark.parametrize("key", ["", " ", "a b", "a,b", "é", "a\n", "a\x7f", "\t", "a" * 50 + " "])
def test_key_that_no_server_takes_is_refused(key):
    with pytest.raises(ConfigurationError, match="metadata key"):
        encode_metadata({key: "1"})


@pytest.mark.parametrize("value", ["\ud800", "a\udbff"])
def test_text_without_utf_8_is_refused(value):
    with pytest.raises(ConfigurationError, match="'name' holds characters that have no UTF-8"):
        encode_metadata({"name": value})


def test_line_beyond_what_servers_take_is_refused():
    room = (LONGEST_METADATA - len("name ")) // 4 * 3
    assert len(encode_metadata({"name": b"x" * room})) <= LONGEST_METADATA
    with pytest.raises(ConfigurationError, match="Upload-Metadata is 8193 bytes long"):
        encode_metadata({"name": b"x" * (room + 3)})


@pytest.mark.parametrize(
    ("line", "metadata"),
    [
        ("", {}),
        (" , ,", {}),
        ("a MQ==, b ", {"a": b"1", "b": None}),
        ("a MQ==,a Mg==", {"a": b"2"}),
    ],
)
def test_sloppy_line_is_decoded(line, metadata):
    assert decode_metadata(line) == metadata


@pytest.mark.parametrize("value", ["!", "MQ", "MQ=", "M Q==", "é", "٣٣٣٣"])
def test_value_that_is_no_base64_is_the_servers_fault(value):
    with pytest.raises(ProtocolError, match="wanted base64"):
        decode_metadata(f"a MQ==,b {value}")


@given(any_text())
def test_any_line_is_decoded_or_the_servers_fault(line):
    try:
        metadata = decode_metadata(line)
    except ProtocolError:
        return
    for key, value in metadata.items():
        assert value is None or base64.b64encode(value).decode() in line
        assert key in line
