"""Drives one tus upload: sends what the protocol core asks for, sleeps, and gives up at last.

All of an upload's asynchrony is here. `protocol` decides what to send, the retry policy how long to
wait, and `sources.blocks` reads the bytes.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Protocol

import anyio

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
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.http.retry import RetryEvent, RetryPolicy, next_delay
from livepeer_async.sources.blocks import BLOCK, FIRST_SLICE, Digest, SpanReader, read_ahead
from livepeer_async.sources.source import Source, StreamSource, check_length
from livepeer_async.tus.events import Event, Interrupted, OffsetKnown, Refused
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.tus.states import Command, State, Step

_log = logging.getLogger("livepeer_async")

# Answers to tus requests are a sentence at the most.
MAX_RESPONSE_SIZE = 64 * 1024
# Chunks in a row that the server had in full and didn't respond to; each was smaller, or was waited
# for twice as long, as the one before.
MOST_TIMEOUTS = 3


class Send(Protocol):
    """How requests travel: `Transport.send`, or a stranger's own."""

    def __call__(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_RESPONSE_SIZE,
    ) -> Awaitable[Response]:
        """Send a request; raise NetworkError where no answer came."""
        ...


def _ignore(_news: object) -> None:
    """Tell nobody."""


class Driver:
    """Takes one upload to its end over a network that fails.

    Attributes:
        upload: the core.
        has_sent: whether bytes were sent from here, all from offsets that had settled.

    Args:
        upload: the core; in any state but one that is over.
        source: the bytes.
        send: how requests travel.
        retry: how many setbacks are borne, and how long the waits are.
        on_sent: told the bytes that the socket has taken so far, the acknowledged ones included.
        on_retry: told each time that something came between; it is logged as well.
        on_created: awaited with the upload URL before anything follows from it.
        digest: takes the blocks as they pass.
        sleep: waits so many seconds.
        jitter: gives a random number in 0..1.
    """

    def __init__(  # noqa: PLR0913 - time and chance come in as arguments, with the real ones as defaults
        self,
        upload: TusUpload,
        source: Source,
        send: Send,
        *,
        retry: RetryPolicy,
        on_sent: Callable[[int], None] | None = None,
        on_retry: Callable[[RetryEvent], None] | None = None,
        on_created: Callable[[str], Awaitable[None]] | None = None,
        digest: Digest | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.upload = upload
        self._source = source
        self._send = send
        self._retry = retry
        self._on_sent = on_sent or _ignore
        self._on_retry = on_retry or _ignore
        self._on_created = on_created
        self._digest = digest
        self._sleep = sleep
        self._jitter = jitter
        self._delay = 0.0
        self._failures = Counter[Command]()
        self._released = 0
        self.has_sent = False
        self._slice_size = FIRST_SLICE
        self._blocks: SpanReader | None = None

    async def run(self) -> None:
        """Send until the upload is complete.

        Raises:
            UploadGone: the upload URL is of no more use.
            UploadRefused: the server gave a final answer.
            RetriesExhausted: the offset hasn't moved for too many attempts.
            ProtocolError: the server's answer names a place where the bytes must not go.
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
        """Ask for the offset until it is known, send and release nothing; raises as `run`."""
        while self.upload.state is State.OFFSET_UNKNOWN:
            await self._advance()
        self._check_gone()

    def _check_gone(self) -> None:
        if self.upload.state is State.GONE:
            raise UploadGone(f"the upload is lost: {self.upload.failure_reason}")

    async def finalize(self) -> None:
        """Send an empty PATCH at the end; its answer tells nothing that the asset doesn't tell."""
        await self._exchange(self.upload.finalize())

    async def terminate(self) -> bool:
        """Ask the server to throw the upload away, and say whether it has."""
        await self._exchange(self.upload.terminate())
        return self.upload.state is State.TERMINATED

    async def _advance(self) -> None:
        failures, known_url = self.upload.failures, self.upload.upload_url
        move = await self._next_step()
        event = await self._exchange(move)
        # A creation that leaves the offset in doubt has an upload URL, too.
        upload_url = self.upload.upload_url
        if self._on_created and upload_url is not None and upload_url != known_url:
            await self._on_created(upload_url)
        if self.upload.state is State.COMPLETE:
            await self._read_to_end()
        if self.upload.state in {State.TRANSFERRING, State.COMPLETE}:
            self._on_sent(self.upload.offset)
        if isinstance(event, Refused):
            raise UploadRefused(event.reason, status=event.status, request_id=event.request_id)
        self._reset_failures(event)
        if self.upload.failures > failures and not self.upload.is_over:
            self._back_off(move.command, event)

    def _reset_failures(self, event: Event) -> None:
        """Count all setbacks anew once the offset moves, and those of HEAD once it answers."""
        if not self.upload.failures:
            self._failures.clear()
        elif isinstance(event, OffsetKnown):
            self._failures[Command.ASK_OFFSET] = min(1, self._failures[Command.ASK_OFFSET])

    async def _next_step(self) -> Step:
        source, upload = self._source, self.upload
        if upload.state is not State.TRANSFERRING:
            return upload.next_step()
        if isinstance(source, StreamSource) and source.is_open_ended:
            if upload.length is None:
                return await self._next_of_stream(source)
            # Whoever began the upload has named its length, and the stream is held to it.
            source.length, source.is_open_ended = upload.length, False
        if upload.length is None:
            upload.declare_length(source.length)
        if upload.length != source.length:
            raise SourceChanged(
                f"{source.name} has {source.length} bytes; the upload is one of {upload.length}",
                source=source.name,
            )
        return upload.next_step()

    async def _next_of_stream(self, source: StreamSource) -> Step:
        """Send what the stream has; its end, once it is seen, names the length."""
        upload = self.upload
        available = await source.available(upload.offset, upload.plan())
        check_length(source.name, upload.offset + available, upload.limits.max_length)
        if source.is_open_ended:
            return upload.next_step(available=available)
        if not source.length:
            raise SourceEmpty(f"{source.name} is empty; a video has bytes", source=source.name)
        upload.declare_length(source.length)
        return upload.next_step()

    async def _release(self, offset: int) -> None:
        """Let the source forget what the server holds; a stream is first read up to there."""
        source = self._source
        while isinstance(source, StreamSource) and self._released < offset:
            step = min(BLOCK, offset - self._released)
            if await source.available(self._released, step) < step:
                raise SourceChanged(
                    f"{source.name} ended before byte {offset}, up to which the server has it",
                    source=source.name,
                )
            self._released += step
            source.release(self._released)

    async def _read_to_end(self) -> None:
        """Read the stream up to the end of an upload that was complete without it."""
        source, length = self._source, self.upload.length
        if not isinstance(source, StreamSource) or length is None:
            return
        if source.is_open_ended:
            source.length, source.is_open_ended = length, False
        if source.end < length:
            await self._release(length)

    async def _exchange(self, move: Step) -> Event:
        self._blocks, is_sent = None, False
        try:
            await self._sleep(max(move.wait, self._delay))
            self._delay, is_sent = 0.0, True
            response = await self._send_request(move.request)
        except (NetworkError, DecodeError) as error:
            # DecodeError is an answer too long to be one, such as the web page of a proxy.
            seconds, waited = self._time_chunk()
            return self.upload.interrupt(
                str(error),
                untouched=isinstance(error, ConnectFailed),
                seconds=seconds,
                waited=waited,
                is_timeout=isinstance(error, TimedOut),
            )
        except BaseException:
            # Cancelled, or the source failed: whoever goes on from here has to ask for the offset.
            self.upload.interrupt("the request was given up", untouched=not is_sent)
            raise
        seconds, waited = self._time_chunk()
        return self.upload.receive(response, seconds=seconds, waited=waited or 0.0)

    def _time_chunk(self) -> tuple[float | None, float | None]:
        """Give the seconds since the chunk's first byte was sent, and since its last one was."""
        now, blocks = time.monotonic(), self._blocks
        if blocks is None or blocks.began_at is None:
            return None, None
        waited = None if blocks.accepted_at is None else now - blocks.accepted_at
        return now - blocks.began_at, waited

    async def _send_request(self, request: Request) -> Response:
        span = request.content
        if not isinstance(span, Span) or not span.size:
            return await self._send(request, largest=MAX_RESPONSE_SIZE)
        self.has_sent = True
        reading = read_ahead(
            self._source,
            span,
            slice_size=self._slice_size,
            digest=self._digest,
            on_sent=lambda sent: self._on_sent(span.start + sent),
        )
        async with reading as blocks:
            self._blocks = blocks
            response = await self._send(request, blocks=blocks, largest=MAX_RESPONSE_SIZE)
            self._slice_size = blocks.slice_size
            return response

    def _back_off(self, command: Command, event: Event) -> None:
        # Counted for each command: where many requests fail, a chunk meets a few setbacks, and the
        # question for its offset a few more. The first of these is the chunk's own.
        self._failures[command] += 1
        if command is not Command.ASK_OFFSET:
            self._failures[Command.ASK_OFFSET] = 1
        attempt, attempts = self._failures[command], self._retry.attempts
        reason: str = getattr(event, "reason", "the offset didn't settle")
        asked = event.retry_after if isinstance(event, Interrupted) else None
        delay = next_delay(self._retry, failures=attempt, jitter=self._jitter(), retry_after=asked)
        if delay is None or self.upload.chunks.timeouts >= MOST_TIMEOUTS:
            raise RetriesExhausted(
                f"no progress beyond byte {self.upload.offset} after {attempt} setbacks; "
                f"the last: {reason}",
                attempts=attempt,
                request_id=getattr(event, "request_id", None),
            )
        self._delay = delay
        retry_event = RetryEvent(reason=reason, attempt=attempt, attempts=attempts, delay=delay)
        _log.warning("upload at byte %d: %s", self.upload.offset, retry_event)
        self._on_retry(retry_event)
