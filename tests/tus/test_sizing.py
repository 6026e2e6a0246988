"""Chunk sizes after chunks that were accepted, interrupted or too large."""

from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import Command, ServerLimits, State
from livepeer_async.tus.late import Timing
from livepeer_async.tus.limits import MIB
from livepeer_async.tus.sizing import FIRST_CHUNK_AFTER_FAILURE, SUCCESSES_BEFORE_GROWTH, ChunkSizer
from tus.prepared import CREATED, settle_offset, upload_in

LONG = 1024 * MIB
PLAIN = ServerLimits()
LIVEPEER = ServerLimits(align=8 * MIB, tail_alone=True, first_chunk=8 * MIB, settle=1.0)


def accepted(sizer, size, *, seconds=0.01):
    sizer.record_started(Span(0, size))
    sizer.record_accepted(Span(0, size), size, seconds)
    sizer.is_cautious = False


def test_probe_follows_a_chunk_without_progress():
    sizer = ChunkSizer(is_cautious=False)
    sizer.record_interrupted(Span(0, 8 * MIB), Timing())
    sizer.record_resumed(PLAIN, 0)
    assert sizer.plan_size(PLAIN, LONG) == FIRST_CHUNK_AFTER_FAILURE


def test_chunk_without_progress_is_not_repeated_at_its_size():
    sizer = ChunkSizer(is_cautious=False)
    accepted(sizer, 8 * MIB)
    sizer.record_interrupted(Span(0, 8 * MIB), Timing())
    sizer.record_resumed(PLAIN, 0)
    sizes = []
    for _ in range(8):
        sizes.append(sizer.plan_size(PLAIN, LONG))
        accepted(sizer, sizes[-1])
    assert max(sizes) == 4 * MIB


def test_size_doubles_after_several_successes():
    sizer = ChunkSizer(is_cautious=False)
    sizer.record_interrupted(Span(0, 8 * MIB), Timing())
    sizer.record_resumed(PLAIN, 0)
    for _ in range(SUCCESSES_BEFORE_GROWTH):
        assert sizer.plan_size(PLAIN, LONG) <= 4 * MIB
        accepted(sizer, 4 * MIB)
    assert sizer.plan_size(PLAIN, LONG) == 8 * MIB


def test_chunk_stored_in_part_keeps_its_size():
    sizer = ChunkSizer(is_cautious=False)
    accepted(sizer, 8 * MIB)
    sizer.record_interrupted(Span(0, 8 * MIB), Timing())
    sizer.record_resumed(PLAIN, 1)
    assert sizer.plan_size(PLAIN, LONG) == 256 * MIB


def test_aligned_chunks_shrink_to_the_alignment():
    sizer = ChunkSizer(is_cautious=False)
    for failed, wanted in ((64, 32), (32, 16), (8, 8)):
        sizer.record_interrupted(Span(0, failed * MIB), Timing())
        sizer.record_resumed(LIVEPEER, 0)
        accepted(sizer, 64 * MIB)
        assert sizer.plan_size(LIVEPEER, LONG) == wanted * MIB


def test_missing_response_lowers_the_rate():
    sizer = ChunkSizer(is_cautious=False)
    accepted(sizer, 8 * MIB)
    sizer.record_interrupted(Span(0, 8 * MIB), Timing(seconds=300.0, waited=300.0, is_timeout=True))
    sizer.record_resumed(PLAIN, 1)
    assert sizer.plan_size(PLAIN, LONG) == int(8 * MIB / 300 * 15)


def test_smallest_chunks_do_not_shrink():
    sizer = ChunkSizer(is_cautious=False)
    sizer.record_interrupted(Span(0, 10), Timing())
    sizer.record_resumed(PLAIN, 0)
    accepted(sizer, FIRST_CHUNK_AFTER_FAILURE)
    assert (
        sizer.plan_size(ServerLimits(max_chunk=4 * FIRST_CHUNK_AFTER_FAILURE), LONG)
        == FIRST_CHUNK_AFTER_FAILURE
    )


def test_lost_creation_with_bytes_is_repeated_without():
    upload = upload_in(State.UNCREATED, limits=ServerLimits(with_creation=20))
    assert upload.next_step().request.content == Span(0, 20)
    upload.interrupt("cut")
    step = upload.next_step()
    assert (step.command, step.request.content) == (Command.CREATE, b"")


def test_probe_follows_a_lost_creation_with_bytes():
    limits = ServerLimits(with_creation=8 * MIB)
    upload = upload_in(State.UNCREATED, limits=limits, length=8 * MIB)
    upload.next_step()
    upload.interrupt("no response", seconds=300.0, waited=300.0, is_timeout=True)
    upload.next_step()
    upload.receive(CREATED)
    assert upload.next_step().request.content == Span(0, FIRST_CHUNK_AFTER_FAILURE)


def test_unsent_creation_is_repeated_with_its_bytes():
    upload = upload_in(State.UNCREATED, limits=ServerLimits(with_creation=20))
    upload.next_step()
    upload.interrupt("refused", untouched=True)
    assert upload.next_step().request.content == Span(0, 20)


def test_probe_finds_a_lost_refusal():
    upload = upload_in(State.TRANSFERRING, length=LONG)
    upload.next_step()
    upload.interrupt("reset by the server")
    settle_offset(upload, 0, LONG)
    assert upload.next_step().request.content == Span(0, FIRST_CHUNK_AFTER_FAILURE)
    event = upload.receive(Response(status=403, body=b"quota exceeded"))
    assert (event.status, "quota exceeded" in event.reason) == (403, True)
