"""The core against simulated servers: exact bytes or a typed error, with any faults.

Two more machines run without Livepeer's limits, to show that the wrong bytes are then found.
"""

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from livepeer_async.tus import Command, ServerLimits, State, TusUpload
from tus.machine import LIVEPEER, MAX_LENGTH, PART, CoreMachine
from tus.servers import HOST, Answer, Cut, Garble, LoseAnswer, S3Store, Short, serve


class PlainMachine(CoreMachine):
    """A server that follows the specification, and may crash."""

    @precondition(lambda self: self.is_running and self.core.upload_url)
    @rule(count=st.integers(1, MAX_LENGTH))
    def lose_unwritten_bytes(self, count):
        self.store.forget(self.core.upload_url.removeprefix(HOST), count)

    @precondition(lambda self: self.is_running and self.core.state is State.OFFSET_UNKNOWN)
    @precondition(lambda self: not self.is_deferred)
    @rule(beyond=st.integers(1, 5))
    def report_too_much(self, beyond):
        """The offset of another upload, or a wrong one."""
        self.may_be_lost = True
        self.step(Garble(str(len(self.content) + beyond)))


class S3Machine(CoreMachine):
    """Livepeer's servers."""

    limits = LIVEPEER
    may_defer = False

    def make_store(self):
        return S3Store(part=PART)

    def check(self, step):
        super().check(step)
        span = step.request.content
        if step.command is Command.SEND_CHUNK:
            self.has_sent_end |= span.stop == len(self.content)
            is_tail = span.stop == len(self.content) and span.size < PART
            assert span.size % PART == 0 or is_tail, "a chunk that isn't aligned"
        if step.command is Command.CREATE:
            assert not self.store.creations, "a creation was repeated"

    def note_fault(self, fault, step):
        super().note_fault(fault, step)
        is_creation = step.command is Command.CREATE
        if isinstance(fault, Cut | LoseAnswer) or (
            isinstance(fault, Answer) and fault.status not in {425, 429}
        ):
            self.may_be_lost |= is_creation
        if isinstance(fault, Short | Garble):
            # A piece kept aside, or a creation whose response can't be used.
            is_kept_aside = isinstance(fault, Short) and fault.received % PART
            self.may_be_lost |= is_creation or bool(is_kept_aside)

    def is_stored_exactly(self):
        """Send an empty PATCH, as the engine does for an asset that stays `uploading`."""
        if self.store.is_open:
            request = TusUpload.finalize(self.core).request
            self.core.receive(serve(self.store, request, b"", now=self.now + 60))
        return super().is_stored_exactly()

    @invariant()
    def complete_upload_is_exact(self):
        """A new process can't know that a piece was kept aside.

        The upload is lost when the piece shows, the asset has another size, or the asset stays
        `uploading`. If that process is killed too, at the wrong moment, only a hash can tell.
        """
        if not self.may_be_damaged or self.core.state is not State.COMPLETE:
            super().complete_upload_is_exact()
        elif self.has_sent_end and not self.may_be_damaged_twice:
            is_right = self.is_stored_exactly()
            assert is_right or len(self.store.stored("")) != len(self.content), "wrong bytes"

    @precondition(lambda self: self.is_running and self.core.state is State.OFFSET_UNKNOWN)
    @rule(older=st.integers(0, 10))
    def query_lagging_server(self, older):
        """A server process that sees fewer parts than the others."""
        path = self.core.upload_url.removeprefix(HOST)
        seen = min(older * PART, self.store.offset(path, self.now))
        self.may_be_lost = True
        self.step(Garble(str(seen)))


class UnalignedMachine(S3Machine):
    """A general tus client with this server."""

    limits = ServerLimits(first_chunk=PART + 2, max_chunk=PART + 2)

    def check(self, step):
        CoreMachine.check(self, step)


class UnsettledMachine(S3Machine):
    """A client that aligns its chunks, but accepts the first response to HEAD."""

    limits = msgspec.structs.replace(LIVEPEER, settle=0.0)

    def note_fault(self, fault, step):
        self.may_be_lost = True


TestPlainServer = PlainMachine.TestCase
TestLivepeerServer = S3Machine.TestCase


# One failing example is enough.
UNTIL_ONE = settings(
    max_examples=5_000,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


@pytest.mark.parametrize("machine", [UnalignedMachine, UnsettledMachine])
def test_machine_finds_wrong_bytes_without_the_limits(machine):
    with pytest.raises(AssertionError, match="wrong bytes"):
        run_state_machine_as_test(machine, settings=UNTIL_ONE)
