"""Downloads a file as a stream that survives broken connections, to upload it.

It yields the bytes of one version of the file, in order and once. A file without a strong validator
is read again from its beginning after each break, and its SHA-256 up to the break is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.concurrency import Clock
from livepeer_async.errors import (
    ConfigurationError,
    NetworkError,
    SourceChanged,
    SourceEmpty,
    SourceNotReadable,
)
from livepeer_async.http.messages import Request, file_name_from_url, origin_of
from livepeer_async.http.observers import (
    Observer,
    ignore_event,
    observe_requests,
    report_event,
    report_recovery,
)
from livepeer_async.http.recovery import Recovery
from livepeer_async.http.retry import RetryPolicy, describe_failure, next_retry
from livepeer_async.http.transport import Transport
from livepeer_async.redaction import hides_variables, redact_url
from livepeer_async.sources.byte_ranges import (
    DownloadState,
    Finished,
    Redirected,
    RetryLater,
    UseBody,
    follow,
    interpret_response,
    range_headers,
)
from livepeer_async.sources.source import UNNAMED
from livepeer_async.telemetry.events import DOWNLOAD_RETRY, log_event

MAX_REDIRECTS = 5


class Download(Struct, frozen=True, kw_only=True):
    """A file on the web that is being read.

    Attributes:
        name: the last part of the URL's path, decoded, or the host.
        length: bytes; `None` if the server doesn't announce it.
        blocks: the bytes; they can be read once, within the block of `Downloader.open`.
    """

    name: str
    length: int | None
    blocks: AsyncIterator[bytes]


class Downloader:
    """Downloads files.

    Args:
        transport: sends the requests.
        retry: when to retry; failures are counted since the last new byte.
        clock: time and randomness.
        recovery: ends the delay before a retry when the server recovers.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        retry: RetryPolicy,
        clock: Clock | None = None,
        recovery: Recovery | None = None,
    ) -> None:
        self._transport = transport
        self._retry = retry
        self._clock = clock or Clock()
        self._recovery = recovery

    @asynccontextmanager
    async def open(
        self, url: str, *, observer: Observer = ignore_event
    ) -> AsyncGenerator[Download, None]:
        """Request a file and open the response; its blocks raise the same errors.

        At most `MAX_REDIRECTS` redirects are followed, none from https to http. Neither the API key
        nor defaults of the caller's HTTP client are sent.

        Args:
            url: an http or https URL; userinfo in it is sent to its host.
            observer: called with the events of the requests until the first response.

        Raises:
            SourceNotReadable: the server refuses the request, the response is compressed or has no
                detectable end, or the retries are used up.
            SourceEmpty: the file has no bytes.
            SourceChanged: the file has changed since its first byte was read.
            ConfigurationError: the URL can't be requested, or the client is closed.
        """
        body = _ResumableBody(
            url, self._transport, self._retry, self._clock, recovery=self._recovery
        )
        # Tracebacks may show local variables.
        del url
        try:
            with observe_requests(observer):
                length = await body.start()
            if length == 0:
                raise SourceEmpty(f"{body.name} is empty; wanted a video", source=body.name)
            yield Download(name=body.name, length=length, blocks=body)
        finally:
            await body.aclose()


