"""One upload, its model server and all that comes between them, as a machine of rules.

Hypothesis plays the network, the clock and the one who kills the process.
"""

import msgspec
import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from livepeer_async.errors import IllegalMove, ProtocolError
from livepeer_async.tus import ChunkAccepted, Command, Created, ServerLimits, State, TusUpload
from tus.servers import (
    ENDPOINT,
    HOST,
    Answer,
    Cut,
    Garble,
    LoseAnswer,
    PlainStore,
    Short,
    Unreached,
    body_of,
    serve,
)

PART = 8
LIVEPEER = ServerLimits(
    align=PART,
    tail_alone=True,
    first_chunk=PART,
    max_chunk=4 * PART,
    settle=1.0,
    with_creation=PART,
    creates_once=True,
)
LONGEST = 10 * PART + 3
# What a driver does, without its waits: it gives up after so many setbacks.
BUDGET = 8
# Of a doubt's requests one is no setback: the first of two HEADs.
MOST_MOVES = 3 * (BUDGET + 2)

SECONDS = st.sampled_from([0.0, 0.001, 0.5, 3.0, 40.0])
PASSING = [
    Answer(408),
    Answer(409),
    Answer(423),
    Answer(429, {"retry-after": "7"}),
    Answer(500),
    Answer(502, {}, b"<html>"),
    Answer(503, {"retry-after": "1"}),
    Answer(400, {}, b"ERR_UPLOAD_INTERRUPTED: upload has been interrupted\n"),
]
FINAL = [Answer(301), Answer(400), Answer(403), Answer(404), Answer(410), Answer(413)]
SENSELESS = [None, "", "12x", "-1", "1e3", "9" * 30, str(2**63), "٣"]
FAULTS = st.one_of(
    st.none(),
    st.just(Unreached()),
    st.builds(Cut, st.integers(0, 4 * PART)),
    st.just(LoseAnswer()),
    st.builds(Short, st.integers(0, 4 * PART)),
    st.sampled_from(PASSING + FINAL),
    st.builds(Garble, st.sampled_from(SENSELESS)),
)


