"""Every cell of the state table: legal commands, and the state after each response."""

import typing

import pytest

from livepeer_async.errors import IllegalMove
from livepeer_async.http.messages import Response, Span
from livepeer_async.tus import (
    ChunkAccepted,
    Command,
    Event,
    Interrupted,
    Refused,
    ServerLimits,
    State,
    Terminated,
    TusUpload,
)
from livepeer_async.tus.states import LEGAL_COMMANDS, OVER, TRANSITIONS
from tus.prepared import CREATED, LENGTH, PATHS, RESPONSES, URL, snapshot, upload_in


def begin(upload, command):
    """Begin a command with its method; `next_step` begins those that the state determines."""
    if command is Command.FINALIZE:
        return upload.finalize()
    return upload.terminate() if command is Command.TERMINATE else upload.next_step()


def test_every_state_is_in_the_table():
    assert set(LEGAL_COMMANDS) == set(State) == set(PATHS)
    assert {
        state for state in State if LEGAL_COMMANDS[state] <= {Command.FINALIZE, Command.TERMINATE}
    } == OVER


@pytest.mark.parametrize(
    ("state", "command"), [(s, c) for s in State for c in sorted(LEGAL_COMMANDS[s])], ids=str
)
def test_legal_command_is_sent(state, command):
    step = begin(upload_in(state), command)
    assert step.command is command


@pytest.mark.parametrize(
    ("state", "begin"),
    [
        *(
            (state, TusUpload.finalize)
            for state in State
            if Command.FINALIZE not in LEGAL_COMMANDS[state]
        ),
        *(
            (state, TusUpload.terminate)
            for state in State
            if Command.TERMINATE not in LEGAL_COMMANDS[state]
        ),
        *((state, TusUpload.next_step) for state in sorted(OVER)),
    ],
)
def test_illegal_command_raises_and_changes_nothing(state, begin):
    upload = upload_in(state)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"an upload whose state is {state}"):
        begin(upload)
    assert snapshot(upload) == before


@pytest.mark.parametrize("state", sorted(set(State) - OVER))
def test_next_step_is_the_legal_command(state):
    assert {upload_in(state).next_step().command} == LEGAL_COMMANDS[state] - {Command.TERMINATE}


@pytest.mark.parametrize("first", sorted(Command), ids=str)
@pytest.mark.parametrize(
    "second", [Command.SEND_CHUNK, Command.FINALIZE, Command.TERMINATE], ids=str
)
def test_request_in_flight_forbids_any_other(first, second):
    (state, *_) = [state for state in State if first in LEGAL_COMMANDS[state]]
    upload = upload_in(state)
    begin(upload, first)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match=f"the response to {first} is pending"):
        begin(upload, second)
    assert snapshot(upload) == before


@pytest.mark.parametrize("state", State)
def test_unexpected_response_raises(state):
    upload = upload_in(state)
    before = snapshot(upload)
    with pytest.raises(IllegalMove, match="no request is in flight"):
        upload.receive(CREATED)
    with pytest.raises(IllegalMove, match="no request is in flight"):
        upload.interrupt("cut")
    assert snapshot(upload) == before


@pytest.mark.parametrize(("command", "event"), list(TRANSITIONS), ids=str)
def test_response_leads_to_the_state_in_the_table(command, event):
    (state, *_) = [state for state in State if command in LEGAL_COMMANDS[state]]
    upload = upload_in(state)
    begin(upload, command)
    received = upload.receive(RESPONSES[event])
    wanted = TRANSITIONS[command, event]
    # The offset in the response is the length.
    if (command, event) == (Command.SEND_CHUNK, ChunkAccepted):
        wanted = State.COMPLETE
    assert upload.state is wanted
    assert isinstance(received, event)


@pytest.mark.parametrize("command", sorted(set(Command) - {Command.TERMINATE}), ids=str)
def test_every_status_is_an_event(command):
    (state, *_) = [state for state in State if command in LEGAL_COMMANDS[state]]
    for status in range(100, 1000):
        upload = upload_in(state)
        begin(upload, command)
        headers = {"location": URL, "upload-offset": "0"}
        event = upload.receive(Response(status=status, headers=headers))
        assert isinstance(event, typing.get_args(Event))


@pytest.mark.parametrize(
    "state", [s for s in State if Command.TERMINATE in LEGAL_COMMANDS[s]], ids=str
)
@pytest.mark.parametrize(
    ("status", "wanted"),
    [(204, Terminated), (404, Terminated), (410, Terminated), (500, Interrupted), (403, Refused)],
)
def test_termination_ends_or_leaves_the_state(state, status, wanted):
    upload = upload_in(state)
    upload.terminate()
    assert isinstance(upload.receive(Response(status=status)), wanted)
    assert upload.state is (State.TERMINATED if wanted is Terminated else state)


def test_interrupted_termination_leaves_the_state():
    upload = upload_in(State.TRANSFERRING)
    upload.terminate()
    assert upload.interrupt("cut") == Interrupted(reason="cut")
    assert upload.state is State.TRANSFERRING
    assert upload.failures == 0


def test_resumed_upload_starts_with_head():
    upload = TusUpload(upload_url=URL, length=LENGTH)
    assert upload.state is State.OFFSET_UNKNOWN
    assert upload.next_step().command is Command.ASK_OFFSET
    upload.receive(Response(status=200, headers={"upload-offset": "7", "upload-length": "20"}))
    assert upload.next_step().request.content == Span(7, LENGTH)


def test_finalize_is_an_empty_chunk_at_the_end():
    upload = upload_in(State.COMPLETE)
    assert upload.finalize().request.content == Span(20, 20)


def test_patch_can_be_sent_as_post():
    request = (
        upload_in(State.TRANSFERRING, limits=ServerLimits(override_patch=True)).next_step().request
    )
    assert (request.method, request.headers["X-HTTP-Method-Override"]) == ("POST", "PATCH")
