"""A Hypothesis state machine: one upload, its server, the network, the clock and kills."""

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
    NotConnected,
    PlainStore,
    Short,
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
MAX_LENGTH = 10 * PART + 3
# Failures without progress before the machine gives up, as a driver does.
MAX_FAILURES = 8
# The first of the two HEADs after an interruption isn't a failure.
MAX_STEPS = 3 * (MAX_FAILURES + 2)

SECONDS = st.sampled_from([0.0, 0.001, 0.5, 3.0, 40.0])
TRANSIENT = [
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
INVALID_OFFSETS = [None, "", "12x", "-1", "1e3", "9" * 30, str(2**63), "٣"]
FAULTS = st.one_of(
    st.none(),
    st.just(NotConnected()),
    st.builds(Cut, st.integers(0, 4 * PART)),
    st.just(LoseAnswer()),
    st.builds(Short, st.integers(0, 4 * PART)),
    st.sampled_from(TRANSIENT + FINAL),
    st.builds(Garble, st.sampled_from(INVALID_OFFSETS)),
)


def content_of(length):
    """Return bytes in which no two parts are equal."""
    return bytes((7 * position + position // 256) % 256 for position in range(length))


def has_valid_offset(headers):
    value = headers.get("upload-offset", "")
    return value not in INVALID_OFFSETS


class CoreMachine(RuleBasedStateMachine):
    """One upload, its server, and the faults between them."""

    limits = ServerLimits(first_chunk=PART, max_chunk=4 * PART)
    may_defer = True

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.store = None
        self.core = None
        self.error = ""
        self.may_be_lost = False
        self.may_be_damaged = False
        self.may_be_damaged_twice = False
        self.steps = 0
        self.highest_offset = 0
        self.has_sent_end = False
        self.heads = []
        self.is_settled = True

    def make_store(self):
        return PlainStore()

    @initialize(length=st.integers(1, MAX_LENGTH), deferred=st.booleans(), creation=st.booleans())
    def create_upload(self, length, deferred, creation):
        self.content = content_of(length)
        self.is_deferred = deferred and self.may_defer
        if creation and not self.is_deferred:
            self.limits = msgspec.structs.replace(self.limits, with_creation=PART)
        self.store = self.make_store()
        self.core = self.make_core(endpoint=ENDPOINT)

    def make_core(self, **urls):
        self.heads, self.is_settled, self.steps = [], "endpoint" in urls, 0
        self.highest_offset, self.has_sent_end = 0, False
        length = None if self.is_deferred else len(self.content)
        return TusUpload(length=length, limits=self.limits, **urls)

    @property
    def is_running(self):
        return self.core is not None and not self.error and not self.core.is_over

    @precondition(lambda self: self.is_running)
    @rule(fault=FAULTS, late=st.sampled_from([0.0, 0.5, 1.9]), seconds=SECONDS)
    def exchange(self, fault, late, seconds):
        self.step(fault, late=late, seconds=seconds)

    @precondition(lambda self: self.is_running)
    @rule(count=st.integers(1, 4))
    def exchange_without_faults(self, count):
        for _ in range(count):
            if self.is_running:
                self.step(None)

    @precondition(lambda self: self.is_running and self.core.upload_url)
    @rule(fault=FAULTS, late=st.sampled_from([0.0, 0.5, 1.9]), is_sent=st.booleans())
    def kill_and_resume(self, fault, late, is_sent):
        """Kill the process before or during a request, and resume from the URL."""
        if is_sent:
            step = self.next_step()
            self.now += step.wait
            self.note_fault(fault, step)
            self.send(step, fault, late)
        self.core = self.make_core(upload_url=self.core.upload_url)
        self.may_be_damaged_twice |= self.may_be_damaged
        self.may_be_damaged |= bool(getattr(self.store, "aside", b""))

    @rule(eighths=st.integers(0, 40))
    def advance_clock(self, eighths):
        self.now += eighths / 8

    @precondition(lambda self: self.is_running)
    @rule()
    def begin_two_steps(self):
        """A request in flight forbids any other; the exception changes nothing."""
        step = self.next_step()
        self.now += step.wait
        before = msgspec.structs.asdict(step), dict(vars(self.core))
        for begin in (self.core.next_step, self.core.finalize, self.core.terminate):
            with pytest.raises(IllegalMove):
                begin()
        assert before == (msgspec.structs.asdict(step), dict(vars(self.core)))
        self.finish(step, None, 0.0, 0.0)

    def step(self, fault, *, late=0.0, seconds=0.5):
        step = self.next_step()
        self.now += step.wait
        self.finish(step, fault, late, seconds)

    def next_step(self):
        core = self.core
        available = None
        if core.state is State.TRANSFERRING and core.length is None:
            available = min(core.plan(), len(self.content) - core.offset)
            if core.offset + available == len(self.content):
                core.declare_length(len(self.content))
        return core.next_step(available=available)

    def finish(self, step, fault, late, seconds):
        self.check(step)
        self.note_fault(fault, step)
        response = self.send(step, fault, late)
        note(f"{self.now}: {step.command} {step.request.content} {fault} -> {response}")
        before = self.core.offset
        try:
            if response is None:
                event = self.core.interrupt("cut", untouched=isinstance(fault, NotConnected))
            else:
                event = self.core.receive(response, seconds=seconds)
        except ProtocolError as error:
            self.error = repr(error)
            return
        self.record(step, response, event, before)
        if self.core.failures > MAX_FAILURES:
            self.error = "retries exhausted"

    def send(self, step, fault, late):
        body = body_of(step.request, self.content)
        return serve(self.store, step.request, body, now=self.now, fault=fault, late=late)

    def check(self, step):
        """Check a request before it is sent."""
        span = step.request.content
        if step.command is Command.SEND_CHUNK:
            assert self.is_settled, "a chunk before the offset has settled"
            assert span.start == self.core.offset
            assert span.stop <= len(self.content)
            assert span.size or span.stop == len(self.content)

    def record(self, step, response, event, before):
        """Record whether the offset has settled: after an interruption, two equal HEADs."""
        if isinstance(event, ChunkAccepted | Created):
            self.heads, self.is_settled = [(self.now, str(event.offset))], True
        elif step.command is Command.ASK_OFFSET:
            if response is not None and response.is_success and has_valid_offset(response.headers):
                self.heads.append((self.now, response.headers["upload-offset"]))
            self.is_settled = self.has_settled()
        else:
            self.heads, self.is_settled = [], False
        self.steps += self.core.offset <= before
        if self.core.offset > self.highest_offset:
            self.highest_offset, self.steps = self.core.offset, 0

    def has_settled(self):
        if not self.limits.settle:
            return bool(self.heads)
        (*_, first, second) = [(0, None), (0, None), *self.heads]
        return first[1] == second[1] and second[0] - first[0] >= self.limits.settle

    def note_fault(self, fault, step):
        """Record whether this fault may lose the upload."""
        if isinstance(fault, Answer) and fault.status in {404, 410}:
            self.may_be_lost |= step.command is not Command.CREATE

    @invariant()
    def makes_progress_or_ends(self):
        assert self.steps <= MAX_STEPS

    @invariant()
    def is_lost_only_for_a_reason(self):
        if self.core is not None and self.core.state is State.GONE:
            assert self.core.failure_reason
            assert self.may_be_lost, f"lost without a reason: {self.core.failure_reason}"

    @invariant()
    def complete_upload_is_exact(self):
        if self.core is not None and self.core.state is State.COMPLETE:
            assert self.is_stored_exactly(), "wrong bytes"

    def is_stored_exactly(self):
        path = self.core.upload_url.removeprefix(HOST)
        return self.store.stored(path) == self.content

    def teardown(self):
        """Without further faults, the upload ends."""
        for _ in range(4 * MAX_LENGTH):
            if not self.is_running:
                break
            self.step(None)
            self.makes_progress_or_ends()
        assert not self.is_running
        self.is_lost_only_for_a_reason()
        self.complete_upload_is_exact()
        super().teardown()
