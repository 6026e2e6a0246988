"""Requests as built, and responses as read."""

import pytest
from hypothesis import given

from livepeer_async.errors import ProtocolError
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.tus import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
    ServerFeatures,
    Terminated,
    requests,
)
from support.strategies import any_text

ENDPOINT = "https://host.example/api/asset/upload/tus?token=s3cret"
URL = "https://host.example/api/asset/upload/tus/directUpload%2Fp1"
TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {"Content-Type": "application/offset+octet-stream"}


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (
            requests.creation(ENDPOINT, length=7),
            Request(method="POST", url=ENDPOINT, headers={**TUS, "Upload-Length": "7"}),
        ),
        (
            requests.creation(ENDPOINT, length=None),
            Request(method="POST", url=ENDPOINT, headers={**TUS, "Upload-Defer-Length": "1"}),
        ),
        (
            requests.creation(ENDPOINT, length=7, metadata={"a": "1"}, with_bytes=7),
            Request(
                method="POST",
                url=ENDPOINT,
                headers={**TUS, "Upload-Length": "7", "Upload-Metadata": "a MQ==", **STREAM},
                content=Span(0, 7),
            ),
        ),
        (
            requests.offset_request(URL),
            Request(method="HEAD", url=URL, headers=TUS, hides_path=True),
        ),
        (
            requests.chunk(URL, Span(3, 7)),
            Request(
                method="PATCH",
                url=URL,
                headers={**TUS, "Upload-Offset": "3", **STREAM},
                content=Span(3, 7),
                hides_path=True,
            ),
        ),
        (
            requests.chunk(URL, Span(3, 7), declare=7, override=True),
            Request(
                method="POST",
                url=URL,
                headers={
                    **TUS,
                    "Upload-Offset": "3",
                    **STREAM,
                    "Upload-Length": "7",
                    "X-HTTP-Method-Override": "PATCH",
                },
                content=Span(3, 7),
                hides_path=True,
            ),
        ),
        (
            requests.termination(URL),
            Request(method="DELETE", url=URL, headers=TUS, hides_path=True),
        ),
        (requests.options(URL), Request(method="OPTIONS", url=URL)),
    ],
    ids=lambda value: value.method if isinstance(value, Request) else None,
)
def test_request_is_exact(request_, wanted):
    assert request_ == wanted


def read_creation(response):
    return requests.read_creation(response, ENDPOINT)


READERS = [read_creation, requests.read_offset, requests.read_chunk, requests.read_termination]
CREATION, OFFSET, CHUNK, TERMINATION = READERS

EVENTS = [
    (CREATION, 400, Refused),
    (CREATION, 401, Refused),
    (CREATION, 403, Refused),
    (CREATION, 404, Refused),
    (CREATION, 410, Refused),
    (CREATION, 412, Refused),
    (CREATION, 413, Refused),
    (CREATION, 422, Refused),
    (CREATION, 301, Refused),
    (CREATION, 408, Interrupted),
    (CREATION, 500, Interrupted),
    (OFFSET, 403, Refused),
    (OFFSET, 404, Gone),
    (OFFSET, 410, Gone),
    (OFFSET, 413, Refused),
    (OFFSET, 307, Refused),
    (OFFSET, 423, Interrupted),
    (OFFSET, 502, Interrupted),
    (CHUNK, 400, Refused),
    (CHUNK, 403, Refused),
    (CHUNK, 404, Gone),
    (CHUNK, 408, Interrupted),
    (CHUNK, 409, Interrupted),
    (CHUNK, 410, Gone),
    (CHUNK, 412, Refused),
    (CHUNK, 413, ChunkTooLarge),
    (CHUNK, 415, Refused),
    (CHUNK, 423, Interrupted),
    (CHUNK, 425, Interrupted),
    (CHUNK, 429, Interrupted),
    (CHUNK, 460, Refused),
    (CHUNK, 500, Interrupted),
    (CHUNK, 503, Interrupted),
    (CHUNK, 599, Interrupted),
    (CHUNK, 302, Refused),
    (CHUNK, 308, Refused),
    (TERMINATION, 200, Terminated),
    (TERMINATION, 204, Terminated),
    (TERMINATION, 404, Terminated),
    (TERMINATION, 410, Terminated),
    (TERMINATION, 413, Refused),
    (TERMINATION, 405, Refused),
    (TERMINATION, 423, Interrupted),
    (TERMINATION, 500, Interrupted),
]


