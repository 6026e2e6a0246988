"""Offsets that are in doubt: which are asked for, which are believed, which lose the upload."""

import msgspec
import pytest

from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Command, Interrupted, OffsetKnown, ServerLimits, State, TusUpload
from tus.situations import ALIGNED, ANSWERS, LENGTH, URL, ask_offset, upload_in


def test_interrupted_chunk_asks_for_the_offset_after_settling():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(settle=1.5))
    upload.next_step()
    upload.interrupt("cut")
    for _ in range(2):
        move = upload.next_step()
        assert (move.command, move.wait) == (Command.ASK_OFFSET, 1.5)
        upload.receive(ANSWERS[OffsetKnown])
    assert upload.state is State.TRANSFERRING
    assert upload.failures == 1


def test_offset_that_moves_by_itself_is_asked_for_again():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(settle=1.0))
    upload.next_step()
    upload.interrupt("cut")
    told = []
    for offset in (0, 8, 8):
        assert upload.state is State.OFFSET_UNKNOWN
        upload.next_step()
        headers = {"upload-offset": str(offset), "upload-length": "20"}
        told.append(upload.receive(Response(status=200, headers=headers)))
    assert isinstance(told[1], Interrupted)
    assert "moved from 0 to 8 by itself" in told[1].reason
    assert (upload.state, upload.offset) == (State.TRANSFERRING, 8)


@pytest.mark.parametrize(
    ("offset", "length", "limits", "why"),
    [
        (21, 20, ServerLimits(), "Upload-Offset is 21; wanted at most the length, 20"),
        (0, 19, ServerLimits(), "Upload-Length is 19; wanted 20"),
        (9, 20, ServerLimits(first_chunk=8), "Upload-Offset is 9 where at most 8 bytes were sent"),
        (16, 20, ALIGNED, "Upload-Offset is 16 where at most 8 bytes were sent"),
    ],
)
def test_unbelievable_offset_loses_the_upload(offset, length, limits, why):
    upload = upload_in(State.TRANSFERRING, limits=limits)
    upload.next_step()
    upload.interrupt("cut")
    ask_offset(upload, offset, length)
    assert (upload.state, upload.failure_reason) == (State.GONE, why)


def test_acknowledged_bytes_that_an_aligned_server_forgot_lose_the_upload():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    # A body that ended early: 3 bytes are put aside, and would be stored twice.
    upload.receive(Response(status=204, headers={"upload-offset": "3"}))
    ask_offset(upload, 0)
    assert (upload.state, upload.failure_reason) == (
        State.GONE,
        "Upload-Offset is 0 after it was 3",
    )


def test_settled_offset_that_falls_on_an_aligned_server_loses_the_upload():
    upload = TusUpload(upload_url=URL, length=LENGTH, limits=ALIGNED)
    ask_offset(upload, 8)
    upload.next_step()
    upload.interrupt("cut")
    ask_offset(upload, 0)
    assert (upload.state, upload.failure_reason) == (
        State.GONE,
        "Upload-Offset is 0 after it was 8",
    )


def resumed_at(offset, **limits):
    upload = TusUpload(
        upload_url=URL, length=LENGTH, limits=msgspec.structs.replace(ALIGNED, **limits)
    )
    ask_offset(upload, offset)
    return upload


def test_first_chunk_after_a_doubt_is_small_and_looked_at_on_an_aligned_server():
    upload = upload_in(
        State.TRANSFERRING, limits=msgspec.structs.replace(ALIGNED, max_chunk=None), length=80
    )
    sizes = []
    for offset in (8, None, 16, 48):
        sizes.append(upload.next_step().request.content.size)
        if offset is None:
            upload.interrupt("cut")
            ask_offset(upload, 8, 80)
            continue
        upload.receive(Response(status=204, headers={"upload-offset": str(offset)}), seconds=1e-9)
        assert upload.offset == offset
        if offset == 16:
            assert upload.state is State.OFFSET_UNKNOWN
            ask_offset(upload, 16, 80)
        assert upload.state is State.TRANSFERRING
    assert sizes == [8, 32, 8, 32]


@pytest.mark.parametrize("offset", [9, 16])
def test_piece_that_was_put_aside_shows_after_the_first_chunk(offset):
    upload = resumed_at(0)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    ask_offset(upload, offset)
    assert (upload.state, upload.offset) == (State.GONE, 8)
    assert upload.failure_reason == f"Upload-Offset is {offset} where at most 8 bytes were sent"


def test_part_that_was_late_is_believed_where_nothing_was_taken_since():
    upload = resumed_at(0)
    upload.next_step()
    upload.receive(Response(status=409))
    ask_offset(upload, 8)
    assert upload.next_step().request.content == Span(8, 16)


def test_chunk_that_was_not_taken_lets_the_server_hold_no_more():
    upload = resumed_at(0)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    ask_offset(upload, 8)
    assert upload.next_step().request.content == Span(8, 16)
    upload.receive(Response(status=409))
    ask_offset(upload, 16)
    assert upload.failure_reason == "Upload-Offset is 16 where at most 8 bytes were sent"


def test_last_chunk_needs_no_second_look():
    upload = resumed_at(16)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "20"}))
    assert upload.state is State.COMPLETE


def test_offset_may_fall_on_a_plain_server():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=8, max_chunk=8))
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.next_step()
    upload.interrupt("the machine crashed")
    ask_offset(upload, 5)
    assert upload.next_step().request.content == Span(5, 13)


def test_partly_taken_chunk_goes_on_at_once_on_a_plain_server():
    upload = upload_in(State.TRANSFERRING)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "6"}))
    assert upload.next_step().request.content == Span(6, LENGTH)


@pytest.mark.parametrize("offset", [0, 21])
def test_acknowledged_offset_outside_of_what_was_sent_is_a_doubt(offset):
    upload = upload_in(State.TRANSFERRING)
    upload.next_step()
    event = upload.receive(Response(status=204, headers={"upload-offset": str(offset)}))
    assert event.reason == f"Upload-Offset is {offset} after bytes 0 to 20 were sent"
    assert (upload.state, upload.failures) == (State.OFFSET_UNKNOWN, 1)


def test_setbacks_count_since_the_offset_last_rose_above_all():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=8, max_chunk=8))
    for offset, wanted in [(0, 1), (0, 2), (4, 0), (2, 1), (4, 2), (5, 0)]:
        upload.next_step()
        upload.interrupt("cut")
        ask_offset(upload, offset)
        assert upload.failures == wanted


@pytest.mark.parametrize(("offset", "state"), [(0, State.TRANSFERRING), (8, State.GONE)])
def test_offset_beyond_what_was_sent_elsewhere_loses_the_upload(offset, state):
    upload = TusUpload(upload_url=URL, length=LENGTH, limits=ALIGNED, reach=0)
    ask_offset(upload, offset)
    assert upload.state is state
