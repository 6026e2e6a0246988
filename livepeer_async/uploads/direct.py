"""Direct uploads: one PUT of all bytes to the `url` of a ticket, for networks that block tus.

The server stores nothing of an interrupted PUT, so each attempt sends all bytes, and it ends a
request that takes more than 300 s. A PUT whose response is lost may have arrived: the asset shows
that by leaving `uploading`. A PUT beside it would be a second writer, and a later one gets a 422.
"""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from math import inf

from msgspec import Struct

from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    DecodeError,
    NetworkError,
    RetriesExhausted,
    SourceNotReplayable,
    SourceTooLarge,
    UploadGone,
    UploadRefused,
)
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.http.observers import Watch, report_event, report_recovery
from livepeer_async.http.retry import RetryPolicy, backoff, describe_failure, next_retry
from livepeer_async.http.tracing import log_chunk, start_request_span
from livepeer_async.redaction import Hidden
from livepeer_async.scheduling.throttled_transport import ThrottledTransport
from livepeer_async.sources.blocks import SpanReader, read_ahead
from livepeer_async.sources.source import Source
from livepeer_async.telemetry.events import UPLOAD_RETRY, log_event
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.upload import Upload

# Studio ends a request whose body takes longer (Node's `requestTimeout`).
MAX_SECONDS = 300.0
# S3's limit for one PUT.
MAX_LENGTH = 5 * 1024**3
# Bytes per second that are assumed until a PUT was measured; 1.2 GB in 300 s.
ASSUMED_RATE = 4 * 1024**2
# Seconds and bytes of a PUT before its rate says more than how large the buffers on the way are.
MEASURED_SECONDS = 15.0
MEASURED_LENGTH = 8 * 1024**2
# Seconds for which the rate of a PUT is taken for that of the next one.
RATE_LIFETIME = 600.0
# The signed URL in a ticket is valid for 12 h; with an older one, Studio's process dies.
MAX_TICKET_AGE = 11 * 3600.0
# A 408 that comes sooner ends an idle connection, not a slow request.
MIN_SLOW_SECONDS = 1.0
# Seconds from a lost response to the last look at the asset, unless the server was slow, and the
# first and the longest delay between two looks.
SETTLE_SECONDS = 1.0
FIRST_LOOK_SECONDS = 0.1
MAX_LOOK_SECONDS = 10.0
MAX_RESPONSE_SIZE = 64 * 1024

# Statuses of a PUT after one that arrived, and of proxies that gave up waiting.
DOUBTFUL_STATUSES = {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_TIMEOUT}
MIN_SERVER_ERROR = 500

USE_TUS = "upload it with tus, the default method, which sends chunks"
DEFAULT_TYPE = "application/octet-stream"


class Attempt(Struct, frozen=True, kw_only=True):
    """The outcome of one PUT.

    Attributes:
        reason: why it failed; None if the server accepted it.
        response: the response; None if it was lost.
        error: what happened instead of a response.
        sent: bytes that the socket accepted before the last slice.
        seconds: since its first byte.
        waited: the part of them since its last byte; None if that wasn't certainly sent.
        may_have_arrived: whether the server may have received all bytes.
    """

    reason: str | None
    response: Response | None = None
    error: NetworkError | DecodeError | None = None
    sent: int = 0
    seconds: float = 0.0
    waited: float | None = None
    may_have_arrived: bool = False

    @property
    def was_too_slow(self) -> bool:
        """Whether the server ended it because its bytes took too long."""
        if self.may_have_arrived:
            return False
        status = self.response.status if self.response else None
        is_timeout = status == HTTPStatus.REQUEST_TIMEOUT
        return self.seconds >= (MIN_SLOW_SECONDS if is_timeout else MAX_SECONDS)

    @property
    def is_doubtful(self) -> bool:
        """Whether the asset may be complete, because of this PUT or one before it."""
        status = self.response.status if self.response else None
        return status in DOUBTFUL_STATUSES or (status or MIN_SERVER_ERROR) >= MIN_SERVER_ERROR

    @property
    def request_id(self) -> str | None:
        """The `X-Request-ID` of the PUT."""
        source = self.response or self.error
        return source.request_id if source else None


