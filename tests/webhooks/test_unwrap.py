"""Signatures: what is accepted, and the typed error of everything else."""

import hashlib
import hmac
import json
import time
from email.message import Message
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from livepeer_async import EventName, errors, webhooks
from support.strategies import any_text
from support.webhooks import SECRET, envelope, now_ms, sign

ASSET = {"id": "a1", "playbackId": "p1", "status": {"phase": "ready", "updatedAt": 5}}
READY = envelope("asset.ready", {"asset": {"id": "a1", "snapshot": ASSET}})
NOW = json.loads(READY)["timestamp"] / 1000
HEADERS = {"Livepeer-Signature": sign(READY)}
DIGEST = sign(READY).partition("v1=")[2]


def unwrap(body=READY, headers=HEADERS, secrets=SECRET, **options):
    return webhooks.unwrap(body, headers, secrets, **{"now": NOW, **options})


def signed(body, secret=SECRET):
    """Return a body and its headers."""
    return body, {"livepeer-signature": sign(body, secret)}


def old_shape(**more):
    return envelope("asset.ready", {"id": "a1", "snapshot": ASSET, **more})


def access_control(**more):
    call = {"context": {"a": 1}, "accessKey": "key", "timestamp": now_ms(), **more}
    return json.dumps(call).encode()


def timestamped(milliseconds):
    return envelope("asset.ready", timestamp=milliseconds)


MIB = 1024 * 1024
LARGE = envelope(
    "asset.ready",
    {"asset": {"id": "a1", "snapshot": {**ASSET, "name": "n" * 10 * MIB}}},
)

