"""Every cell of the state table: what is legal where, and where each answer leads."""

import typing

import msgspec
import pytest

from livepeer_async.errors import ConfigurationError, IllegalMove, ProtocolError
from livepeer_async.messages import Response, Span
from livepeer_async.tus import (
    ChunkAccepted,
    ChunkTooLarge,
    Command,
    Created,
    Event,
    Interrupted,
    OffsetKnown,
    Refused,
    ServerLimits,
    State,
    Terminated,
    TusUpload,
    Vanished,
)
from livepeer_async.tus.states import LEGAL, MOVES, OVER
from tus.servers import ENDPOINT

URL = f"{ENDPOINT}/1"
LENGTH = 20
CREATED = Response(status=201, headers={"location": URL})
ANSWERS = {
    Created: CREATED,
    OffsetKnown: Response(status=200, headers={"upload-offset": "0", "upload-length": "20"}),
    ChunkAccepted: Response(status=204, headers={"upload-offset": "20"}),
    Terminated: Response(status=204),
    Interrupted: Response(status=500),
    ChunkTooLarge: Response(status=413),
    Vanished: Response(status=404),
    Refused: Response(status=403),
}
# How each state is reached from the beginning, as the statuses of the answers.
WAYS = {
    State.UNCREATED: [],
    State.OFFSET_UNKNOWN: [Created, Interrupted],
    State.TRANSFERRING: [Created],
    State.COMPLETE: [Created, ChunkAccepted],
    State.GONE: [Created, Vanished],
    State.TERMINATED: [Created, Terminated],
}


def upload_in(state, **more):
    upload = TusUpload(**{"endpoint": ENDPOINT, "length": LENGTH} | more)
    for event in WAYS[state]:
        if event is Terminated:
            upload.terminate()
        else:
            upload.next_move()
        upload.receive(ANSWERS[event])
    assert upload.state is state
    return upload


def ask(upload, command):
    """Ask for a command by the method that gives it; `next_move` gives what the state wants."""
    if command is Command.NUDGE:
        return upload.nudge()
    return upload.terminate() if command is Command.TERMINATE else upload.next_move()


def snapshot(upload):
    return dict(vars(upload))


def test_every_state_has_a_row():
    assert set(LEGAL) == set(State) == set(WAYS)
    assert {state for state in State if LEGAL[state] <= {Command.NUDGE, Command.TERMINATE}} == OVER


@pytest.mark.parametrize(
    ("state", "command"), [(s, c) for s in State for c in sorted(LEGAL[s])], ids=str
)
def test_legal_command_is_sent(state, command):
    move = ask(upload_in(state), command)
    assert move.command is command


@pytest.mark.parametrize(
    ("state", "ask"),
    [
        *((state, TusUpload.nudge) for state in State if Command.NUDGE not in LEGAL[state]),
        *((state, TusUpload.terminate) for state in State if Command.TERMINATE not in LEGAL[state]),
        *((state, TusUpload.next_move) for state in sorted(OVER)),
    ],
)
def test_illegal_command_is_refused_and_changes_nothing(state, ask):
    upload = upload_in(state)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"an upload whose state is {state}"):
        ask(upload)
    assert snapshot(upload) == before


@pytest.mark.parametrize("state", sorted(set(State) - OVER))
def test_next_move_is_the_one_that_the_state_allows(state):
    assert {upload_in(state).next_move().command} == LEGAL[state] - {Command.TERMINATE}


@pytest.mark.parametrize("first", sorted(Command), ids=str)
@pytest.mark.parametrize("second", [Command.SEND_CHUNK, Command.NUDGE, Command.TERMINATE], ids=str)
def test_request_in_flight_forbids_every_other(first, second):
    (state, *_) = [state for state in State if first in LEGAL[state]]
    upload = upload_in(state)
    ask(upload, first)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"the answer to {first} is awaited"):
        ask(upload, second)
    assert snapshot(upload) == before


@pytest.mark.parametrize("state", State)
def test_answer_that_nobody_awaits_is_refused(state):
    upload = upload_in(state)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match="no answer is awaited"):
        upload.receive(CREATED)
    with pytest.raises(IllegalMove, match="no answer is awaited"):
        upload.interrupt("cut")
    assert snapshot(upload) == before


