"""An abandoned chunk may still arrive; until then no other is sent."""

import pytest
from msgspec.structs import replace

from livepeer_async.errors import IllegalMove
from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Command, ServerLimits, State, TusUpload
from livepeer_async.tus.late import (
    MAX_POLL,
    MAX_WAIT,
    WAIT_PER_STORAGE_SECOND,
    LateChunk,
    Timing,
)
from tus.prepared import ALIGNED, LENGTH, URL, settle_offset, upload_in

CHUNK = Span(0, 8)


def abandoned(*, stored=0.0, settle=1.0, growth=1, **timing):
    late, limits = LateChunk(), ServerLimits(settle=settle)
    late.record_accepted(CHUNK, Timing(seconds=stored + 0.1, waited=stored))
    late.record_abandoned(Span(0, growth * CHUNK.size), Timing(**timing), limits)
    return late


def total_wait(late):
    """Return the sum of the waits until the chunk counts as lost."""
    seconds = 0.0
    while late.is_pending:
        wait = late.next_wait(0.0)
        assert 0 < wait <= MAX_POLL
        seconds += wait
    return seconds


@pytest.mark.parametrize(
    ("abandon", "wanted"),
    [
        ({"seconds": 301.0, "waited": 300.0, "is_timeout": True}, 300.0),
        ({"seconds": 0.6, "waited": 0.5, "is_timeout": True}, 0.5),
        # Cut off by a gateway: it may need several times as long.
        ({"seconds": 60.0, "waited": 60.0}, 240.0),
        ({"seconds": 250.0, "waited": 250.0}, MAX_WAIT),
        # A slow link, and not a slow server.
        ({"seconds": 60.0, "waited": 20.0}, 0.0),
        ({"seconds": 0.4, "waited": 0.4}, 0.0),
        ({"seconds": 0.4, "waited": 0.4, "settle": 0.0}, 0.0),
        ({"seconds": 0.4, "waited": 0.4, "settle": 0.1}, 1.6),
        # Cut off while it was sent, after a chunk that was stored quickly or slowly.
        ({"seconds": 3.0, "waited": None}, 0.0),
        ({"seconds": 3.0, "waited": None, "stored": 40.1}, 80.0),
        ({"seconds": 3.0, "waited": None, "is_timeout": True}, 0.0),
        # A larger chunk takes longer than the one before, up to the time for which it was planned.
        ({"seconds": 3.0, "waited": None, "stored": 1.1, "growth": 10}, 20.0),
        ({"seconds": 3.0, "waited": 0.0, "stored": 1.1, "growth": 10}, 20.0),
        (
            {"seconds": 3.0, "waited": None, "stored": 1.1, "growth": 32},
            ServerLimits().max_chunk_seconds,
        ),
        ({"seconds": 3.0, "waited": None, "stored": 40.1, "growth": 32}, 80.0),
        ({"seconds": 3.0, "waited": None, "stored": 0.125, "growth": 10}, 0.0),
        ({"seconds": 3.0, "waited": None, "stored": 1.1, "growth": 10, "settle": 0.0}, 0.0),
    ],
)
def test_wait_grows_with_the_servers_latency(abandon, wanted):
    assert total_wait(abandoned(**abandon)) == pytest.approx(wanted)


def test_acknowledged_chunk_is_not_late():
    late = abandoned(seconds=60.0, waited=60.0)
    late.record_accepted(CHUNK, Timing(seconds=1.0, waited=0.5))
    assert not late.is_pending


def test_arrived_chunk_is_not_late():
    late = abandoned(seconds=60.0, waited=60.0)
    assert late.may_arrive(0)
    assert not late.may_arrive(8)
    assert not late.is_pending


def test_each_arriving_part_extends_the_wait():
    late = abandoned(seconds=60.0, waited=60.0)
    for _ in range(8):
        late.next_wait(0.0)
    assert late.may_arrive(4)
    assert total_wait(late) == pytest.approx(240.0)
    assert not late.may_arrive(4)


