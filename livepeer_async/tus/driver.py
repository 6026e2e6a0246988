"""Drives one tus upload over a network that fails: sends, sleeps, retries.

All of an upload's asynchrony is here. `protocol` decides what to send, `RetryPolicy` how long to
wait, and `sources.blocks` reads the bytes.
"""

from __future__ import annotations

import inspect
import time
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    ConnectFailed,
    DecodeError,
    NetworkError,
    RetriesExhausted,
    SourceChanged,
    SourceEmpty,
    TimedOut,
    TusError,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.observers import Watch, report_event
from livepeer_async.http.retry import RetryEvent, RetryPolicy, describe_failure
from livepeer_async.redaction import Hidden
from livepeer_async.sources.blocks import BLOCK, FIRST_SLICE, Digest, SpanReader, read_ahead
from livepeer_async.sources.source import Source, check_source_length
from livepeer_async.sources.streams import StreamSource
from livepeer_async.telemetry.events import UPLOAD_RETRY, log_event
from livepeer_async.tus.cookies import Cookies
from livepeer_async.tus.deprecated import Renamed, warn_deprecated
from livepeer_async.tus.events import ChunkTooLarge, Event, Interrupted, OffsetKnown, Refused
from livepeer_async.tus.exchange import plan_retry
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.tus.states import Command, State, Step
from livepeer_async.tus.tracing import log_chunk, start_request_span

# Responses to tus requests are at most a sentence.
MAX_TUS_RESPONSE_SIZE = 64 * 1024
# Consecutive chunks that were sent in full and got no response in time; each was smaller than the
# one before, or had twice its time.
MAX_TIMEOUTS = 3
MAY_BE_STORED = "the server may still be storing an interrupted chunk"


class Send(Protocol):
    """Sends a request: `Transport.send`, or your own."""

    def __call__(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_TUS_RESPONSE_SIZE,
    ) -> Awaitable[Response]:
        """Send a request with `blocks` as its body; raise NetworkError without a response."""
        ...


class Callbacks(Struct, frozen=True):
    """Functions that a driver calls.

    Attributes:
        on_sent: with the bytes that the server has acknowledged.
        on_transfer: with these bytes, and with those in flight: accepted by the socket, and not
            acknowledged.
        on_retry: with each failure that is retried; it is logged as well.
        on_created: with the upload URL, before another request is sent; an awaitable result is
            awaited.
        wait_to_retry: awaited with the delay before a retry, which it may end early; by default
            the clock's `sleep`.
    """

    on_sent: Callable[[int], None] | None = None
    on_transfer: Callable[[int, int], None] | None = None
    on_retry: Callable[[RetryEvent], None] | None = None
    on_created: Callable[[str], Awaitable[None] | None] | None = None
    wait_to_retry: Callable[[float], Awaitable[None]] | None = None