@pytest.mark.parametrize(("command", "event"), list(MOVES), ids=str)
def test_answer_leads_where_the_table_says(command, event):
    (state, *_) = [state for state in State if command in LEGAL[state]]
    upload = upload_in(state)
    ask(upload, command)
    told = upload.receive(ANSWERS[event])
    wanted = MOVES[command, event]
    # The offset in the answer says that it was all.
    if (command, event) == (Command.SEND_CHUNK, ChunkAccepted):
        wanted = State.COMPLETE
    assert upload.state is wanted
    assert isinstance(told, event)


@pytest.mark.parametrize("command", sorted(set(Command) - {Command.TERMINATE}), ids=str)
def test_every_status_is_an_event(command):
    (state, *_) = [state for state in State if command in LEGAL[state]]
    for status in range(100, 1000):
        upload = upload_in(state)
        ask(upload, command)
        headers = {"location": URL, "upload-offset": "0"}
        event = upload.receive(Response(status=status, headers=headers))
        assert isinstance(event, typing.get_args(Event))


@pytest.mark.parametrize("state", [s for s in State if Command.TERMINATE in LEGAL[s]], ids=str)
@pytest.mark.parametrize(
    ("status", "wanted"),
    [(204, Terminated), (404, Terminated), (410, Terminated), (500, Interrupted), (403, Refused)],
)
def test_termination_is_over_or_leaves_the_state(state, status, wanted):
    upload = upload_in(state)
    upload.terminate()
    assert isinstance(upload.receive(Response(status=status)), wanted)
    assert upload.state is (State.TERMINATED if wanted is Terminated else state)


def test_interrupted_termination_leaves_the_state():
    upload = upload_in(State.TRANSFERRING)
    upload.terminate()
    assert upload.interrupt("cut") == Interrupted(reason="cut")
    assert upload.state is State.TRANSFERRING
    assert upload.setbacks == 0


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


def test_known_upload_begins_with_the_question_for_its_offset():
    upload = TusUpload(upload_url=URL, length=LENGTH)
    assert upload.state is State.OFFSET_UNKNOWN
    assert upload.next_move().command is Command.ASK_OFFSET
    upload.receive(Response(status=200, headers={"upload-offset": "7", "upload-length": "20"}))
    assert upload.next_move().request.content == Span(7, LENGTH)


def test_interrupted_chunk_asks_for_the_offset_after_settling():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(settle=1.5))
    upload.next_move()
    upload.interrupt("cut")
    for _ in range(2):
        move = upload.next_move()
        assert (move.command, move.wait) == (Command.ASK_OFFSET, 1.5)
        upload.receive(ANSWERS[OffsetKnown])
    assert upload.state is State.TRANSFERRING
    assert upload.setbacks == 1


def test_offset_that_moves_by_itself_is_asked_for_again():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(settle=1.0))
    upload.next_move()
    upload.interrupt("cut")
    told = []
    for offset in (0, 8, 8):
        assert upload.state is State.OFFSET_UNKNOWN
        upload.next_move()
        headers = {"upload-offset": str(offset), "upload-length": "20"}
        told.append(upload.receive(Response(status=200, headers=headers)))
    assert isinstance(told[1], Interrupted)
    assert "moved from 0 to 8 by itself" in told[1].reason
    assert (upload.state, upload.offset) == (State.TRANSFERRING, 8)


def ask_offset(upload, offset, length=LENGTH):
    """Answer each question for the offset until the upload knows it, or is lost."""
    while upload.state is State.OFFSET_UNKNOWN:
        upload.next_move()
        headers = {"upload-offset": str(offset), "upload-length": str(length)}
        upload.receive(Response(status=200, headers=headers))


ALIGNED = ServerLimits(align=8, tail_alone=True, first_chunk=8, settle=1.0)


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
    upload.next_move()
    upload.interrupt("cut")
    ask_offset(upload, offset, length)
    assert (upload.state, upload.why) == (State.GONE, why)


def test_acknowledged_bytes_that_an_aligned_server_forgot_lose_the_upload():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_move()
    # A body that ended early: 3 bytes are put aside, and would be stored twice.
    upload.receive(Response(status=204, headers={"upload-offset": "3"}))
    ask_offset(upload, 0)
    assert (upload.state, upload.why) == (State.GONE, "Upload-Offset is 0 after it was 3")


def test_settled_offset_that_falls_on_an_aligned_server_loses_the_upload():
    upload = TusUpload(upload_url=URL, length=LENGTH, limits=ALIGNED)
    ask_offset(upload, 8)
    upload.next_move()
    upload.interrupt("cut")
    ask_offset(upload, 0)
    assert (upload.state, upload.why) == (State.GONE, "Upload-Offset is 0 after it was 8")


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
        sizes.append(upload.next_move().request.content.size)
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
    upload.next_move()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    ask_offset(upload, offset)
    assert (upload.state, upload.offset) == (State.GONE, 8)
    assert upload.why == f"Upload-Offset is {offset} where at most 8 bytes were sent"


