"""Creations: invalid arguments, failures, lost responses, and bytes in the request."""

import pytest

from livepeer_async.errors import ConfigurationError, IllegalMove, ProtocolError
from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Command, Interrupted, Refused, ServerLimits, State, TusUpload
from tus.prepared import CREATED, URL, settle_offset
from tus.servers import ENDPOINT


@pytest.mark.parametrize("where", [{}, {"endpoint": ENDPOINT, "upload_url": URL}])
def test_upload_needs_an_endpoint_or_a_url(where):
    with pytest.raises(ConfigurationError, match="either the endpoint or the URL"):
        TusUpload(length=1, **where)


@pytest.mark.parametrize("length", [0, -1, 11])
def test_invalid_length_is_an_error(length):
    with pytest.raises(ConfigurationError, match=f"the length is {length}"):
        TusUpload(endpoint=ENDPOINT, length=length, limits=ServerLimits(max_length=10))


def test_invalid_metadata_is_an_error():
    with pytest.raises(ConfigurationError, match="metadata key"):
        TusUpload(endpoint=ENDPOINT, length=1, metadata={"a b": "c"})


def test_created_upload_may_lack_the_bytes_of_its_creation():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ServerLimits(with_creation=8))
    assert upload.next_step().request.content == Span(0, 5)
    # A server without Creation With Upload ignores the body and sends no offset.
    assert isinstance(upload.receive(CREATED), Interrupted)
    settle_offset(upload, 0, 5)
    assert upload.next_step().request.content == Span(0, 5)


def test_small_upload_completes_with_its_creation():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ServerLimits(with_creation=5))
    upload.next_step()
    headers = {"location": URL, "upload-offset": "5"}
    upload.receive(Response(status=201, headers=headers))
    assert upload.is_over
    assert upload.state is State.COMPLETE


ONCE = ServerLimits(creates_once=True, with_creation=8)


def test_creation_without_a_response_is_never_repeated():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_step()
    upload.interrupt("cut")
    assert upload.failure_reason == "the creation may have happened: cut"
    with pytest.raises(IllegalMove):
        upload.next_step()


@pytest.mark.parametrize("status", [None, 429, 425, 503])
def test_unprocessed_creation_is_repeated(status):
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_step()
    if status is None:
        upload.interrupt("no connection", untouched=True)
    else:
        upload.receive(Response(status=status, headers={"retry-after": "1"}))
    assert upload.next_step().command is Command.CREATE
    assert upload.failures == 1


@pytest.mark.parametrize(
    ("limits", "wanted"), [(ONCE, State.GONE), (ServerLimits(), State.UNCREATED)]
)
def test_creation_without_location_is_a_protocol_error(limits, wanted):
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=limits)
    upload.next_step()
    with pytest.raises(ProtocolError, match="Location is missing"):
        upload.receive(Response(status=201))
    assert upload.state is wanted


def test_too_large_creation_is_repeated_without_bytes():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_step()
    event = upload.receive(Response(status=413))
    assert isinstance(event, Interrupted)
    assert upload.next_step().request.content == b""
    # Without bytes, 413 is about the whole upload.
    assert isinstance(upload.receive(Response(status=413)), Refused)
    assert upload.state is State.UNCREATED