def test_offset_does_not_settle_while_a_chunk_is_late():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    upload.interrupt("no response", seconds=20.0, waited=20.0, is_timeout=True)
    asked = waited = 0
    while upload.state is State.OFFSET_UNKNOWN and asked < 100:
        step = upload.next_step()
        assert step.command is Command.ASK_OFFSET
        asked, waited = asked + 1, waited + step.wait
        upload.receive(Response(status=200, headers={"upload-offset": "0"}))
    assert waited >= 20.0
    assert upload.failures == 1


def test_late_chunk_is_progress_and_not_a_second_failure():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    upload.interrupt("no response", seconds=20.0, waited=20.0, is_timeout=True)
    for offset in (0, 0, 8, 8):
        assert upload.state is State.OFFSET_UNKNOWN
        upload.next_step()
        upload.receive(Response(status=200, headers={"upload-offset": str(offset)}))
        assert upload.failures <= 1
    assert (upload.state, upload.offset, upload.failures) == (State.TRANSFERRING, 8, 0)


def test_arriving_chunk_of_an_earlier_process_is_awaited():
    upload = TusUpload(upload_url=URL, length=LENGTH, limits=ALIGNED)
    waited = 0.0
    for offset in (0, 8, 8, 16, 16, 16, 16, 16):
        if upload.state is not State.OFFSET_UNKNOWN:
            break
        waited += upload.next_step().wait
        headers = {"upload-offset": str(offset), "upload-length": str(LENGTH)}
        upload.receive(Response(status=200, headers=headers))
    assert (upload.state, upload.offset) == (State.TRANSFERRING, 16)
    assert waited > WAIT_PER_STORAGE_SECOND * ALIGNED.settle


def test_each_timeout_without_progress_doubles_the_limit():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    factors = []
    for _ in range(5):
        factors.append(upload.next_step().request.timeout_factor)
        upload.interrupt("no response", seconds=1.0, waited=1.0, is_timeout=True)
        settle_offset(upload, 0)
    assert factors == [1, 2, 4, 8, 8]
    assert upload.chunks.timeouts == 5


def test_illegal_step_does_not_shorten_the_wait():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    upload.interrupt("no response", seconds=20.0, waited=20.0, is_timeout=True)
    upload.next_step()
    before = dict(vars(upload.late))
    with pytest.raises(IllegalMove):
        upload.next_step()
    assert vars(upload.late) == before


def test_progress_after_a_timeout_restores_the_time_limit():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    upload.interrupt("no response", seconds=1.0, waited=1.0, is_timeout=True)
    settle_offset(upload, 8)
    assert upload.next_step().request.timeout_factor == 1


@pytest.mark.parametrize("status", [429, 503])
def test_chunk_may_arrive_after_a_late_busy_response(status):
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    busy = Response(status=status, headers={"retry-after": "1"})
    upload.receive(busy, seconds=60.0, waited=60.0)
    settle_offset(upload, 8)
    assert (upload.state, upload.offset) == (State.TRANSFERRING, 8)


def test_chunk_is_not_late_after_a_quick_busy_response():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    upload.receive(Response(status=429), seconds=0.1, waited=0.1)
    settle_offset(upload, 8)
    assert upload.state is State.GONE


def test_creation_is_not_repeated_after_a_late_busy_response():
    upload = upload_in(
        State.UNCREATED, limits=replace(ALIGNED, with_creation=20, creates_once=True)
    )
    upload.next_step()
    busy = Response(status=503, headers={"retry-after": "1"})
    upload.receive(busy, seconds=60.0, waited=60.0)
    assert upload.state is State.GONE


def test_stall_while_sending_is_not_a_response_timeout():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_step()
    upload.interrupt("stalled", seconds=30.0, waited=None, is_timeout=True)
    assert upload.chunks.timeouts == 0