@pytest.mark.parametrize(("read", "status", "event"), EVENTS)
def test_status_is_read_as_event(read, status, event):
    assert type(read(Response(status=status))) is event


@pytest.mark.parametrize(
    "body",
    [
        b"ERR_UPLOAD_INTERRUPTED: upload has been interrupted by another request\n",
        b"ERR_UNEXPECTED_EOF: server expected to receive more bytes\n",
        b"Request aborted due to lock acquired",
    ],
)
def test_some_400s_are_interruptions(body):
    assert type(requests.read_chunk(Response(status=400, body=body))) is Interrupted
    # With another status the body has no meaning.
    assert type(requests.read_chunk(Response(status=403, body=body))) is Refused


@pytest.mark.parametrize(
    ("status", "headers", "is_busy", "untouched", "retry_after"),
    [
        (429, {}, True, True, None),
        (429, {"retry-after": "7"}, True, True, 7.0),
        (425, {}, False, True, None),
        (503, {}, True, False, None),
        (503, {"retry-after": "0"}, True, True, 0.0),
        (503, {"retry-after": "soon"}, True, False, None),
        (500, {"retry-after": "7"}, False, False, 7.0),
        (408, {}, False, False, None),
        # Servers compare the offset before they store anything.
        (409, {}, False, True, None),
    ],
)
def test_interruption_has_the_servers_request(status, headers, is_busy, untouched, retry_after):
    event = requests.read_chunk(Response(status=status, headers=headers, request_id="r1"))
    assert event == Interrupted(
        reason=f"{status} from : no explanation",
        retry_after=retry_after,
        is_busy=is_busy,
        untouched=untouched,
        request_id="r1",
    )


def test_conflict_at_a_creation_may_have_been_processed():
    assert not read_creation(Response(status=409)).untouched


def test_reason_quotes_the_server_without_secrets():
    body = b'{"errors":["no token eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln found"]}'
    event = requests.read_chunk(
        Response(status=401, body=body, place="PATCH https://host.example/1", request_id="r1")
    )
    assert event == Refused(
        reason='401 from PATCH https://host.example/1: {"errors":["no token *** found"]}',
        status=401,
        request_id="r1",
    )


def test_redirect_is_not_followed():
    event = requests.read_chunk(Response(status=308, headers={"location": "https://evil.example"}))
    assert "redirects are not followed" in event.reason


INVALID_OFFSETS = [
    *("", " ", "12x", "-1", "+1", "1e3", "1.0", " 5", "5 ", "٣", "²", "0x10", "1_000", "5, 6"),
    *("9" * 30, "0" * 20, str(2**63), "\x00", "nan"),
]
VALID_OFFSETS = [("0", 0), ("007", 7), ("12", 12), (str(2**63 - 1), 2**63 - 1)]


@pytest.mark.parametrize("value", INVALID_OFFSETS)
def test_invalid_offset_is_an_interruption(value):
    headers = {"upload-offset": value, "location": URL}
    for read in (requests.read_offset, requests.read_chunk):
        event = read(Response(status=200, headers=headers, request_id="r1"))
        assert type(event) is Interrupted
        assert "wanted an integer in 0..9223372036854775807" in event.reason
        assert event.request_id == "r1"
    with pytest.raises(ProtocolError, match="Upload-Offset is ") as caught:
        read_creation(Response(status=201, headers=headers, request_id="r1"))
    assert caught.value.request_id == "r1"


@pytest.mark.parametrize(("value", "offset"), VALID_OFFSETS)
def test_offset_is_read(value, offset):
    headers = {"upload-offset": value, "location": URL}
    assert requests.read_offset(Response(status=200, headers=headers)) == OffsetKnown(offset, None)
    assert requests.read_chunk(Response(status=204, headers=headers)) == ChunkAccepted(offset)
    assert read_creation(Response(status=201, headers=headers)) == Created(URL, offset)


