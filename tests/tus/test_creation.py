"""How an upload is begun: what it needs, and creations that fail, are lost or bring bytes along."""

import pytest

from livepeer_async.errors import ConfigurationError, IllegalMove, ProtocolError
from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Command, Interrupted, Refused, ServerLimits, State, TusUpload
from tus.servers import ENDPOINT
from tus.situations import CREATED, URL, ask_offset


@pytest.mark.parametrize("where", [{}, {"endpoint": ENDPOINT, "upload_url": URL}])
def test_upload_needs_one_place(where):
    with pytest.raises(ConfigurationError, match="either the endpoint or the URL"):
        TusUpload(length=1, **where)


@pytest.mark.parametrize("length", [0, -1, 11])
def test_length_that_no_upload_has_is_refused(length):
    with pytest.raises(ConfigurationError, match=f"the length is {length}"):
        TusUpload(endpoint=ENDPOINT, length=length, limits=ServerLimits(max_length=10))


def test_metadata_that_cannot_be_sent_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="metadata key"):
        TusUpload(endpoint=ENDPOINT, length=1, metadata={"a b": "c"})


def test_created_upload_may_hold_less_than_was_sent_along():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ServerLimits(with_creation=8))
    assert upload.next_step().request.content == Span(0, 5)
    # A server without Creation With Upload passes over the body and names no offset.
    assert isinstance(upload.receive(CREATED), Interrupted)
    ask_offset(upload, 0, 5)
    assert upload.next_step().request.content == Span(0, 5)


def test_small_upload_is_complete_with_its_creation():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ServerLimits(with_creation=5))
    upload.next_step()
    headers = {"location": URL, "upload-offset": "5"}
    upload.receive(Response(status=201, headers=headers))
    assert upload.is_over
    assert upload.state is State.COMPLETE


ONCE = ServerLimits(creates_once=True, with_creation=8)


def test_creation_whose_answer_was_lost_is_never_repeated():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_step()
    upload.interrupt("cut")
    assert upload.failure_reason == "the creation may have happened: cut"
    with pytest.raises(IllegalMove):
        upload.next_step()


@pytest.mark.parametrize("answer", [None, 429, 425, 503])
def test_creation_that_never_began_is_repeated(answer):
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_step()
    if answer is None:
        upload.interrupt("no connection", untouched=True)
    else:
        upload.receive(Response(status=answer, headers={"retry-after": "1"}))
    assert upload.next_step().command is Command.CREATE
    assert upload.failures == 1


@pytest.mark.parametrize(
    ("limits", "wanted"), [(ONCE, State.GONE), (ServerLimits(), State.UNCREATED)]
)
def test_creation_answered_without_a_usable_location_is_the_servers_fault(limits, wanted):
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=limits)
    upload.next_step()
    with pytest.raises(ProtocolError, match="Location is missing"):
        upload.receive(Response(status=201))
    assert upload.state is wanted


def test_creation_too_large_for_a_proxy_is_repeated_without_bytes():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_step()
    event = upload.receive(Response(status=413))
    assert isinstance(event, Interrupted)
    assert upload.next_step().request.content == b""
    # Without bytes it speaks of the whole upload.
    assert isinstance(upload.receive(Response(status=413)), Refused)
    assert upload.state is State.UNCREATED
