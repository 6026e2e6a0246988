import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.models import ErrorBody
from livepeer_async.models.json_repair import decode_leniently


def decode(body):
    return decode_leniently(msgspec.json.decode, body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uD83D"', "\ufffd"),
        (rb'"\ude00"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\ude00\ude00"', "\U0001f600\ufffd"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\ud83d\n"', "\ufffd\n"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (b'"a\xff"', "a\ufffd"),
        (b'"\xed\xa0\xbd"', "\ufffd\ufffd\ufffd"),
        (rb'{"\ud83d": 1}', {"\ufffd": 1}),
    ],
)
def test_half_of_a_pair_is_replaced(body, value):
    assert decode(body) == value


@given(st.text(st.characters(exclude_categories=())))
def test_any_string_of_javascript_is_decoded(text):
    escaped = "".join(f"\\u{unit:04x}" for unit in _units(text))
    wanted = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert decode(f'"{escaped}"'.encode()) == wanted


def _units(text):
    raw = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[index : index + 2]) for index in range(0, len(raw), 2)]


@pytest.mark.parametrize("body", [b"", b"{", b'"a', b"nonsense", rb'["\ud83d"'])
def test_invalid_json_raises(body):
    with pytest.raises(msgspec.DecodeError):
        decode(body)


@pytest.mark.parametrize("part", [rb"\\", rb"\ud83d", rb"\u0041", b"\xff"])
def test_long_hostile_body_is_rejected(part):
    # In quadratic time, this would take hours.
    with pytest.raises(msgspec.DecodeError):
        decode(b'["' + part * 500_000)


def test_violation_with_half_of_a_pair_is_read():
    entry = r'{"instancePath": "/name", "keyword": "x", "message": "bad \ud83d"}'
    (violation,) = ErrorBody(errors=(entry,)).violations
    assert violation.message == "bad \ufffd"
