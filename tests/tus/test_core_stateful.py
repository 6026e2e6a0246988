"""The core against model servers: whatever happens on the way, right bytes or a typed end.

Two more machines switch rules for Livepeer off, to show that what they are there for is then found.
"""

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from livepeer_async.tus import Command, ServerLimits, State, TusUpload
from tus.machine import LIVEPEER, LONGEST, PART, CoreMachine
from tus.servers import HOST, Answer, Cut, Garble, LoseAnswer, S3Store, Short, serve


class PlainMachine(CoreMachine):
    """A server that follows the specification, on a machine that may crash."""

    @precondition(lambda self: self.is_running and self.core.upload_url)
    @rule(count=st.integers(1, LONGEST))
    def lose_what_was_not_on_disk(self, count):
        self.store.forget(self.core.upload_url.removeprefix(HOST), count)

    @precondition(lambda self: self.is_running and self.core.state is State.OFFSET_UNKNOWN)
    @precondition(lambda self: not self.is_deferred)
    @rule(beyond=st.integers(1, 5))
    def claim_too_much(self, beyond):
        """Another upload answers, or a server that miscounts."""
        self.is_excused = True
        self.step(Garble(str(len(self.content) + beyond)))


class S3Machine(CoreMachine):
    """Studio's wiring."""

    limits = LIVEPEER
    may_defer = False

    def make_store(self):
        return S3Store(part=PART)

    def check(self, move):
        super().check(move)
        span = move.request.content
        if move.command is Command.SEND_CHUNK:
            self.has_sent_the_end |= span.stop == len(self.content)
            is_tail = span.stop == len(self.content) and span.size < PART
            assert span.size % PART == 0 or is_tail, "a chunk that isn't aligned"
        if move.command is Command.CREATE:
            assert not self.store.creations, "a creation was repeated"

    def excuse(self, fault, move):
        super().excuse(fault, move)
        is_creation = move.command is Command.CREATE
        if isinstance(fault, Cut | LoseAnswer) or (
            isinstance(fault, Answer) and fault.status not in {425, 429}
        ):
            self.is_excused |= is_creation
        if isinstance(fault, Short | Garble):
            # A piece that is put aside; a creation whose answer can't be used.
            is_aside = isinstance(fault, Short) and fault.taken % PART
            self.is_excused |= is_creation or bool(is_aside)

    def is_stored_exactly(self):
        """An asset that doesn't leave `uploading` gets an empty PATCH, as the engine does."""
        if self.store.is_open:
            request = TusUpload.finalize(self.core).request
            self.core.receive(serve(self.store, request, b"", now=self.now + 60))
        return super().is_stored_exactly()

    @invariant()
    def what_is_complete_is_right(self):
        """A new process can't know that a piece was put aside.

        It is lost as soon as the piece shows, or the asset's size tells, or the asset never leaves
        `uploading`. Where that process is killed too, at the wrong moment, only a hash tells.
        """
        if not self.is_tainted or self.core.state is not State.COMPLETE:
            super().what_is_complete_is_right()
        elif self.has_sent_the_end and not self.is_tainted_twice:
            is_right = self.is_stored_exactly()
            assert is_right or len(self.store.stored("")) != len(self.content), "wrong bytes"

    @precondition(lambda self: self.is_running and self.core.state is State.OFFSET_UNKNOWN)
    @rule(older=st.integers(0, 10))
    def ask_a_process_that_lags(self, older):
        """A process that sees less than the others do."""
        path = self.core.upload_url.removeprefix(HOST)
        seen = min(older * PART, self.store.offset(path, self.now))
        self.is_excused = True
        self.step(Garble(str(seen)))


class CarelessMachine(S3Machine):
    """What a general tus client does on this server."""

    limits = ServerLimits(first_chunk=PART + 2, max_chunk=PART + 2)

    def check(self, move):
        CoreMachine.check(self, move)


class UnsettledMachine(S3Machine):
    """A client that aligns its chunks, but believes the first answer to HEAD."""

    limits = msgspec.structs.replace(LIVEPEER, settle=0.0)

    def excuse(self, fault, move):
        self.is_excused = True


TestPlainServer = PlainMachine.TestCase
TestStudiosServer = S3Machine.TestCase


# One finding is enough, and nobody reads it.
UNTIL_ONE = settings(
    max_examples=5_000,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


@pytest.mark.parametrize("machine", [CarelessMachine, UnsettledMachine])
def test_machine_finds_what_the_rules_prevent(machine):
    with pytest.raises(AssertionError, match="wrong bytes"):
        run_state_machine_as_test(machine, settings=UNTIL_ONE)
