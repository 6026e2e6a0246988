"""Unexpected offsets: which are asked for again, accepted, or lose the upload."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Command, Interrupted, OffsetKnown, ServerLimits, State, TusUpload
from livepeer_async.tus.offsets import OffsetTracker
from tus.prepared import ALIGNED, LENGTH, RESPONSES, URL, settle_offset, upload_in


def test_interrupted_chunk_waits_before_each_head():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(settle=1.5))
    upload.next_step()
    upload.interrupt("cut")
    for _ in range(2):
        step = upload.next_step()
        assert (step.command, step.wait) == (Command.ASK_OFFSET, 1.5)
        upload.receive(RESPONSES[OffsetKnown])
    assert upload.state is State.TRANSFERRING
    assert upload.failures == 1


def test_moving_offset_is_requested_again():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(settle=1.0))
    upload.next_step()
    upload.interrupt("cut")
    reported = []
    for offset in (0, 8, 8):
        assert upload.state is State.OFFSET_UNKNOWN
        upload.next_step()
        headers = {"upload-offset": str(offset), "upload-length": "20"}
        reported.append(upload.receive(Response(status=200, headers=headers)))
    assert isinstance(reported[1], Interrupted)
    assert "moved from 0 to 8 by itself" in reported[1].reason
    assert (upload.state, upload.offset) == (State.TRANSFERRING, 8)


@pytest.mark.parametrize(
    ("offset", "length", "limits", "message"),
    [
        (21, 20, ServerLimits(), "Upload-Offset is 21; wanted at most the length, 20"),
        (0, 19, ServerLimits(), "Upload-Length is 19; wanted 20"),
        (9, 20, ServerLimits(first_chunk=8), "Upload-Offset is 9, but only 8 bytes were sent"),
        (16, 20, ALIGNED, "Upload-Offset is 16, but only 8 bytes were sent"),
    ],
)
def test_impossible_offset_loses_the_upload(offset, length, limits, message):
    upload = upload_in(State.TRANSFERRING, limits=limits)
    upload.next_step()
    upload.interrupt("cut")
    settle_offset(upload, offset, length)
    assert (upload.state, upload.failure_reason) == (State.GONE, message)


def test_lost_acknowledged_bytes_lose_an_aligned_upload():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    # A body that ended early: the server keeps 3 bytes aside and would store them twice.
    upload.receive(Response(status=204, headers={"upload-offset": "3"}))
    settle_offset(upload, 0)
    assert (upload.state, upload.failure_reason) == (
        State.GONE,
        "Upload-Offset is 0 after it was 3",
    )


def test_falling_settled_offset_loses_an_aligned_upload():
    upload = TusUpload(upload_url=URL, length=LENGTH, limits=ALIGNED)
    settle_offset(upload, 8)
    upload.next_step()
    upload.interrupt("cut")
    settle_offset(upload, 0)
    assert (upload.state, upload.failure_reason) == (
        State.GONE,
        "Upload-Offset is 0 after it was 8",
    )


def resumed_at(offset, **limits):
    upload = TusUpload(
        upload_url=URL, length=LENGTH, limits=msgspec.structs.replace(ALIGNED, **limits)
    )
    settle_offset(upload, offset)
    return upload


def test_small_chunk_follows_an_interruption_if_aligned():
    upload = upload_in(
        State.TRANSFERRING, limits=msgspec.structs.replace(ALIGNED, max_chunk=32), length=80
    )
    sizes = []
    for offset in (8, None, 16, 48):
        sizes.append(upload.next_step().request.content.size)
        if offset is None:
            upload.interrupt("cut")
            settle_offset(upload, 8, 80)
            continue
        upload.receive(Response(status=204, headers={"upload-offset": str(offset)}), seconds=1e-9)
        assert upload.offset == offset
        if offset == 16:
            assert upload.state is State.OFFSET_UNKNOWN
            settle_offset(upload, 16, 80)
        assert upload.state is State.TRANSFERRING
    assert sizes == [8, 32, 8, 32]


@pytest.mark.parametrize("offset", [9, 16])
def test_piece_kept_aside_is_found_after_the_first_chunk(offset):
    upload = resumed_at(0)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    settle_offset(upload, offset)
    assert (upload.state, upload.offset) == (State.GONE, 8)
    assert upload.failure_reason == f"Upload-Offset is {offset}, but only 8 bytes were sent"


def test_late_part_is_accepted_if_no_chunk_was_stored_since():
    upload = resumed_at(0)
    upload.next_step()
    upload.receive(Response(status=409))
    settle_offset(upload, 8)
    assert upload.next_step().request.content == Span(8, 16)


def test_rejected_chunk_does_not_raise_the_possible_offset():
    upload = resumed_at(0)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    settle_offset(upload, 8)
    assert upload.next_step().request.content == Span(8, 16)
    upload.receive(Response(status=409))
    settle_offset(upload, 16)
    assert upload.failure_reason == "Upload-Offset is 16, but only 8 bytes were sent"


def test_last_chunk_needs_no_second_head():
    upload = resumed_at(16)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "20"}))
    assert upload.state is State.COMPLETE


def test_offset_may_fall_on_a_plain_server():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=8, max_chunk=8))
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.next_step()
    upload.interrupt("the server crashed")
    settle_offset(upload, 5)
    assert upload.next_step().request.content == Span(5, 13)


def test_plain_server_may_store_part_of_a_chunk():
    upload = upload_in(State.TRANSFERRING)
    upload.next_step()
    upload.receive(Response(status=204, headers={"upload-offset": "6"}))
    assert upload.next_step().request.content == Span(6, LENGTH)


@pytest.mark.parametrize("offset", [0, 21])
def test_acknowledged_offset_outside_the_chunk_interrupts(offset):
    upload = upload_in(State.TRANSFERRING)
    upload.next_step()
    event = upload.receive(Response(status=204, headers={"upload-offset": str(offset)}))
    assert event.reason == f"Upload-Offset is {offset} after bytes 0 to 20 were sent"
    assert (upload.state, upload.failures) == (State.OFFSET_UNKNOWN, 1)


def test_failures_count_since_the_highest_offset():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=8, max_chunk=8))
    for offset, wanted in [(0, 1), (0, 2), (4, 0), (2, 1), (4, 2), (5, 0)]:
        upload.next_step()
        upload.interrupt("cut")
        settle_offset(upload, offset)
        assert upload.failures == wanted


@pytest.mark.parametrize(("offset", "state"), [(0, State.TRANSFERRING), (8, State.GONE)])
def test_offset_above_max_offset_loses_the_upload(offset, state):
    upload = TusUpload(upload_url=URL, length=LENGTH, limits=ALIGNED, max_offset=0)
    settle_offset(upload, offset)
    assert upload.state is state


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 50))
def test_accepted_offset_is_within_bounds(offset, acknowledged, max_offset):
    for limits in (ServerLimits(align=8, tail_alone=True), ServerLimits()):
        tracker = OffsetTracker(is_new=False, max_offset=max_offset)
        tracker.check_acknowledged(Span(0, acknowledged), acknowledged)
        if tracker.check_settled(limits, OffsetKnown(offset, 42), 42) is None:
            assert offset <= min(max_offset, 42)
            assert offset >= acknowledged or limits.align == 1