class RateLimits:
    """The lengths that one PUT can have at the rate of the PUTs before it.

    Args:
        now: returns seconds on a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rate: float | None = None
        self._measured_at = -inf

    def record(self, count: int, seconds: float) -> None:
        """Record a PUT, of which `count` bytes took some seconds."""
        if count >= MEASURED_LENGTH and seconds > 0:
            self._rate, self._measured_at = count / seconds, self._now()

    def check(self, source: Source, *, max_rate: float | None) -> None:
        """Check the length of a source before its PUT.

        Raises:
            SourceTooLarge: it is longer than one PUT may be.
        """
        rate, reason = float(ASSUMED_RATE), "as assumed until a PUT is measured"
        if self._rate is not None and self._now() - self._measured_at < RATE_LIFETIME:
            rate, reason = self._rate, "as measured"
        if max_rate is not None and max_rate < rate:
            rate, reason = max_rate, "the limit of the client"
        if source.length > MAX_LENGTH:
            raise too_large(source, MAX_LENGTH, "S3 accepts at most {limit} in one PUT")
        if source.length > rate * MAX_SECONDS:
            raise too_slow(source, rate, reason)

    def check_pace(self, source: Source, sent: int, seconds: float) -> None:
        """Check during a PUT that it can end in time, once its rate is known.

        Raises:
            SourceTooLarge: at its rate so far, the server would end it before its last byte.
        """
        if seconds >= MEASURED_SECONDS and sent / seconds * MAX_SECONDS < source.length:
            if not source.is_stream:
                # The rate of a stream may be that of its own source.
                self.record(sent, seconds)
            raise too_slow(source, sent / seconds, "as measured")


class DirectUploads:
    """Sends the bytes of direct uploads for one client.

    Args:
        transport: sends the PUTs, without the API key.
        asset_requests: looks at assets.
        retry, clock: the retry policy, and time and jitter.
        sleep: waits before a request; `stop` takes effect in it.
        wait_to_retry: waits before a retry.
    """

    def __init__(
        self,
        transport: ThrottledTransport,
        asset_requests: AssetRequests,
        *,
        retry: RetryPolicy,
        clock: Clock,
        sleep: Callable[[Upload, float], Awaitable[None]],
        wait_to_retry: Callable[[Upload, float], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._asset_requests = asset_requests
        self._retry = retry
        self._sleep = sleep
        self._wait_to_retry = wait_to_retry
        self._clock = clock
        self._rates = RateLimits()

    def check(self, source: Source) -> None:
        """Check the length of a source, before an asset is requested and before each PUT.

        Raises:
            SourceTooLarge: it is longer than one PUT may be.
        """
        self._rates.check(source, max_rate=self._transport.max_rate)

    async def send(self, upload: Upload, url: Hidden[str]) -> None:
        """Send all bytes until the server has accepted them.

        Raises:
            SourceTooLarge: the PUT can't end within 300 s.
            SourceNotReplayable: the PUT of a stream broke.
            SourceError: the source can't be read, or changed.
            DecodeError: the ticket has no URL.
            UploadGone: the ticket can't be used any more.
            UploadRefused: the server sent a final error status.
            RetriesExhausted: too many attempts failed.
        """
        if not url.value:
            raise DecodeError("the ticket has no URL for a direct upload", path="$.url")
        issued_at, failures, may_have_arrived = self._clock.now(), 0, False
        while True:
            await self._sleep(upload, 0.0)
            if self._clock.now() - issued_at > MAX_TICKET_AGE:
                raise UploadGone("the ticket of the direct upload has expired")
            self.check(upload.source)
            attempt = await self._put(upload, url, failures)
            may_have_arrived |= attempt.may_have_arrived
            if attempt.reason is None or (
                may_have_arrived
                and attempt.is_doubtful
                and await self._has_arrived(upload, attempt)
            ):
                report_recovery(failures)
                upload.update_transfer(upload.length, 0)
                return
            upload.update_transfer(0, 0)
            failures += 1
            self._check_repeatable(upload.source, attempt)
            await self._back_off(upload, attempt, failures)

    async def _put(self, upload: Upload, url: Hidden[str], failures: int) -> Attempt:
        source = upload.source
        headers = {"Content-Type": media_type(source.name) or DEFAULT_TYPE}
        span = Span(0, source.length)
        request = Request(method="PUT", url=url.value, headers=headers, content=span)

        def on_sent(count: int) -> None:
            upload.update_transfer(0, count)
            source.release(count)
            if count < source.length and blocks.began_at is not None:
                self._rates.check_pace(source, count, time.monotonic() - blocks.began_at)

        reading = read_ahead(source, span, digest=upload.digest, on_sent=on_sent)
        async with reading as blocks:
            try:
                with start_request_span("chunk", request, failures) as trace:
                    response = await upload.lease.guarded(self._transport.send)(
                        request, blocks=blocks, largest=MAX_RESPONSE_SIZE
                    )
                    trace.record_status(response.status)
            except (NetworkError, DecodeError) as error:
                # DecodeError: a response too long for a bucket, such as the page of a proxy.
                return _attempt(source, blocks, describe_failure(error), error=error)
            attempt = _attempt(source, blocks, _describe_refusal(response), response=response)
            log_chunk("put", request, response, attempt.seconds)
            if attempt.reason is None and not source.is_stream:
                self._rates.record(source.length, attempt.seconds)
            return attempt

    async def _has_arrived(self, upload: Upload, attempt: Attempt) -> bool:
        """Look at the asset until it has left `uploading`, or the bytes can't arrive any more.

        A server that was slow to respond may still be storing them.
        """
        waited = (attempt.waited or 0.0) * self._clock.speed
        end = self._clock.now() + max(SETTLE_SECONDS, waited)
        looks = 0
        with Watch("the server may still be storing the bytes"):
            while not await self._asset_requests.is_uploaded(upload.asset.id):
                remaining = end - self._clock.now()
                if remaining <= 0:
                    return False
                looks += 1
                delay = backoff(looks, first_delay=FIRST_LOOK_SECONDS, max_delay=MAX_LOOK_SECONDS)
                await upload.sleep()
                await self._clock.sleep(min(delay, remaining))
        return True

    def _check_repeatable(self, source: Source, attempt: Attempt) -> None:
        """Check that a failed PUT may succeed if it is repeated."""
        response, reason = attempt.response, attempt.reason
        if attempt.was_too_slow:
            self._rates.record(attempt.sent, attempt.seconds)
            raise too_slow(source, attempt.sent / attempt.seconds, "as measured") from attempt.error
        if response is not None and response.status == HTTPStatus.NOT_FOUND:
            raise UploadGone(f"the asset of the direct upload is gone: {reason}")
        if response is not None and not response.is_transient:
            raise UploadRefused(f"{reason}", status=response.status, request_id=response.request_id)
        if not source.can_restart:
            error = SourceNotReplayable(
                f"the PUT of {source.name} failed ({reason}); wanted a source that can be sent "
                "again from its first byte, such as a file or bytes",
                source=source.name,
            )
            error.advice = "tus, the default method, repeats only the last chunk of a stream"
            raise error from attempt.error

    async def _back_off(self, upload: Upload, attempt: Attempt, failures: int) -> None:
        response = attempt.response
        retry_event = next_retry(
            self._retry,
            reason=attempt.reason or "",
            failures=failures,
            jitter=self._clock.random(),
            retry_after=response.retry_after if response else None,
            request_id=attempt.request_id,
            status=response.status if response else None,
        )
        if retry_event is None:
            raise RetriesExhausted(
                f"the direct upload failed {failures} times; the last: {attempt.reason}",
                attempts=failures,
                request_id=attempt.request_id,
            ) from attempt.error
        log_event(UPLOAD_RETRY, "direct upload: %s", retry_event, offset=0, **retry_event.facts)
        report_event(retry_event)
        await self._wait_to_retry(upload, retry_event.delay)


def media_type(name: str) -> str | None:
    """Return the type of a video or audio file by its name; None for any other.

    Studio's server doesn't store a body whose type is that of JSON, but parses it.
    """
    # The first call reads files, for which there may be no descriptor. Livepeer ignores the type.
    with suppress(OSError):
        found = mimetypes.guess_type(name)[0]
        if found and found.startswith(("video/", "audio/")):
            return found
    return None


def too_slow(source: Source, rate: float, reason: str) -> SourceTooLarge:
    """Return the error for a PUT that takes too long at a rate, in bytes per second."""
    limit = int(rate * MAX_SECONDS)
    # A server with a shorter limit than Studio's ended the PUT.
    limit = min(limit, source.length - 1)
    found = f"one PUT may take {MAX_SECONDS:.0f} s, which at {rate:,.0f} bytes/s, {reason}, "
    return too_large(source, limit, found + "allow {limit}")


def too_large(source: Source, limit: int, reason: str) -> SourceTooLarge:
    """Return the error for a source that doesn't fit into one PUT."""
    error = SourceTooLarge(
        f"{source.name} has {source.length:,} bytes: " + reason.format(limit=f"{limit:,} bytes"),
        source=source.name,
        length=source.length,
        limit=limit,
    )
    error.advice = USE_TUS
    return error


def _attempt(
    source: Source,
    blocks: SpanReader,
    reason: str | None,
    *,
    response: Response | None = None,
    error: NetworkError | DecodeError | None = None,
) -> Attempt:
    now, has_begun = time.monotonic(), blocks.began_at is not None
    # The slice that was being sent may have reached the server.
    is_last_slice = blocks.sent + blocks.slice_size >= source.length
    return Attempt(
        reason=reason,
        response=response,
        error=error,
        sent=blocks.sent,
        seconds=0.0 if blocks.began_at is None else now - blocks.began_at,
        waited=None if blocks.accepted_at is None else now - blocks.accepted_at,
        may_have_arrived=has_begun and is_last_slice,
    )


def _describe_refusal(response: Response) -> str | None:
    """Return what an error response says; None for a success."""
    if response.is_success:
        return None
    explanation = response.explain()
    said = f": {explanation}" if explanation else ""
    return f"{response.status} from {response.place}{said}"