class Driver:
    """Sends one upload until it is complete.

    Args:
        upload: the state machine; not over.
        source: the bytes.
        send: sends requests.
        retry: the retry policy.
        callbacks: functions to call.
        digest: receives the blocks that are sent.
        clock: time and jitter.

    Attributes:
        upload: the state machine.
        has_sent: whether this driver sent bytes; it sends them only from settled offsets.
        cookies: those of its responses; drivers of one upload may share them.
    """

    def __init__(
        self,
        upload: TusUpload,
        source: Source,
        send: Send,
        *,
        retry: RetryPolicy | None = None,
        callbacks: Callbacks | None = None,
        digest: Digest | None = None,
        clock: Clock | None = None,
        **deprecated: Any,
    ) -> None:
        callbacks, clock = callbacks or Callbacks(), clock or Clock()
        if deprecated:
            callbacks, clock = _merge_deprecated(callbacks, clock, deprecated)
        self.upload = upload
        self.has_sent = False
        self.cookies = Cookies()
        self._source = source
        self._send = send
        self._retry = retry or RetryPolicy()
        self._callbacks = callbacks
        self._digest = digest
        self._clock = clock
        # Before the next attempt; the server asked for `_retry_after` of it.
        self._delay = self._retry_after = 0.0
        self._failures = Counter[Command]()
        # Bytes that the server has acknowledged; None while a resumed upload hasn't said so.
        self._acknowledged = None if upload.upload_url else 0
        self._is_retrying = False
        self._released = 0
        self._slice_size = FIRST_SLICE
        self._blocks: SpanReader | None = None
        # Of the last response; `None` if there was none.
        self._status: int | None = None

    nudge = Renamed("finalize")

    async def run(self) -> None:
        """Send until the upload is complete.

        Raises:
            UploadGone: the upload URL can't be used any more.
            UploadRefused: the server sent a final error status.
            RetriesExhausted: too many failures without progress.
            ProtocolError: the server's `Location` or offset can't be used.
            SourceError: the source can't be read, or changed.
        """
        try:
            while not self.upload.is_over:
                await self._advance()
                if self.upload.state is State.TRANSFERRING:
                    await self._release(self.upload.offset)
        except TusError as error:
            error.upload_url = self.upload.upload_url
            raise
        self._check_gone()

    async def find_offset(self) -> None:
        """Ask for the offset until it is known, without sending bytes; errors as for `run`."""
        while self.upload.state is State.OFFSET_UNKNOWN:
            await self._advance()
        self._check_gone()

    async def finalize(self) -> None:
        """Send an empty PATCH for a complete upload, once; the response doesn't matter."""
        await self._run_step(self.upload.finalize())

    async def terminate(self) -> bool:
        """Ask the server once to delete the upload; return whether it did."""
        await self._run_step(self.upload.terminate())
        return self.upload.state is State.TERMINATED

    def _check_gone(self) -> None:
        if self.upload.state is State.GONE:
            raise UploadGone(f"the upload is lost: {self.upload.failure_reason}")

    async def _advance(self) -> None:
        known_url = Hidden(self.upload.upload_url)
        step = await self._next_step()
        event = await self._run_step(step)
        # A creation that leaves the offset unknown has an upload URL as well.
        if self.upload.upload_url is not None and self.upload.upload_url != known_url.value:
            await self._report_created(self.upload.upload_url)
        if self.upload.state is State.COMPLETE:
            await self._read_to_end()
        self._report_acknowledged()
        if isinstance(event, Refused):
            raise UploadRefused(event.reason, status=event.status, request_id=event.request_id)
        if not isinstance(event, Interrupted | ChunkTooLarge):
            self._end_retry()
        if not self.upload.failures:
            self._failures.clear()
        elif isinstance(event, OffsetKnown):
            self._failures[Command.ASK_OFFSET] = min(1, self._failures[Command.ASK_OFFSET])
        if isinstance(event, Interrupted | ChunkTooLarge) and not self.upload.is_over:
            self._back_off(step.command, event)

    async def _report_created(self, upload_url: str) -> None:
        on_created = self._callbacks.on_created
        result = on_created(upload_url) if on_created else None
        if inspect.isawaitable(result):
            await result

    def _report_acknowledged(self) -> None:
        """Report the offset if it is known; after a failure, nothing is in flight."""
        if self.upload.state in {State.TRANSFERRING, State.COMPLETE}:
            before, self._acknowledged = self._acknowledged, self.upload.offset
            if before != self._acknowledged and self._callbacks.on_sent:
                self._callbacks.on_sent(self.upload.offset)
        self._report_in_flight(0)

    def _report_in_flight(self, count: int) -> None:
        if self._acknowledged is not None and self._callbacks.on_transfer:
            self._callbacks.on_transfer(self._acknowledged, count)

    def _end_retry(self) -> None:
        """Report that the last failure is over."""
        if self._is_retrying:
            self._is_retrying = False
            report_event(None)

    def _on_slice_accepted(self, count: int) -> None:
        self._end_retry()
        self._report_in_flight(count)

    async def _next_step(self) -> Step:
        source, upload = self._source, self.upload
        if upload.state is not State.TRANSFERRING:
            return upload.next_step()
        if isinstance(source, StreamSource) and source.is_open_ended:
            if upload.length is None:
                return await self._next_stream_step(source)
            # An earlier process declared the length, and the stream must have it.
            source.length, source.is_open_ended = upload.length, False
        if upload.length is None:
            upload.declare_length(source.length)
        if upload.length != source.length:
            raise SourceChanged(
                f"{source.name} has {source.length} bytes; the upload has {upload.length}",
                source=source.name,
            )
        return upload.next_step()

    async def _next_stream_step(self, source: StreamSource) -> Step:
        """Send the bytes at hand; at the end of the stream, declare the length."""
        upload = self.upload
        available = await source.available(upload.offset, upload.plan())
        check_source_length(source.name, upload.offset + available, upload.limits.max_length)
        if source.is_open_ended:
            return upload.next_step(available=available)
        if not source.length:
            raise SourceEmpty(f"{source.name} is empty; wanted a video", source=source.name)
        upload.declare_length(source.length)
        return upload.next_step()

    async def _release(self, offset: int) -> None:
        """Release the bytes that the server holds; a stream is first read up to there."""
        source = self._source
        while isinstance(source, StreamSource) and self._released < offset:
            size = min(BLOCK, offset - self._released)
            if await source.available(self._released, size) < size:
                raise SourceChanged(
                    f"{source.name} ended before byte {offset}, the offset of the upload",
                    source=source.name,
                )
            self._released += size
            source.release(self._released)

    async def _read_to_end(self) -> None:
        """Read the stream of a resumed upload that was already complete, to compare lengths."""
        source, length = self._source, self.upload.length
        if not isinstance(source, StreamSource) or length is None:
            return
        if source.is_open_ended:
            source.length, source.is_open_ended = length, False
        if source.end < length:
            await self._release(length)

    async def _run_step(self, step: Step) -> Event:
        self._blocks, self._status, is_sent = None, None, False
        try:
            await self._sleep_before(step)
            longest = self.upload.limits.max_chunk_seconds
            await self._source.wait_for_chunk(step.request.span, max_seconds=longest)
            is_sent = True
            request = self.cookies.add_to(step.request)
            with start_request_span(step, self._failures[step.command]) as span:
                response = await self._send_request(request)
                span.record_status(response.status)
            self._status = response.status
            self.cookies.store(request, response)
        except (NetworkError, DecodeError) as error:
            # DecodeError: a response too long for a tus server, such as the page of a proxy.
            seconds, waited = self._time_chunk()
            return self.upload.interrupt(
                describe_failure(error),
                request_id=error.request_id,
                untouched=isinstance(error, ConnectFailed),
                seconds=seconds,
                waited=waited,
                is_timeout=isinstance(error, TimedOut),
            )
        except BaseException:
            # Cancelled, or the source failed: the next step asks for the offset.
            self.upload.interrupt("the request was abandoned", untouched=not is_sent)
            raise
        seconds, waited = self._time_chunk()
        log_chunk(step, response, seconds)
        return self.upload.receive(response, seconds=seconds, waited=waited or 0.0)

    async def _sleep_before(self, step: Step) -> None:
        """Wait for the delay after a failure, which may end early.

        It lasts at least as long as the step and the server's `Retry-After` ask.
        """
        wait_to_retry, delay = self._callbacks.wait_to_retry, self._delay
        shortest = max(step.wait, self._retry_after)
        if wait_to_retry is not None and delay > shortest:
            await wait_to_retry(delay - shortest)
            delay = self._retry_after
        with Watch(MAY_BE_STORED if step.wait > delay else None):
            await self._clock.sleep(max(step.wait, delay))
        self._delay = self._retry_after = 0.0

    def _time_chunk(self) -> tuple[float | None, float | None]:
        """Return the seconds since the chunk's first byte was sent, and since its last one was."""
        now, blocks = time.monotonic(), self._blocks
        if blocks is None or blocks.began_at is None:
            return None, None
        waited = None if blocks.accepted_at is None else now - blocks.accepted_at
        return now - blocks.began_at, waited

    async def _send_request(self, request: Request) -> Response:
        span = request.span
        if not span.size:
            return await self._send(request, largest=MAX_TUS_RESPONSE_SIZE)
        self.has_sent = True
        reading = read_ahead(
            self._source,
            span,
            slice_size=self._slice_size,
            digest=self._digest,
            on_sent=self._on_slice_accepted,
        )
        async with reading as blocks:
            self._blocks = blocks
            response = await self._send(request, blocks=blocks, largest=MAX_TUS_RESPONSE_SIZE)
            self._slice_size = blocks.slice_size
            return response

    def _back_off(self, command: Command, event: Interrupted | ChunkTooLarge) -> None:
        # Counted per command: on a bad network a chunk fails a few times, and the HEAD for its
        # offset a few more. The first failure of HEAD is the chunk's own.
        self._failures[command] += 1
        if command is not Command.ASK_OFFSET:
            self._failures[Command.ASK_OFFSET] = 1
        attempt = self._failures[command]
        jitter, status = self._clock.random(), self._status
        retry_event = plan_retry(self._retry, event, attempt=attempt, jitter=jitter, status=status)
        if retry_event is None or self.upload.chunks.timeouts >= MAX_TIMEOUTS:
            raise RetriesExhausted(
                f"no progress beyond byte {self.upload.offset} after {attempt} failures; "
                f"the last: {event.reason}",
                attempts=attempt,
                request_id=event.request_id,
            )
        self._delay, self._is_retrying = retry_event.delay, True
        self._retry_after = (isinstance(event, Interrupted) and event.retry_after) or 0.0
        offset, facts = self.upload.offset, retry_event.facts
        log_event(
            UPLOAD_RETRY, "upload at byte %d: %s", offset, retry_event, offset=offset, **facts
        )
        report_event(retry_event)
        if self._callbacks.on_retry:
            self._callbacks.on_retry(retry_event)


def _merge_deprecated(
    callbacks: Callbacks, clock: Clock, arguments: dict[str, Any]
) -> tuple[Callbacks, Clock]:
    """Merge the old arguments of `Driver` into its callbacks and its clock."""
    new_names = {"on_setback": "on_retry", "jitter": "random"}
    for old, value in arguments.items():
        new = new_names.get(old, old)
        if new in Callbacks.__struct_fields__:
            callbacks = replace(callbacks, **{new: value})
        elif new in {"sleep", "random"}:
            clock = clock._replace(**{new: value})
        else:
            raise TypeError(f"Driver() got an unexpected keyword argument {old!r}")
        warn_deprecated(f"Driver({old}=)", f"callbacks= or clock= with {new}", stacklevel=4)
    return callbacks, clock