class _ResumableBody:
    """The bytes of a file, from as many responses as needed.

    Not a generator, which a cancelled `anext` would end: this continues with the next response.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        retry: RetryPolicy,
        clock: Clock,
        *,
        recovery: Recovery | None,
    ) -> None:
        self._recovery = recovery
        self.name = file_name_from_url(url) or UNNAMED
        self._url = url
        self._transport = transport
        self._retry = retry
        self._clock = clock
        self._state = DownloadState(source=redact_url(url))
        self._failures = 0
        self._is_complete = False
        self._is_closed = False
        # Of the current response.
        self._response = AsyncExitStack()
        self._body: AsyncIterator[bytes] | None = None
        self._skip = 0
        self._stop: int | None = None
        # Of the bytes that were yielded and of those that are skipped, without a validator.
        self._yielded = hashlib.sha256()
        self._skipped = hashlib.sha256()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._is_complete:
            if block := await self._advance():
                return block
        raise StopAsyncIteration

    async def start(self) -> int | None:
        """Wait for the first usable response and return the length that it announces."""
        while self._state.version is None:
            await self._advance()
        report_recovery(self._failures)
        return self._state.version.length

    async def aclose(self) -> None:
        """Close the connection; nothing can be read afterwards."""
        self._is_closed = True
        await self._drop_response()

    async def _advance(self) -> bytes:
        """Send a request, or read a block, or wait; return the bytes that are new, if any."""
        if self._is_closed:
            raise ConfigurationError(f"{self.name} was closed; read it within its `async with`")
        cause: NetworkError | None = None
        try:
            outcome = await (self._request() if self._body is None else self._read(self._body))
        except NetworkError as error:
            cause = error
            outcome = RetryLater(reason=describe_failure(error), request_id=error.request_id)
        except BaseException:
            # The body of a cancelled read would look like one that is exhausted.
            await self._drop_response()
            raise
        if isinstance(outcome, RetryLater):
            await self._drop_response()
            await self._retry_or_fail(outcome, cause)
            return b""
        return outcome

    @hides_variables
    async def _request(self) -> bytes | RetryLater:
        url = self._url
        secrets: tuple[str, ...] = ()
        for _ in range(1 + MAX_REDIRECTS):
            headers = {"Accept-Encoding": "identity", **range_headers(self._state)}
            request = Request(method="GET", url=url, headers=headers, other_secrets=secrets)
            response = await self._response.enter_async_context(self._transport.stream(request))
            outcome = interpret_response(
                response.head, self._state, is_delimited=response.is_delimited
            )
            match outcome:
                case Redirected(location):
                    await self._drop_response()
                    url = follow(request, location, source=self._state.source)
                    secrets = request.secrets
                case UseBody(version=version, skip=skip, stop=stop):
                    self._body, self._skip, self._stop = response.body, skip, stop
                    self._state = replace(self._state, version=version)
                    self._skipped = hashlib.sha256()
                    return b""
                case Finished():
                    self._is_complete = True
                    return b""
                case RetryLater():
                    return outcome
        raise self._unreadable(f"more than {MAX_REDIRECTS} redirects (GET {self._state.source})")

    async def _read(self, body: AsyncIterator[bytes]) -> bytes | RetryLater:
        block = await anext(body, None)
        if block is None:
            return self._end()
        if self._skip:
            block = self._skip_known(block)
        position = self._state.position + len(block)
        if self._stop is not None and position > self._stop:
            raise self._changed(f"it has more than the {self._stop} bytes that were announced")
        if block:
            self._state = replace(self._state, position=position)
            report_recovery(self._failures)
            self._failures = 0
            if not self._has_validator:
                self._yielded.update(block)
        return block

    def _skip_known(self, block: bytes) -> bytes:
        """Return the part of a block that is new; compare the skipped bytes at their end."""
        skipped, new = block[: self._skip], block[self._skip :]
        self._skip -= len(skipped)
        if not self._has_validator:
            self._skipped.update(skipped)
            if not self._skip and self._skipped.digest() != self._yielded.digest():
                raise self._changed("it begins with other bytes")
        return new

    def _end(self) -> bytes | RetryLater:
        if self._skip:
            raise self._changed("it is shorter than the bytes already read")
        length, position = self._length, self._state.position
        if length not in {None, position}:
            end = f"byte {position} of {length}"
            return RetryLater(reason=f"the response ended at {end} (GET {self._state.source})")
        self._is_complete = True
        return b""

    async def _retry_or_fail(self, later: RetryLater, cause: NetworkError | None) -> None:
        if self._state.position == self._length:
            # Only the end of the response was lost.
            self._is_complete = True
            return
        self._failures += 1
        event = next_retry(
            self._retry,
            reason=later.reason,
            failures=self._failures,
            jitter=self._clock.random(),
            retry_after=later.retry_after,
            request_id=later.request_id,
        )
        if event is None:
            rest = f"{self._state.source} from byte {self._state.position} on"
            raise self._unreadable(f"can't read {rest}: {later.reason}") from cause
        log_event(DOWNLOAD_RETRY, "%s", event, offset=self._state.position, **event.facts)
        report_event(event)
        if self._recovery is None:
            await self._clock.sleep(event.delay)
        else:
            await self._recovery.wait(origin_of(self._url), event.delay)

    async def _drop_response(self) -> None:
        self._body = None
        await self._response.aclose()

    @property
    def _length(self) -> int | None:
        return self._state.version.length if self._state.version else None

    @property
    def _has_validator(self) -> bool:
        return self._state.version is not None and self._state.version.validator is not None

    def _unreadable(self, message: str) -> SourceNotReadable:
        return SourceNotReadable(message, source=self._state.source)

    def _changed(self, reason: str) -> SourceChanged:
        source, position = self._state.source, self._state.position
        message = f"{source} changed while it was read, at byte {position}: {reason}"
        return SourceChanged(message, source=source)