def content_of(length):
    """Make bytes of which no two parts are equal."""
    return bytes((7 * position + position // 256) % 256 for position in range(length))


def is_offset(headers):
    value = headers.get("upload-offset", "")
    return value not in SENSELESS


class CoreMachine(RuleBasedStateMachine):
    """One upload, its server and all that comes between them."""

    limits = ServerLimits(first_chunk=PART, max_chunk=4 * PART)
    may_defer = True

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.store = None
        self.core = None
        self.ended = ""
        self.is_excused = False
        self.is_tainted = False
        self.is_tainted_twice = False
        self.moves = 0
        self.furthest = 0
        self.has_sent_the_end = False
        self.heads = []
        self.is_settled = True

    def make_store(self):
        return PlainStore()

    @initialize(length=st.integers(1, LONGEST), deferred=st.booleans(), creation=st.booleans())
    def begin(self, length, deferred, creation):
        self.content = content_of(length)
        self.is_deferred = deferred and self.may_defer
        if creation and not self.is_deferred:
            self.limits = msgspec.structs.replace(self.limits, with_creation=PART)
        self.store = self.make_store()
        self.core = self.make_core(endpoint=ENDPOINT)

    def make_core(self, **where):
        self.heads, self.is_settled, self.moves = [], "endpoint" in where, 0
        self.furthest, self.has_sent_the_end = 0, False
        length = None if self.is_deferred else len(self.content)
        return TusUpload(length=length, limits=self.limits, **where)

    @property
    def is_running(self):
        return self.core is not None and not self.ended and not self.core.is_over

    @precondition(lambda self: self.is_running)
    @rule(fault=FAULTS, late=st.sampled_from([0.0, 0.5, 1.9]), seconds=SECONDS)
    def exchange(self, fault, late, seconds):
        self.step(fault, late=late, seconds=seconds)

    @precondition(lambda self: self.is_running)
    @rule(count=st.integers(1, 4))
    def go_well(self, count):
        for _ in range(count):
            if self.is_running:
                self.step(None)

    @precondition(lambda self: self.is_running and self.core.upload_url)
    @rule(fault=FAULTS, late=st.sampled_from([0.0, 0.5, 1.9]), is_sent=st.booleans())
    def kill_and_resume(self, fault, late, is_sent):
        """Kill the process, before or while a request is in flight, and begin anew from the URL."""
        if is_sent:
            move = self.next_step()
            self.now += move.wait
            self.excuse(fault, move)
            self.send(move, fault, late)
        self.core = self.make_core(upload_url=self.core.upload_url)
        self.is_tainted_twice |= self.is_tainted
        self.is_tainted |= bool(getattr(self.store, "aside", b""))

    @rule(eighths=st.integers(0, 40))
    def let_time_pass(self, eighths):
        self.now += eighths / 8

    @precondition(lambda self: self.is_running)
    @rule()
    def ask_for_two_at_once(self):
        """A request in flight forbids every other, and the refusal changes nothing."""
        move = self.next_step()
        self.now += move.wait
        before = msgspec.structs.asdict(move), dict(vars(self.core))
        for ask in (self.core.next_step, self.core.finalize, self.core.terminate):
            with pytest.raises(IllegalMove):
                ask()
        assert before == (msgspec.structs.asdict(move), dict(vars(self.core)))
        self.finish(move, None, 0.0, 0.0)

    def step(self, fault, *, late=0.0, seconds=0.5):
        move = self.next_step()
        self.now += move.wait
        self.finish(move, fault, late, seconds)

    def next_step(self):
        core = self.core
        available = None
        if core.state is State.TRANSFERRING and core.length is None:
            available = min(core.plan(), len(self.content) - core.offset)
            if core.offset + available == len(self.content):
                core.declare_length(len(self.content))
        return core.next_step(available=available)

    def finish(self, move, fault, late, seconds):
        self.check(move)
        self.excuse(fault, move)
        answer = self.send(move, fault, late)
        note(f"{self.now}: {move.command} {move.request.content} {fault} -> {answer}")
        before = self.core.offset
        try:
            if answer is None:
                event = self.core.interrupt("cut", untouched=isinstance(fault, Unreached))
            else:
                event = self.core.receive(answer, seconds=seconds)
        except ProtocolError as error:
            self.ended = repr(error)
            return
        self.follow(move, answer, event, before)
        if self.core.failures > BUDGET:
            self.ended = "retries exhausted"

    def send(self, move, fault, late):
        body = body_of(move.request, self.content)
        return serve(self.store, move.request, body, now=self.now, fault=fault, late=late)

    def check(self, move):
        """Check a request before it leaves."""
        span = move.request.content
        if move.command is Command.SEND_CHUNK:
            assert self.is_settled, "a chunk after a doubt that wasn't settled"
            assert span.start == self.core.offset
            assert span.stop <= len(self.content)
            assert span.size or span.stop == len(self.content)

    def follow(self, move, answer, event, before):
        """Keep account of the doubts: after one, two equal answers are wanted."""
        if isinstance(event, ChunkAccepted | Created):
            self.heads, self.is_settled = [(self.now, str(event.offset))], True
        elif move.command is Command.ASK_OFFSET:
            if answer is not None and answer.is_success and is_offset(answer.headers):
                self.heads.append((self.now, answer.headers["upload-offset"]))
            self.is_settled = self.has_settled()
        else:
            self.heads, self.is_settled = [], False
        self.moves += self.core.offset <= before
        if self.core.offset > self.furthest:
            self.furthest, self.moves = self.core.offset, 0

    def has_settled(self):
        if not self.limits.settle:
            return bool(self.heads)
        (*_, first, second) = [(0, None), (0, None), *self.heads]
        return first[1] == second[1] and second[0] - first[0] >= self.limits.settle

    def excuse(self, fault, move):
        """Note whether the upload may be lost by this fault."""
        if isinstance(fault, Answer) and fault.status in {404, 410}:
            self.is_excused |= move.command is not Command.CREATE

    @invariant()
    def it_makes_progress_or_ends(self):
        assert self.moves <= MOST_MOVES

    @invariant()
    def it_is_lost_for_a_reason_only(self):
        if self.core is not None and self.core.state is State.GONE:
            assert self.core.failure_reason
            assert self.is_excused, f"lost for no reason: {self.core.failure_reason}"

    @invariant()
    def what_is_complete_is_right(self):
        if self.core is not None and self.core.state is State.COMPLETE:
            assert self.is_stored_exactly(), "wrong bytes"

    def is_stored_exactly(self):
        path = self.core.upload_url.removeprefix(HOST)
        return self.store.stored(path) == self.content

    def teardown(self):
        """Let all go well from here on: the upload ends."""
        for _ in range(4 * LONGEST):
            if not self.is_running:
                break
            self.step(None)
            self.it_makes_progress_or_ends()
        assert not self.is_running
        self.it_is_lost_for_a_reason_only()
        self.what_is_complete_is_right()
        super().teardown()