# Each bad input, with the error, or the name of the event that it is.
BAD_INPUT = {
    "no secret set": ((READY, HEADERS, ""), errors.ConfigurationError),
    "no secret in the environment": ((READY, HEADERS, None), errors.ConfigurationError),
    "no secret in a list": ((READY, HEADERS, []), errors.ConfigurationError),
    "one of two secrets unset": ((READY, HEADERS, [SECRET, None]), errors.ConfigurationError),
    "one of two secrets empty": ((READY, HEADERS, ["", SECRET]), errors.ConfigurationError),
    "no secret at Livepeer": ((READY, {}, SECRET), errors.SignatureMissing),
    "two secrets, the new one": ((READY, HEADERS, [SECRET, "old"]), "asset.ready"),
    "two secrets, the old one": ((READY, HEADERS, ["new", SECRET]), "asset.ready"),
    "two other secrets": ((READY, HEADERS, ["new", "old"]), errors.SignatureMismatch),
    "signed with an empty key": (
        (READY, {"Livepeer-Signature": sign(READY, "")}, SECRET),
        errors.SignatureMismatch,
    ),
    "one byte changed": ((READY.replace(b"p1", b"p2"), HEADERS, SECRET), errors.SignatureMismatch),
    "one byte more": ((READY + b" ", HEADERS, SECRET), errors.SignatureMismatch),
    "one byte less": ((READY[:-1], HEADERS, SECRET), errors.SignatureMismatch),
    "another signature": (
        (READY, {"Livepeer-Signature": sign(READY)[:-1] + "x"}, SECRET),
        errors.SignatureMismatch,
    ),
    "header without v1": (
        (READY, {"Livepeer-Signature": f"t={now_ms()}"}, SECRET),
        errors.SignatureMissing,
    ),
    "header with an empty v1": (
        (READY, {"Livepeer-Signature": f"t={now_ms()},v1="}, SECRET),
        errors.SignatureMissing,
    ),
    "header with v0": (
        (READY, {"Livepeer-Signature": f"t={now_ms()},v0={DIGEST}"}, SECRET),
        errors.SignatureMissing,
    ),
    "header without t": (
        (READY, {"Livepeer-Signature": f"v1={DIGEST}"}, SECRET),
        errors.SignatureMissing,
    ),
    "header with two t": (
        (READY, {"Livepeer-Signature": f"t=1,{sign(READY)}"}, SECRET),
        errors.SignatureMissing,
    ),
    "header with another t": (
        (READY, {"Livepeer-Signature": sign(READY, timestamp=now_ms() + 1)}, SECRET),
        errors.SignatureMismatch,
    ),
    "header of text": ((READY, {"Livepeer-Signature": "ü"}, SECRET), errors.SignatureMissing),
    "older shape": ((*signed(old_shape()), SECRET), "asset.ready"),
    "older shape, as sent": (
        (*signed(old_shape(asset={"id": "a1", "snapshot": ASSET})), SECRET),
        "asset.ready",
    ),
    "access-control call": ((*signed(access_control()), SECRET), errors.AccessControlCall),
    "access-control call without a key": (
        (*signed(json.dumps({"context": {}, "timestamp": now_ms()}).encode()), SECRET),
        errors.AccessControlCall,
    ),
    "access-control event": (
        (*signed(envelope("playback.accessControl")), SECRET),
        errors.AccessControlCall,
    ),
    "forged access-control call": (
        (access_control(), {"Livepeer-Signature": f"t={now_ms()},v1={DIGEST}"}, SECRET),
        errors.SignatureMismatch,
    ),
    "10 MB": ((*signed(LARGE), SECRET), "asset.ready"),
    "10 MB, forged": ((LARGE, HEADERS, SECRET), errors.SignatureMismatch),
    "too old": ((*signed(timestamped(int(NOW * 1000) - 301_000)), SECRET), errors.EventTooOld),
    "in the future": (
        (*signed(timestamped(int(NOW * 1000) + 301_000)), SECRET),
        errors.EventTooOld,
    ),
    "parsed body": ((json.loads(READY), HEADERS, SECRET), errors.ConfigurationError),
    "decoded body": ((READY.decode(), HEADERS, SECRET), errors.ConfigurationError),
    "no headers": ((READY, None, SECRET), errors.ConfigurationError),
    "header as the headers": ((READY, sign(READY), SECRET), errors.ConfigurationError),
    "empty body": (
        (b"", {"Livepeer-Signature": sign(b"", timestamp=5)}, SECRET),
        errors.DecodeError,
    ),
    "array": (
        (b"[]", {"Livepeer-Signature": sign(b"[]", timestamp=5)}, SECRET),
        errors.DecodeError,
    ),
    "no timestamp": (
        (b"{}", {"Livepeer-Signature": sign(b"{}", timestamp=5)}, SECRET),
        errors.DecodeError,
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_has_a_defined_outcome(name):
    arguments, outcome = BAD_INPUT[name]
    if isinstance(outcome, str):
        assert unwrap(*arguments).event == outcome
        return
    with pytest.raises(errors.LivepeerError) as caught:
        unwrap(*arguments)
    assert type(caught.value) is outcome
    assert SECRET not in str(caught.value)
    assert DIGEST not in str(caught.value)


def test_errors_say_what_to_do():
    with pytest.raises(errors.SignatureMissing, match="shared secret: set it with livepeer"):
        unwrap(headers={})
    with pytest.raises(errors.ConfigurationError, match=r"before parsing, such as `await request"):
        unwrap(json.loads(READY))
    with pytest.raises(errors.ConfigurationError, match="secret 2 of 2 is empty"):
        unwrap(secrets=[SECRET, ""])
    with pytest.raises(errors.SignatureMismatch, match="bytes with any of the 2"):
        unwrap(secrets=["a", "b"])
    with pytest.raises(errors.EventTooOld, match="signed 400 s ago; wanted 300 s") as caught:
        unwrap(now=NOW + 400)
    assert round(caught.value.age) == 400


HEADER_KINDS = {
    "as sent": HEADERS,
    "lower case": {"livepeer-signature": sign(READY)},
    "upper case": {"LIVEPEER-SIGNATURE": sign(READY)},
    "bytes": {b"livepeer-signature": sign(READY).encode()},
    "pairs": [("a", "b"), ("Livepeer-Signature", sign(READY))],
    "ASGI": [(b"host", b"h"), (b"livepeer-signature", sign(READY).encode())],
    "Starlette": Headers({"Livepeer-Signature": sign(READY)}),
    "WSGI": {"wsgi.input": object(), "HTTP_LIVEPEER_SIGNATURE": sign(READY)},
    "lists": {"Livepeer-Signature": [sign(READY)]},
    "several schemes": {"Livepeer-Signature": f"{sign(READY)}, v1=00, v2=11"},
    "spaces": {"Livepeer-Signature": sign(READY).replace(",", " , ")},
}


@pytest.mark.parametrize("kind", HEADER_KINDS)
def test_headers_of_any_framework_are_read(kind):
    assert unwrap(headers=HEADER_KINDS[kind]).event == "asset.ready"


def test_headers_of_the_standard_library_are_read():
    message = Message()
    message["Livepeer-Signature"] = sign(READY)
    assert unwrap(headers=message).event == "asset.ready"


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_body_may_be_any_bytes(wrap):
    assert unwrap(wrap(READY)).id == "event-1"


@pytest.mark.parametrize("wrap", [str.encode, lambda it: [it], lambda it: iter((it, "old"))])
def test_secrets_may_be_bytes_or_iterables(wrap):
    assert unwrap(secrets=wrap(SECRET)).id == "event-1"


@pytest.mark.parametrize("wrong", [5, {"secret": SECRET}, bytearray(SECRET, "utf-8")])
def test_other_secrets_are_refused(wrong):
    with pytest.raises(errors.ConfigurationError):
        unwrap(secrets=wrong)


@pytest.mark.parametrize("wrong", [-1, nan, "300", None])
def test_wrong_tolerance_is_refused(wrong):
    with pytest.raises(errors.ConfigurationError, match="tolerance"):
        unwrap(tolerance=wrong)


def test_tolerance_may_be_infinite():
    assert unwrap(now=NOW + 1e9, tolerance=inf).event == "asset.ready"


def test_clock_is_used_by_default():
    body, headers = signed(envelope("asset.ready", {"asset": {"id": "a1", "snapshot": ASSET}}))
    assert webhooks.unwrap(body, headers, SECRET).timestamp / 1000 == pytest.approx(
        time.time(), abs=60
    )


@pytest.mark.parametrize(
    "pairs", [[("a", "b", "c")], ["ab"], [None], {1: 2}, {"Livepeer-Signature": None}]
)
def test_malformed_headers_have_a_typed_error(pairs):
    with pytest.raises((errors.ConfigurationError, errors.SignatureMissing)):
        unwrap(headers=pairs)


def test_signature_of_a_non_ascii_secret_is_right():
    expected = hmac.new(SECRET.encode(), READY, hashlib.sha256).hexdigest()
    assert f"t={int(NOW * 1000)},v1={expected}" == HEADERS["Livepeer-Signature"]
    assert unwrap().event == "asset.ready"


ANY_HEADERS = st.one_of(
    st.none(),
    st.binary(),
    any_text(),
    st.dictionaries(st.one_of(any_text(), st.binary()), st.one_of(any_text(), st.binary())),
    st.lists(st.tuples(any_text(), any_text())),
    st.builds(lambda value: {"Livepeer-Signature": value}, any_text()),
    st.builds(
        lambda time, value: {"Livepeer-Signature": f"t={time},v1={value}"},
        st.integers(0, 10**16),
        any_text(),
    ),
)
ANY_SECRETS = st.one_of(st.none(), any_text(), st.binary(), st.lists(any_text(), max_size=3))


@given(body=st.one_of(st.binary(), any_text(), st.none()), headers=ANY_HEADERS, secrets=ANY_SECRETS)
def test_anything_unsigned_raises_a_typed_error(body, headers, secrets):
    with pytest.raises(errors.LivepeerError):
        webhooks.unwrap(body, headers, secrets, now=NOW)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), any_text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                any_text(),
                st.sampled_from(
                    ["id", "event", "timestamp", "payload", "asset", "task", "snapshot", "status",
                     "phase", "session", "target", "stream", "accessKey"]
                ),
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)  # fmt: skip
BODIES = st.one_of(
    st.binary(),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.builds(
        envelope,
        st.one_of(st.sampled_from(sorted(EventName)), any_text()),
        JSON,
    ),
)


@given(body=BODIES, timestamp=st.integers(0, 10**15 - 1))
def test_anything_signed_is_an_event_or_a_typed_error(body, timestamp):
    headers = {"Livepeer-Signature": sign(body, timestamp=timestamp)}
    try:
        event = webhooks.unwrap(body, headers, SECRET, tolerance=inf)
    except errors.LivepeerError as error:
        assert not isinstance(error, errors.ConfigurationError)  # noqa: PT017 - either is right
    else:
        assert isinstance(event, webhooks.WebhookEvent)
        assert event.timestamp == timestamp


@given(index=st.integers(0, len(READY) - 1), flip=st.integers(1, 255))
def test_each_changed_byte_is_noticed(index, flip):
    changed = bytearray(READY)
    changed[index] ^= flip
    with pytest.raises(errors.SignatureMismatch):
        unwrap(changed)
