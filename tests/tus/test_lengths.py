"""Sizes of chunks, and deferred lengths of uploads."""

import pytest

from livepeer_async.errors import IllegalMove
from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Refused, ServerLimits, State, TusUpload
from tus.prepared import ALIGNED, CREATED, URL, settle_offset, snapshot, upload_in
from tus.servers import ENDPOINT


def test_too_large_chunk_is_halved():
    limits = ServerLimits(first_chunk=16)
    upload = upload_in(State.TRANSFERRING, limits=limits)
    sizes = []
    for _ in range(5):
        settle_offset(upload, 0)
        step = upload.next_step()
        sizes.append(step.request.content.size)
        event = upload.receive(Response(status=413))
    assert sizes == [16, 8, 4, 2, 1]
    assert isinstance(event, Refused)


def test_chunk_of_one_part_cannot_be_halved():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    event = upload.receive(Response(status=413))
    assert (type(event), event.status) == (Refused, 413)
    assert upload.state is State.OFFSET_UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        (None, 2),
        (0.0, 2),
        (-1.0, 2),
        (float("nan"), 2),
        (5e-324, 18),
        (1.0, 18),
        (15.0, 2),
        (60, 1),
    ],
)
def test_next_chunk_is_sized_by_the_time_of_the_last(seconds, size):
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=2))
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "2"}), seconds=seconds)
    assert upload.plan() == size


def deferred(**more):
    upload = TusUpload(endpoint=ENDPOINT, length=None, limits=ServerLimits(**more))
    assert upload.next_step().request.headers["Upload-Defer-Length"] == "1"
    upload.receive(CREATED)
    return upload


def test_deferred_length_is_sent_with_the_next_chunk():
    upload = deferred(first_chunk=8, max_chunk=8)
    assert upload.next_step(available=8).request.headers.get("Upload-Length") is None
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.declare_length(10)
    step = upload.next_step(available=2)
    assert (step.request.content, step.request.headers["Upload-Length"]) == (Span(8, 10), "10")
    upload.receive(Response(status=204, headers={"upload-offset": "10"}))
    assert upload.state is State.COMPLETE


def test_length_declared_at_the_end_is_sent_alone():
    upload = deferred(first_chunk=8)
    upload.next_step(available=8)
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.declare_length(8)
    assert upload.state is State.TRANSFERRING
    assert upload.next_step().request.content == Span(8, 8)
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    assert upload.state is State.COMPLETE


def test_lost_length_declaration_is_repeated():
    upload = deferred(first_chunk=8)
    upload.declare_length(8)
    upload.next_step()
    upload.interrupt("cut")
    upload.next_step()
    upload.receive(Response(status=200, headers={"upload-offset": "8", "upload-defer-length": "1"}))
    assert upload.next_step().request.headers["Upload-Length"] == "8"


@pytest.mark.parametrize("length", [0, -1, 7])
def test_length_below_the_offset_cannot_be_declared(length):
    upload = deferred(first_chunk=8)
    upload.next_step(available=8)
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"the length can't become {length}"):
        upload.declare_length(length)
    assert snapshot(upload) == before


def test_length_is_declared_once():
    upload = deferred()
    upload.declare_length(5)
    with pytest.raises(IllegalMove, match="the length can't become 6"):
        upload.declare_length(6)


@pytest.mark.parametrize("available", [-1, 0, 3])
def test_too_few_available_bytes_raise(available):
    upload = deferred(first_chunk=8, align=4)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"{available} bytes are available; wanted 4"):
        upload.next_step(available=available)
    assert snapshot(upload) == before


@pytest.mark.parametrize(("available", "size"), [(4, 4), (7, 4), (8, 8), (100, 8)])
def test_available_bytes_are_cut_to_the_alignment(available, size):
    upload = deferred(first_chunk=8, align=4)
    assert upload.next_step(available=available).request.content.size == size


def test_length_of_a_resumed_upload_is_read():
    upload = TusUpload(upload_url=URL, length=None)
    settle_offset(upload, 5)
    assert (upload.length, upload.next_step().request.content) == (20, Span(5, 20))


@pytest.mark.parametrize("length", [0, 8, 100])
def test_undeclared_length_loses_the_upload(length):
    upload = deferred(first_chunk=8)
    upload.next_step(available=8)
    upload.interrupt("cut")
    upload.next_step()
    upload.receive(
        Response(status=200, headers={"upload-offset": "8", "upload-length": f"{length}"})
    )
    assert (upload.state, upload.length) == (State.GONE, None)
    assert upload.failure_reason.startswith(f"Upload-Length is {length}; it was deferred")