@pytest.mark.parametrize(("joined", "offset"), [("5, 5", 5), ("5,5", 5), ("7, 7, 7", 7)])
def test_equal_repetitions_of_a_header_count_once(joined, offset):
    location = f"{URL}, {URL}"
    headers = {"upload-offset": joined, "upload-length": "9, 9", "location": location}
    assert requests.read_offset(Response(status=200, headers=headers)) == OffsetKnown(offset, 9)
    assert requests.read_chunk(Response(status=204, headers=headers)) == ChunkAccepted(offset)
    assert read_creation(Response(status=201, headers=headers)) == Created(URL, offset)
    deferred = Response(status=200, headers={"upload-defer-length": "1, 1"})
    assert requests.is_deferred(deferred)
    options = {"tus-max-size": "10, 10", "tus-version": "1.0.0, 1.0.0"}
    features = requests.read_options(Response(status=204, headers=options))
    assert (features.max_size, features.versions) == (10, ("1.0.0",))


@given(any_text(max_size=40))
def test_any_text_for_an_offset_is_an_event(text):
    response = Response(status=200, headers={"upload-offset": text, "upload-length": text})
    assert type(requests.read_offset(response)) in {OffsetKnown, Interrupted}
    assert type(requests.read_chunk(response)) in {ChunkAccepted, Interrupted}


@pytest.mark.parametrize("read", [requests.read_offset, requests.read_chunk])
def test_missing_offset_is_an_interruption(read):
    event = read(Response(status=204, place="PATCH https://host.example/1"))
    assert event.reason == (
        "Upload-Offset is missing; wanted an integer (204 from PATCH https://host.example/1)"
    )


@pytest.mark.parametrize("value", INVALID_OFFSETS)
def test_invalid_length_header_is_an_interruption(value):
    headers = {"upload-offset": "0", "upload-length": value}
    event = requests.read_offset(Response(status=200, headers=headers))
    assert "Upload-Length is " in event.reason


def test_length_is_read():
    headers = {"upload-offset": "3", "upload-length": "7"}
    assert requests.read_offset(Response(status=200, headers=headers)) == OffsetKnown(3, 7)


def test_creation_without_an_offset_means_zero():
    response = Response(status=201, headers={"location": URL})
    assert read_creation(response) == Created(URL, 0)


@pytest.mark.parametrize(
    ("headers", "features"),
    [
        ({}, ServerFeatures()),
        (
            {
                "tus-version": "1.0.0,0.2.2",
                "tus-extension": "creation, termination ,,",
                "tus-max-size": "1073741824",
            },
            ServerFeatures(
                versions=("1.0.0", "0.2.2"),
                extensions=frozenset({"creation", "termination"}),
                max_size=1073741824,
            ),
        ),
        ({"tus-max-size": "many"}, ServerFeatures()),
        ({"tus-max-size": "-1"}, ServerFeatures()),
        ({"tus-max-size": "9" * 20}, ServerFeatures()),
        ({"tus-max-size": "٣"}, ServerFeatures()),
    ],
)
def test_options_are_read(headers, features):
    assert requests.read_options(Response(status=204, headers=headers)) == features


def test_repr_shows_four_characters_of_the_upload_url():
    created = Created("https://origin.example/files/abcdefghij", 5)
    assert repr(created) == "Created(upload_url='https://origin.example/files/abcd…', offset=5)"
    assert created.__rich_repr__()[0] == ("upload_url", "https://origin.example/files/abcd…")


def test_features_do_not_show_an_echoed_secret():
    headers = {"tus-version": "1.0.0,S3cret-key", "tus-extension": "creation,S3CRET-KEY"}
    response = Response(status=204, headers=headers, secrets=("S3cret-key",))
    features = requests.read_options(response)
    assert features == ServerFeatures(
        versions=("1.0.0", "***"), extensions=frozenset({"creation", "***"})
    )
