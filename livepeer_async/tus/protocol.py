"""One tus upload as a state table, without I/O: it says what to send and is told what came back.

    UNCREATED ──Created──► TRANSFERRING ──ChunkAccepted (the last)──► COMPLETE
        │                   │        ▲
        │            Interrupted  OffsetKnown (settled)
     Interrupted,           ▼        │
     may not repeat   OFFSET_UNKNOWN ┘──Vanished, or an offset that can't be──► GONE
        └──────────────────────────────────────────────────────────────────────► GONE
    any state with an upload URL ──Terminated──► TERMINATED

Resuming is nothing but starting in OFFSET_UNKNOWN. After any doubt the only legal move is to ask
for the offset; of a server that needs aligned chunks it is asked for once more after the first
chunk that follows. One request is in flight at a time; an illegal call raises `IllegalMove` and
changes nothing. The core never sleeps: a `Move` names the seconds to wait before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError, IllegalMove, ProtocolError
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.tus import requests
from livepeer_async.tus.events import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Event,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
    Terminated,
)
from livepeer_async.tus.history import ChunkHistory, Timing
from livepeer_async.tus.limits import ServerLimits, check_length, plan_creation, with_chunk_size
from livepeer_async.tus.metadata import MetadataValue, encode_metadata
from livepeer_async.tus.offsets import OffsetLedger
from livepeer_async.tus.states import LEGAL_COMMANDS, OVER, TRANSITIONS, Command, State, Step


class TusUpload:
    """The protocol of one upload.

    Args:
        endpoint: the creation URL; not needed where `upload_url` is given.
        upload_url: an upload that exists already; the state is OFFSET_UNKNOWN then.
        length: bytes of the whole; `None` defers it (see `declare_length`).
        limits: what the server can take.
        metadata: for `Upload-Metadata`.
        other_hosts: hosts beside the endpoint's where `Location` may lead.
        reach: bytes that `upload_url` can hold at the most; by default all is possible.

    Attributes:
        state: where the upload stands.
        offset: bytes that the server is known to hold.
        upload_url: `None` until the upload is created.
        failures: doubts since the offset last rose above all that it had been before.
        chunks: what the chunks so far have taught.
        why: the reason, once the state is GONE.

    Raises:
        ConfigurationError: neither or both of `endpoint` and `upload_url`, a length below 1 or
            above the server's, metadata that can't be sent.
    """

    def __init__(  # noqa: PLR0913 - the protocol's own parameters, all but two with a default
        self,
        *,
        length: int | None,
        endpoint: str | None = None,
        upload_url: str | None = None,
        limits: ServerLimits | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        other_hosts: frozenset[str] = frozenset(),
        reach: int = requests.LARGEST_OFFSET,
    ) -> None:
        self.limits = limits or ServerLimits()
        if bool(endpoint) == bool(upload_url):
            raise ConfigurationError("give either the endpoint or the URL of an upload that exists")
        check_length(self.limits, length)
        encode_metadata(metadata or {})
        self.length = length
        self.upload_url = upload_url
        self.offset = 0
        self.state = State.OFFSET_UNKNOWN if upload_url else State.UNCREATED
        self.failure_reason = ""
        self.failures = 0
        self._endpoint = endpoint or ""
        self._metadata = dict(metadata or {})
        self._other_hosts = other_hosts
        self._in_flight: Step | None = None
        self._is_declared = length is not None
        self._furthest = -1
        self._offsets = OffsetLedger(is_new=upload_url is None, reach=0 if endpoint else reach)
        # After a doubt one small chunk is sent, and looked at, before more is: see `_move_to`.
        self.chunks = ChunkHistory(is_probing=self.limits.align > 1 and endpoint is None)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to send: complete, gone or terminated."""
        return self.state in OVER

    def plan(self) -> int:
        """Say how many bytes the next chunk would have at the most."""
        remaining = None if self.length is None else self.length - self.offset
        return self.chunks.sizer.plan(self.limits, remaining)

    def declare_length(self, length: int) -> None:
        """Name the length that was deferred; it travels with the next chunk.

        Raises:
            IllegalMove: the length is known already, or is below the offset.

        Source: tus 1.0, Creation, Upload-Defer-Length.
        """
        if self.length is not None or length < max(self.offset, 1):
            raise IllegalMove(
                f"the length can't become {length}: it is {self.length}, the offset {self.offset}"
            )
        self.length = length

    def next_step(self, *, available: int | None = None) -> Step:
        """Say what to send next, and after how many seconds.

        Args:
            available: bytes at hand, for a source whose length isn't known yet.

        Raises:
            IllegalMove: a request is in flight, nothing is left to send, or too little is at hand
                to send without the length.
        """
        if self.state is State.UNCREATED:
            return self._begin(Command.CREATE, self._creation())
        if self.state is State.OFFSET_UNKNOWN:
            request = requests.offset_request(self._url)
            wait = self.chunks.next_wait(self.limits.settle)
            return self._begin(Command.ASK_OFFSET, request, wait=wait)
        self._check_legal(Command.SEND_CHUNK)
        return self._begin(Command.SEND_CHUNK, self._chunk(self._size(available)))

    def finalize(self) -> Step:
        """Send an empty PATCH at the end, which finishes an upload that holds all its bytes.

        @tus/s3-store 1.0.0 may hold every byte and not have noticed.

        Raises:
            IllegalMove: the upload isn't complete.
        """
        self._check_legal(Command.FINALIZE)
        return self._begin(Command.FINALIZE, self._chunk(0))

    def terminate(self) -> Step:
        """Ask the server to throw the upload away.

        Raises:
            IllegalMove: there is no upload URL, or a request is in flight.
        """
        self._check_legal(Command.TERMINATE)
        return self._begin(Command.TERMINATE, requests.termination(self._url))

    def receive(
        self, response: Response, *, seconds: float | None = None, waited: float = 0.0
    ) -> Event:
        """Take the answer to the last move and say what it meant.

        Args:
            response: the answer.
            seconds: how long a chunk took, from its first byte to the answer; sizes the next one.
            waited: the part of them after its last byte.

        Raises:
            IllegalMove: nothing was in flight.
            ProtocolError: the answer to a creation names no place where the bytes may go, or an
                offset that is none.
        """
        move = self._end_step()
        event = self._read(move.command, response)
        if move.command is Command.TERMINATE:
            if isinstance(event, Terminated):
                self.state = State.TERMINATED
            return event
        return self._apply(move, event, Timing(seconds=seconds, waited=waited))

    def interrupt(
        self,
        reason: str,
        *,
        untouched: bool = False,
        seconds: float | None = None,
        waited: float | None = None,
        is_timeout: bool = False,
    ) -> Event:
        """Take it that no answer came to the last move.

        Args:
            reason: what happened, without secrets.
            untouched: whether it is certain that the server saw nothing of the request.
            seconds: since a chunk's first byte was sent.
            waited: since its last byte was; `None` if it never was.
            is_timeout: whether the wait has lasted as long as it may.

        Raises:
            IllegalMove: nothing was in flight.
        """
        move = self._end_step()
        event = Interrupted(reason=reason, untouched=untouched)
        if move.command is Command.TERMINATE:
            return event
        return self._apply(
            move, event, Timing(seconds=seconds, waited=waited, is_timeout=is_timeout)
        )

    def _creation(self) -> Request:
        length = self.length if self._is_declared else None
        count = plan_creation(self.limits, length)
        return requests.creation(
            self._endpoint, length=length, metadata=self._metadata, with_bytes=count
        )

    def _size(self, available: int | None) -> int:
        planned = self.plan()
        if available is None or available >= planned:
            return planned
        # Only the last chunk may break the alignment, and this isn't the last.
        size = available // self.limits.align * self.limits.align
        if size < 1:
            wanted = min(planned, self.limits.align)
            raise IllegalMove(f"{available} bytes are at hand; wanted {wanted}, or the length")
        return size

    def _chunk(self, size: int) -> Request:
        span = Span(self.offset, self.offset + size)
        declare = None if self._is_declared else self.length
        request = requests.chunk(
            self._url, span, declare=declare, override=self.limits.override_patch
        )
        return replace(request, timeout_factor=self.chunks.timeout_factor)

    def _begin(self, command: Command, request: Request, *, wait: float = 0.0) -> Step:
        self._check_legal(command)
        self._in_flight = move = Step(command, request, wait)
        self.chunks.sizer.sent(request.span)
        return move

    def _check_legal(self, command: Command) -> None:
        if self._in_flight is not None:
            asked = self._in_flight.command
            raise IllegalMove(f"can't {command}: the answer to {asked} is awaited")
        if command not in LEGAL_COMMANDS[self.state]:
            raise IllegalMove(f"can't {command} an upload whose state is {self.state}")

    @property
    def _url(self) -> str:
        """The upload URL; there is one in every state whose commands need it."""
        return self.upload_url or ""

    def _end_step(self) -> Step:
        move, self._in_flight = self._in_flight, None
        if move is None:
            raise IllegalMove("no answer is awaited")
        return move

    def _read(self, command: Command, response: Response) -> Event:
        if command is Command.CREATE:
            return self._read_creation(response)
        readers = {
            Command.ASK_OFFSET: requests.read_offset,
            Command.TERMINATE: requests.read_termination,
        }
        return readers.get(command, requests.read_chunk)(response)

    def _read_creation(self, response: Response) -> Event:
        try:
            return requests.read_creation(response, self._endpoint, other_hosts=self._other_hosts)
        except ProtocolError as error:
            if self.limits.creates_once:
                self.state, self.failure_reason = State.GONE, str(error)
            raise

    def _apply(self, move: Step, event: Event, timing: Timing) -> Event:
        if isinstance(event, Interrupted) and event.is_busy and timing.was_kept_long(self.limits):
            # A gateway says that a server is busy, which may be busy with this.
            event = replace(event, untouched=False)
        self.state = TRANSITIONS[move.command, type(event)]
        if move.command is Command.FINALIZE:
            return event
        if not (isinstance(event, Interrupted) and event.untouched):
            self._offsets.sent(self.limits, move.request)
        followed = self._follow(move, event, timing)
        if isinstance(followed, Interrupted | ChunkTooLarge):
            self.failures += 1
            is_aligned = self.limits.align > 1
            self.chunks.sizer.is_probing = is_aligned and self.state is State.OFFSET_UNKNOWN
        if isinstance(event, Interrupted) and not event.untouched:
            self._abandon(move, event, timing)
        return followed

    def _abandon(self, move: Step, event: Interrupted, timing: Timing) -> None:
        """Learn from a chunk that got no answer, or none that acknowledges it."""
        if move.command is not Command.CREATE:
            self.chunks.interrupted(self.limits, move.request.span, timing)
        elif self.limits.creates_once:
            self.state, self.failure_reason = (
                State.GONE,
                f"the creation may have happened: {event.reason}",
            )
            self.chunks.interrupted(self.limits, move.request.span, timing)
        else:
            # What loses the creation, again and again, may be the bytes that go with it.
            self.limits = replace(self.limits, with_creation=0)
            self.chunks.creation_lost(self.limits, move.request.span, timing)

    def _follow(self, move: Step, event: Event, timing: Timing) -> Event:
        match event:
            case Created():
                self.upload_url = event.upload_url
                return self._move_to(event.offset, move.request.span, event)
            case OffsetKnown():
                return self._known(event)
            case ChunkAccepted():
                return self._accepted(event, move.request, timing)
            case ChunkTooLarge():
                return self._shrink(event, move.request.span)
            case Gone(reason):
                self.failure_reason = reason
            case Refused() if move.command is Command.CREATE:
                return self._refused(event, move.request.span)
            case _:
                pass
        return event

    def _accepted(self, event: ChunkAccepted, request: Request, timing: Timing) -> Event:
        span = request.span
        if "Upload-Length" in request.headers:
            self._is_declared = True
        self.chunks.accepted(span, event.offset, timing)
        return self._move_to(event.offset, span, event)

    def _move_to(self, offset: int, sent: Span, event: Event) -> Event:
        """Believe an acknowledged offset where it is the expected one, else ask for it."""
        is_within = self._offsets.acknowledged(sent, offset)
        if offset == sent.stop or (is_within and not self.limits.settle):
            self._arrive(offset)
            if self.chunks.sizer.is_probing and self.limits.align > 1 and not self.is_over:
                # A piece that was put aside before the doubt would show by now: look once more.
                self.state, self._offsets.last_answer = State.OFFSET_UNKNOWN, offset
            self.chunks.sizer.is_probing &= not sent.size
            return event
        self.state, self._offsets.last_answer = State.OFFSET_UNKNOWN, None
        return Interrupted(
            reason=f"Upload-Offset is {offset} after bytes {sent.start} to {sent.stop} were sent"
        )

    def _known(self, event: OffsetKnown) -> Event:
        last, self._offsets.last_answer = self._offsets.last_answer, event.offset
        was_late = self.chunks.late.is_pending
        if self.chunks.late.may_arrive(event.offset):
            self.state = State.OFFSET_UNKNOWN
            return event
        if self.limits.settle and last != event.offset:
            self.state = State.OFFSET_UNKNOWN
            if last is None or was_late:
                return event
            self.chunks.late.moved(self.limits.settle)
            return Interrupted(
                reason=f"Upload-Offset moved from {last} to {event.offset} by itself"
            )
        if why := self._offsets.settled(self.limits, event, self.length):
            # No byte may be sent to an upload whose offset can't be believed.
            self.state, self.failure_reason = State.GONE, why
            return Gone(why)
        self._is_declared = event.length is not None
        self.length = self.length if event.length is None else event.length
        self.chunks.resumed(self.limits, event.offset)
        self._arrive(event.offset)
        return event

    def _arrive(self, offset: int) -> None:
        self.offset = offset
        is_all = self._is_declared and offset == self.length
        self.state = State.COMPLETE if is_all else State.TRANSFERRING
        if offset > self._furthest or is_all:
            self._furthest, self.failures = offset, 0

    def _shrink(self, event: ChunkTooLarge, sent: Span) -> Event:
        try:
            self.limits = with_chunk_size(self.limits, sent.size // 2)
        except ConfigurationError:
            return Refused(reason=event.reason, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return event

    def _refused(self, event: Refused, sent: Span) -> Event:
        """Create without bytes what was too large with them: proxies bound the body, to 1 MiB."""
        is_too_large = event.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        if not is_too_large or not sent.size:
            return event
        self.limits = replace(self.limits, with_creation=0)
        return Interrupted(reason=event.reason, untouched=True, request_id=event.request_id)
