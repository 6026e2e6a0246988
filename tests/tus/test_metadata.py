import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError, ProtocolError
from livepeer_async.tus import decode_metadata, encode_metadata
from livepeer_async.tus.metadata import MAX_METADATA_LENGTH
from support.strategies import any_text

KEYS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1
)
# File names have surrogates in place of bytes that aren't UTF-8.
TEXT = any_text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def as_sent(value):
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return value or None


@given(st.dictionaries(KEYS, st.none() | TEXT | st.binary(), max_size=5))
def test_metadata_round_trip(metadata):
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
        # A header must not end in a space.
        ({"name": ""}, "name"),
        ({"name": b"", "b": "1"}, "name,b MQ=="),
        ({"name": "caf\udce9"}, "name Y2Fm6Q=="),
    ],
)
def test_metadata_is_encoded_as_one_line(metadata, line):
    assert encode_metadata(metadata) == line


@pytest.mark.parametrize("key", ["", " ", "a b", "a,b", "é", "a\n", "a\x7f", "\t", "a" * 50 + " "])
def test_invalid_metadata_key_is_an_error(key):
    with pytest.raises(ConfigurationError, match="metadata key"):
        encode_metadata({key: "1"})


@pytest.mark.parametrize("value", ["\ud800", "a\udbff"])
def test_text_that_utf_8_cannot_encode_is_an_error(value):
    with pytest.raises(
        ConfigurationError, match="'name' contains characters that UTF-8 can't encode"
    ):
        encode_metadata({"name": value})


def test_too_long_metadata_is_an_error():
    room = (MAX_METADATA_LENGTH - len("name ")) // 4 * 3
    assert len(encode_metadata({"name": b"x" * room})) <= MAX_METADATA_LENGTH
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
def test_lenient_metadata_is_decoded(line, metadata):
    assert decode_metadata(line) == metadata


@pytest.mark.parametrize("value", ["!", "MQ", "MQ=", "M Q==", "é", "٣٣٣٣"])
def test_invalid_base64_is_a_protocol_error(value):
    with pytest.raises(ProtocolError, match="wanted base64"):
        decode_metadata(f"a MQ==,b {value}")


@given(any_text())
def test_any_metadata_is_decoded_or_a_protocol_error(line):
    try:
        metadata = decode_metadata(line)
    except ProtocolError:
        return
    for key, value in metadata.items():
        assert value is None or base64.b64encode(value).decode() in line
        assert key in line
