"""The state machine of one tus upload, without I/O.

    UNCREATED ──Created──► TRANSFERRING ──ChunkAccepted (the last)──► COMPLETE
        │                   │        ▲
    Interrupted,     Interrupted   OffsetKnown (settled)
    creates_once            ▼        │
        │            OFFSET_UNKNOWN ─┴──Gone, or an offset that can't be right──► GONE
        └───────────────────────────────────────────────────────────────────────► GONE
    any state with an upload URL ──Terminated──► TERMINATED

`states.TRANSITIONS` is the table; this module adds the rules for the offset in a response. A
resumed upload starts in OFFSET_UNKNOWN. After an interruption the only legal step is to ask for the
offset; if the server needs aligned chunks, it is asked again after the next chunk. One request is
in flight at a time. An illegal call raises `IllegalMove` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from msgspec.structs import replace

from livepeer_async.errors import ConfigurationError, IllegalMove, ProtocolError
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.tus import requests
from livepeer_async.tus.deprecated import Renamed, warn_deprecated
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
from livepeer_async.tus.late import LateChunk, Timing
from livepeer_async.tus.limits import (
    ServerLimits,
    check_upload_length,
    plan_creation,
    with_chunk_size,
)
from livepeer_async.tus.metadata import MetadataValue, encode_metadata
from livepeer_async.tus.offsets import OffsetTracker
from livepeer_async.tus.sizing import ChunkSizer
from livepeer_async.tus.states import LEGAL_COMMANDS, OVER, TRANSITIONS, Command, State, Step

NEXT_COMMANDS = {State.UNCREATED: Command.CREATE, State.OFFSET_UNKNOWN: Command.ASK_OFFSET}


class TusUpload:
    """The state machine of one upload: returns the next request and receives its response.

    Args:
        endpoint: the creation URL, for a new upload.
        upload_url: the URL of an existing upload, to resume it.
        length: bytes of the upload; `None` defers it (see `declare_length`).
        limits: the server's limits.
        metadata: for `Upload-Metadata`.
        other_hosts: hosts besides the endpoint's that `Location` may name.
        max_offset: maximum bytes that `upload_url` can hold.

    Attributes:
        offset: bytes that the server is known to hold.
        upload_url: `None` until the upload is created.
        failures: interruptions since the last new highest offset.
        failure_reason: why the state is GONE; else "".
        chunks: sizes the chunks, and counts their timeouts.
        late: whether an abandoned chunk may still arrive.

    Raises:
        ConfigurationError: neither or both of `endpoint` and `upload_url`, a length below 1 or
            above the server's limit, or metadata that can't be sent.
    """

    next_move = Renamed("next_step")
    nudge = Renamed("finalize")
    setbacks = Renamed("failures")
    why = Renamed("failure_reason")

    def __init__(
        self,
        *,
        length: int | None,
        endpoint: str | None = None,
        upload_url: str | None = None,
        limits: ServerLimits | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        other_hosts: frozenset[str] = frozenset(),
        max_offset: int = requests.MAX_OFFSET,
        **deprecated: int,
    ) -> None:
        if "reach" in deprecated:
            warn_deprecated("TusUpload(reach=)", "max_offset=")
            max_offset = deprecated["reach"]
        self.limits = limits or ServerLimits()
        if bool(endpoint) == bool(upload_url):
            raise ConfigurationError("wanted either the endpoint or the URL of an existing upload")
        check_upload_length(self.limits, length)
        encode_metadata(metadata or {})
        self.length = length
        self.upload_url = upload_url
        self.offset, self.failures = 0, 0
        self.state = State.OFFSET_UNKNOWN if upload_url else State.UNCREATED
        self.failure_reason = ""
        self._endpoint = endpoint or ""
        self._metadata = dict(metadata or {})
        self._other_hosts = other_hosts
        self._in_flight: Step | None = None
        self._is_declared = length is not None
        self._highest_offset = -1
        max_offset = 0 if endpoint else max_offset
        self._offsets = OffsetTracker(is_new=upload_url is None, max_offset=max_offset)
        # A resumed, aligned upload first sends one small chunk and checks it: see `_acknowledge`.
        self.chunks = ChunkSizer(is_cautious=self.limits.align > 1 and endpoint is None)
        self.late = LateChunk()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to send: complete, gone or terminated."""
        return self.state in OVER

    def plan(self, *, available: int | None = None) -> int:
        """Return the size of the next chunk, of which `available` bytes can be sent now."""
        remaining = None if self.length is None else self.length - self.offset
        return self.chunks.plan_size(self.limits, remaining, available=available)

    def declare_length(self, length: int) -> None:
        """Set a deferred length, which the next chunk declares.

        Raises:
            IllegalMove: the length is already known, or is below the offset.

        Source: tus 1.0, Creation, Upload-Defer-Length.
        """
        if self.length is not None or length < max(self.offset, 1):
            raise IllegalMove(
                f"the length can't become {length}: it is {self.length}, the offset {self.offset}"
            )
        self.length = length

    def next_step(self, *, available: int | None = None) -> Step:
        """Return the next request, and how long to wait before it.

        Args:
            available: bytes that can be sent now, for a source of unknown length.

        Raises:
            IllegalMove: a request is in flight, nothing is left, or too little is available.
        """
        command = NEXT_COMMANDS.get(self.state, Command.SEND_CHUNK)
        self._check_legal(command)
        if command is Command.CREATE:
            return self._begin_step(command, self._creation())
        if command is Command.ASK_OFFSET:
            wait = self.late.next_wait(self.limits.settle)
            return self._begin_step(command, requests.offset_request(self._url), wait=wait)
        return self._begin_step(command, self._chunk(self.plan(available=available)))

    def finalize(self) -> Step:
        """Return an empty PATCH; @tus/s3-store 1.0.0 may hold all bytes without noticing it.

        Raises:
            IllegalMove: it isn't complete, or a request is in flight.
        """
        self._check_legal(Command.FINALIZE)
        return self._begin_step(Command.FINALIZE, self._chunk(0))

    def terminate(self) -> Step:
        """Return the request to delete the upload.

        Raises:
            IllegalMove: there is no upload URL, or a request is in flight.
        """
        self._check_legal(Command.TERMINATE)
        return self._begin_step(Command.TERMINATE, requests.termination(self._url))

    def receive(
        self, response: Response, *, seconds: float | None = None, waited: float = 0.0
    ) -> Event:
        """Process the response to the last step and return its meaning.

        Args:
            response: the response.
            seconds: from a chunk's first byte to the response; sizes the next chunk.
            waited: the part of them after its last byte.

        Raises:
            IllegalMove: no request is in flight.
            ProtocolError: the response to a creation has an unusable `Location` or offset.
        """
        step = self._end_step()
        event = self._read(step.command, response)
        if step.command is Command.TERMINATE:
            if isinstance(event, Terminated):
                self.state = State.TERMINATED
            return event
        return self._apply(step, event, Timing(seconds=seconds, waited=waited))

    def interrupt(
        self,
        reason: str,
        *,
        untouched: bool = False,
        seconds: float | None = None,
        waited: float | None = None,
        is_timeout: bool = False,
        request_id: str | None = None,
    ) -> Event:
        """Record that the last step got no response, and return the event.

        Args:
            reason: what happened, without secrets.
            untouched: whether the server certainly received nothing of the request.
            seconds: since a chunk's first byte was sent.
            waited: since its last byte was sent; `None` if it never was.
            is_timeout: whether the time limit ended the request.
            request_id: its `X-Request-ID`.

        Raises:
            IllegalMove: no request is in flight.
        """
        step = self._end_step()
        event = Interrupted(reason=reason, untouched=untouched, request_id=request_id)
        timing = Timing(seconds=seconds, waited=waited, is_timeout=is_timeout)
        return event if step.command is Command.TERMINATE else self._apply(step, event, timing)

    def _creation(self) -> Request:
        length = self.length if self._is_declared else None
        count = plan_creation(self.limits, length)
        return requests.creation(
            self._endpoint, length=length, metadata=self._metadata, with_bytes=count
        )

    def _chunk(self, size: int) -> Request:
        span = Span(self.offset, self.offset + size)
        declare = None if self._is_declared else self.length
        override = self.limits.override_patch
        request = requests.chunk(self._url, span, declare=declare, override=override)
        return replace(request, timeout_factor=self.chunks.timeout_factor)

    def _begin_step(self, command: Command, request: Request, *, wait: float = 0.0) -> Step:
        self._in_flight = step = Step(command, request, wait)
        self.chunks.record_started(request.span)
        return step

    def _check_legal(self, command: Command) -> None:
        if self._in_flight is not None:
            sent = self._in_flight.command
            raise IllegalMove(f"can't {command}: the response to {sent} is pending")
        if command not in LEGAL_COMMANDS[self.state]:
            raise IllegalMove(f"can't {command} an upload whose state is {self.state}")

    @property
    def _url(self) -> str:
        """The upload URL; set in every state whose commands need it."""
        return self.upload_url or ""

    def _end_step(self) -> Step:
        step, self._in_flight = self._in_flight, None
        if step is None:
            raise IllegalMove("no request is in flight")
        return step

    def _read(self, command: Command, response: Response) -> Event:
        if command is Command.ASK_OFFSET:
            return requests.read_offset(response)
        if command is Command.TERMINATE:
            return requests.read_termination(response)
        if command is not Command.CREATE:
            return requests.read_chunk(response)
        try:
            return requests.read_creation(response, self._endpoint, other_hosts=self._other_hosts)
        except ProtocolError as error:
            if self.limits.creates_once:
                self._set_gone(str(error))
            raise

    def _apply(self, step: Step, event: Event, timing: Timing) -> Event:
        if isinstance(event, Interrupted) and event.is_busy:
            # A gateway may report as busy the server that is storing this chunk.
            may_be_stored = timing.may_be_stored(self.limits.settle)
            event = replace(event, untouched=event.untouched and not may_be_stored)
        self.state = TRANSITIONS[step.command, type(event)]
        if step.command is Command.FINALIZE:
            return event
        is_untouched = isinstance(event, Interrupted) and event.untouched
        if not is_untouched:
            self._offsets.record_sent(self.limits, step.request)
        result = self._update(step, event, timing)
        if isinstance(result, Interrupted | ChunkTooLarge):
            self.failures += 1
            is_aligned = self.limits.align > 1
            self.chunks.is_cautious = is_aligned and self.state is State.OFFSET_UNKNOWN
        if isinstance(event, Interrupted) and not is_untouched:
            self._interrupted(step, event, timing)
        return result

    def _interrupted(self, step: Step, event: Interrupted, timing: Timing) -> None:
        """Record a request that the server may have processed without acknowledging it."""
        span = step.request.span
        if span.size:
            self.chunks.record_interrupted(span, timing)
            self.late.record_abandoned(span, timing, self.limits)
        if step.command is not Command.CREATE:
            return
        if self.limits.creates_once:
            self._set_gone(f"the creation may have happened: {event.reason}")
            return
        # The bytes in the request may be the reason that the creation fails.
        self.limits = replace(self.limits, with_creation=0)
        if span.size:
            self.chunks.record_resumed(self.limits, span.start)

    def _update(self, step: Step, event: Event, timing: Timing) -> Event:
        span = step.request.span
        match event:
            case Created():
                self.upload_url = event.upload_url
                return self._acknowledge(event.offset, span, event)
            case OffsetKnown():
                return self._resume(event)
            case ChunkAccepted():
                self._is_declared |= "Upload-Length" in step.request.headers
                self.chunks.record_accepted(span, event.offset, timing.seconds)
                self.late.record_accepted(span, timing)
                return self._acknowledge(event.offset, span, event)
            case ChunkTooLarge():
                return self._shrink(event, span)
            case Gone(reason):
                self.failure_reason = reason
            case Refused() if step.command is Command.CREATE:
                return self._refused_creation(event, span)
            case _:
                pass
        return event

    def _acknowledge(self, offset: int, sent: Span, event: Event) -> Event:
        """Accept an acknowledged offset if it is the expected one, else ask for it."""
        is_within = self._offsets.check_acknowledged(sent, offset)
        if offset == sent.stop or (is_within and not self.limits.settle):
            self._set_offset(offset)
            if self.chunks.is_cautious and self.limits.align > 1 and not self.is_over:
                # A piece that the server kept aside before the interruption would show by now.
                self.state, self._offsets.last_head = State.OFFSET_UNKNOWN, offset
            self.chunks.is_cautious &= not sent.size
            return event
        self.state, self._offsets.last_head = State.OFFSET_UNKNOWN, None
        sent_bytes = f"bytes {sent.start} to {sent.stop}"
        return Interrupted(reason=f"Upload-Offset is {offset} after {sent_bytes} were sent")

    def _resume(self, event: OffsetKnown) -> Event:
        """Continue from the offset in a response to HEAD once it has settled."""
        last, self._offsets.last_head = self._offsets.last_head, event.offset
        was_late = self.late.is_pending
        if self.late.may_arrive(event.offset):
            self.state = State.OFFSET_UNKNOWN
            return event
        if self.limits.settle and last != event.offset:
            self.state = State.OFFSET_UNKNOWN
            if last is None or was_late:
                return event
            self.late.offset_moved(self.limits.settle)
            moved = f"Upload-Offset moved from {last} to {event.offset} by itself"
            return Interrupted(reason=moved)
        if reason := self._offsets.check_settled(self.limits, event, self.length):
            self._set_gone(reason)
            return Gone(reason)
        self._is_declared = event.length is not None
        self.length = self.length if event.length is None else event.length
        self.chunks.record_resumed(self.limits, event.offset)
        self._set_offset(event.offset)
        return event

    def _set_gone(self, reason: str) -> None:
        self.state, self.failure_reason = State.GONE, reason

    def _set_offset(self, offset: int) -> None:
        self.offset = offset
        is_all = self._is_declared and offset == self.length
        self.state = State.COMPLETE if is_all else State.TRANSFERRING
        if offset > self._highest_offset or is_all:
            self._highest_offset, self.failures = offset, 0

    def _shrink(self, event: ChunkTooLarge, sent: Span) -> Event:
        try:
            self.limits = with_chunk_size(self.limits, sent.size // 2)
        except ConfigurationError:
            return Refused(reason=event.reason, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return event

    def _refused_creation(self, event: Refused, sent: Span) -> Event:
        """Retry a creation that was too large without bytes: proxies limit bodies to 1 MiB."""
        if event.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or not sent.size:
            return event
        self.limits = replace(self.limits, with_creation=0)
        return Interrupted(reason=event.reason, untouched=True, request_id=event.request_id)