def test_part_that_was_late_is_believed_where_nothing_was_taken_since():
    upload = resumed_at(0)
    upload.next_move()
    upload.receive(Response(status=409))
    ask_offset(upload, 8)
    assert upload.next_move().request.content == Span(8, 16)


def test_chunk_that_was_not_taken_lets_the_server_hold_no_more():
    upload = resumed_at(0)
    upload.next_move()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    ask_offset(upload, 8)
    assert upload.next_move().request.content == Span(8, 16)
    upload.receive(Response(status=409))
    ask_offset(upload, 16)
    assert upload.why == "Upload-Offset is 16 where at most 8 bytes were sent"


def test_last_chunk_needs_no_second_look():
    upload = resumed_at(16)
    upload.next_move()
    upload.receive(Response(status=204, headers={"upload-offset": "20"}))
    assert upload.state is State.COMPLETE


def test_offset_may_fall_on_a_plain_server():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=8, max_chunk=8))
    upload.next_move()
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.next_move()
    upload.interrupt("the machine crashed")
    ask_offset(upload, 5)
    assert upload.next_move().request.content == Span(5, 13)


def test_partly_taken_chunk_goes_on_at_once_on_a_plain_server():
    upload = upload_in(State.TRANSFERRING)
    upload.next_move()
    upload.receive(Response(status=204, headers={"upload-offset": "6"}))
    assert upload.next_move().request.content == Span(6, LENGTH)


@pytest.mark.parametrize("offset", [0, 21])
def test_acknowledged_offset_outside_of_what_was_sent_is_a_doubt(offset):
    upload = upload_in(State.TRANSFERRING)
    upload.next_move()
    event = upload.receive(Response(status=204, headers={"upload-offset": str(offset)}))
    assert event.reason == f"Upload-Offset is {offset} after bytes 0 to 20 were sent"
    assert (upload.state, upload.setbacks) == (State.OFFSET_UNKNOWN, 1)


def test_setbacks_count_since_the_offset_last_rose_above_all():
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=8, max_chunk=8))
    for offset, wanted in [(0, 1), (0, 2), (4, 0), (2, 1), (4, 2), (5, 0)]:
        upload.next_move()
        upload.interrupt("cut")
        ask_offset(upload, offset)
        assert upload.setbacks == wanted


def test_created_upload_may_hold_less_than_was_sent_along():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ServerLimits(with_creation=8))
    assert upload.next_move().request.content == Span(0, 5)
    # A server without Creation With Upload passes over the body and names no offset.
    assert isinstance(upload.receive(CREATED), Interrupted)
    ask_offset(upload, 0, 5)
    assert upload.next_move().request.content == Span(0, 5)


def test_small_upload_is_complete_with_its_creation():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ServerLimits(with_creation=5))
    upload.next_move()
    headers = {"location": URL, "upload-offset": "5"}
    upload.receive(Response(status=201, headers=headers))
    assert upload.is_over
    assert upload.state is State.COMPLETE


ONCE = ServerLimits(creates_once=True, with_creation=8)


def test_creation_whose_answer_was_lost_is_never_repeated():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_move()
    upload.interrupt("cut")
    assert upload.why == "the creation may have happened: cut"
    with pytest.raises(IllegalMove):
        upload.next_move()


@pytest.mark.parametrize("answer", [None, 429, 425, 503])
def test_creation_that_never_began_is_repeated(answer):
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_move()
    if answer is None:
        upload.interrupt("no connection", untouched=True)
    else:
        upload.receive(Response(status=answer, headers={"retry-after": "1"}))
    assert upload.next_move().command is Command.CREATE
    assert upload.setbacks == 1


@pytest.mark.parametrize(
    ("limits", "wanted"), [(ONCE, State.GONE), (ServerLimits(), State.UNCREATED)]
)
def test_creation_answered_without_a_usable_location_is_the_servers_fault(limits, wanted):
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=limits)
    upload.next_move()
    with pytest.raises(ProtocolError, match="Location is missing"):
        upload.receive(Response(status=201))
    assert upload.state is wanted


def test_creation_too_large_for_a_proxy_is_repeated_without_bytes():
    upload = TusUpload(endpoint=ENDPOINT, length=5, limits=ONCE)
    upload.next_move()
    event = upload.receive(Response(status=413))
    assert isinstance(event, Interrupted)
    assert upload.next_move().request.content == b""
    # Without bytes it speaks of the whole upload.
    assert isinstance(upload.receive(Response(status=413)), Refused)
    assert upload.state is State.UNCREATED


def test_chunk_that_is_too_large_is_halved():
    limits = ServerLimits(first_chunk=16)
    upload = upload_in(State.TRANSFERRING, limits=limits)
    sizes = []
    for _ in range(5):
        ask_offset(upload, 0)
        move = upload.next_move()
        sizes.append(move.request.content.size)
        event = upload.receive(Response(status=413))
    assert sizes == [16, 8, 4, 2, 1]
    assert isinstance(event, Refused)


def test_chunk_of_one_part_cannot_be_halved():
    upload = upload_in(State.TRANSFERRING, limits=ALIGNED)
    upload.next_move()
    event = upload.receive(Response(status=413))
    assert (type(event), event.status) == (Refused, 413)
    assert upload.state is State.OFFSET_UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "size"),
    [(None, 2), (0.0, 2), (-1.0, 2), (float("nan"), 2), (5e-324, 8), (1.0, 8), (15.0, 2), (60, 1)],
)
def test_next_chunk_is_sized_by_the_seconds_of_the_last(seconds, size):
    upload = upload_in(State.TRANSFERRING, limits=ServerLimits(first_chunk=2))
    upload.next_move()
    upload.receive(Response(status=204, headers={"upload-offset": "2"}), seconds=seconds)
    assert upload.plan() == size


def deferred(**more):
    upload = TusUpload(endpoint=ENDPOINT, length=None, limits=ServerLimits(**more))
    assert upload.next_move().request.headers["Upload-Defer-Length"] == "1"
    upload.receive(CREATED)
    return upload


def test_deferred_length_travels_with_the_chunk_after_it_is_declared():
    upload = deferred(first_chunk=8, max_chunk=8)
    assert upload.next_move(available=8).request.headers.get("Upload-Length") is None
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.declare_length(10)
    move = upload.next_move(available=2)
    assert (move.request.content, move.request.headers["Upload-Length"]) == (Span(8, 10), "10")
    upload.receive(Response(status=204, headers={"upload-offset": "10"}))
    assert upload.state is State.COMPLETE


def test_length_declared_at_the_very_end_travels_alone():
    upload = deferred(first_chunk=8)
    upload.next_move(available=8)
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    upload.declare_length(8)
    assert upload.state is State.TRANSFERRING
    assert upload.next_move().request.content == Span(8, 8)
    upload.receive(Response(status=204, headers={"upload-offset": "8"}))
    assert upload.state is State.COMPLETE


def test_length_whose_declaration_was_lost_is_declared_again():
    upload = deferred(first_chunk=8)
    upload.declare_length(8)
    upload.next_move()
    upload.interrupt("cut")
    upload.next_move()
    upload.receive(Response(status=200, headers={"upload-offset": "8", "upload-defer-length": "1"}))
    assert upload.next_move().request.headers["Upload-Length"] == "8"


@pytest.mark.parametrize("length", [0, -1, 7])
def test_length_below_the_offset_cannot_be_declared(length):
    upload = deferred(first_chunk=8)
    upload.next_move(available=8)
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
def test_too_little_at_hand_is_no_chunk(available):
    upload = deferred(first_chunk=8, align=4)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"{available} bytes are at hand; wanted 4"):
        upload.next_move(available=available)
    assert snapshot(upload) == before


@pytest.mark.parametrize(("available", "size"), [(4, 4), (7, 4), (8, 8), (100, 8)])
def test_what_is_at_hand_is_cut_to_the_alignment(available, size):
    upload = deferred(first_chunk=8, align=4)
    assert upload.next_move(available=available).request.content.size == size


def test_length_of_an_upload_begun_elsewhere_is_learned():
    upload = TusUpload(upload_url=URL, length=None)
    ask_offset(upload, 5)
    assert (upload.length, upload.next_move().request.content) == (20, Span(5, 20))


def test_nudge_is_an_empty_chunk_at_the_end():
    upload = upload_in(State.COMPLETE)
    assert upload.nudge().request.content == Span(20, 20)


def test_patch_is_overridden_for_networks_that_block_it():
    request = (
        upload_in(State.TRANSFERRING, limits=ServerLimits(override_patch=True)).next_move().request
    )
    assert (request.method, request.headers["X-HTTP-Method-Override"]) == ("POST", "PATCH")
