"""Downloads a file as a stream that can be uploaded, however often its connection breaks.

It yields the bytes of one version of the file, in order and once.

A file without a strong validator is read from its beginning after each break. It goes on if that
beginning has the SHA-256 of the bytes already given, which are then bytes of the later response.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

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
from livepeer_async.http.messages import Request, file_name_from_url
from livepeer_async.http.retry import RetryEvent, RetryPolicy, next_delay
from livepeer_async.http.transport import Transport
from livepeer_async.redaction import redact_url
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

MOST_REDIRECTS = 5

_log = logging.getLogger("livepeer_async")


class Download(Struct, frozen=True, kw_only=True):
    """A file on the web that is being read.

    Attributes:
        name: the last part of the URL's path, decoded, or the host.
        length: bytes; `None` where the server doesn't say.
        pieces: the bytes; they can be read once, within the block of `Downloads.open`.
    """

    name: str
    length: int | None
    blocks: AsyncIterator[bytes]


class Downloader:
    """Opens files on the web.

    Args:
        transport: carries the requests.
        retry: when to ask again; setbacks are counted since the last byte that was new.
        clock: time and randomness.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        retry: RetryPolicy,
        clock: Clock | None = None,
    ) -> None:
        self._transport = transport
        self._retry = retry
        self._clock = clock or Clock()

    def open(self, url: str) -> AbstractAsyncContextManager[Download]:
        """Ask for a file and open what is answered; its pieces raise what is listed here, too.

        At most `MOST_REDIRECTS` redirects are followed, and none from https to http. Neither a key
        nor anything else of a client that was handed in is sent.

        Args:
            url: an http or https URL; a user and a password in it go to its host.

        Raises:
            SourceNotReadable: the server refuses it, or gives it compressed or without an end that
                can be told from a broken connection, or it couldn't be read any further for as
                long as the policy says.
            SourceEmpty: it has no bytes.
            SourceChanged: it isn't what it was when the first byte was read.
            ConfigurationError: the URL is none that can be asked, or the client is closed.
        """
        return self._open(url)

    @asynccontextmanager
    async def _open(self, url: str) -> AsyncGenerator[Download, None]:
        pieces = _ResumableBody(url, self._transport, self._back_off)
        try:
            length = await pieces.begin()
            if length == 0:
                raise SourceEmpty(f"{pieces.name} is empty; a video has bytes", source=pieces.name)
            yield Download(name=pieces.name, length=length, blocks=pieces)
        finally:
            await pieces.aclose()

    async def _back_off(self, later: RetryLater, failures: int) -> bool:
        """Wait before the next attempt, or say that there is none."""
        delay = next_delay(
            self._retry,
            failures=failures,
            jitter=self._clock.random(),
            retry_after=later.retry_after,
        )
        if delay is None:
            return False
        attempts = self._retry.attempts
        retry_event = RetryEvent(
            reason=later.reason, attempt=failures, attempts=attempts, delay=delay
        )
        _log.warning("%s", retry_event)
        await self._clock.sleep(delay)
        return True


class _ResumableBody:
    """The bytes of a file, from as many answers as it takes.

    A class and not a generator: one that was left by a cancellation looks like one that has ended,
    whereas this goes on with the next answer.
    """

    def __init__(
        self, url: str, transport: Transport, back_off: Callable[[RetryLater, int], Awaitable[bool]]
    ) -> None:
        self.name = file_name_from_url(url) or UNNAMED
        self._url = url
        self._transport = transport
        self._back_off = back_off
        self._standing = DownloadState(source=redact_url(url))
        self._failures = 0
        self._is_whole = False
        self._is_closed = False
        # Of the answer that is being read.
        self._answer = AsyncExitStack()
        self._body: AsyncIterator[bytes] | None = None
        self._skip = 0
        self._stop: int | None = None
        # Of the bytes that were given, and of those that are skipped; where nothing else tells
        # versions of the file apart.
        self._given = hashlib.sha256()
        self._skipped = hashlib.sha256()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._is_whole:
            if piece := await self._advance():
                return piece
        raise StopAsyncIteration

    async def begin(self) -> int | None:
        """Wait for the first answer that can be read; give the length that it announces."""
        while self._standing.known is None:
            await self._advance()
        return self._standing.known.length

    async def aclose(self) -> None:
        """Close the connection; nothing can be read afterwards."""
        self._is_closed = True
        await self._drop()

    async def _advance(self) -> bytes:
        """Ask, or read a piece, or wait; give the bytes that are new, if there are any."""
        if self._is_closed:
            raise ConfigurationError(f"{self.name} was closed; read it within its `async with`")
        cause: NetworkError | None = None
        try:
            outcome = await (self._ask() if self._body is None else self._read(self._body))
        except NetworkError as error:
            outcome, cause = RetryLater(reason=str(error)), error
        except BaseException:
            # A body that was left by a cancellation would look like one that has ended.
            await self._drop()
            raise
        if isinstance(outcome, RetryLater):
            await self._drop()
            await self._bear(outcome, cause)
            return b""
        return outcome

    async def _ask(self) -> bytes | RetryLater:
        url = self._url
        secrets: tuple[str, ...] = ()
        for _ in range(1 + MOST_REDIRECTS):
            headers = {"Accept-Encoding": "identity", **range_headers(self._standing)}
            request = Request(method="GET", url=url, headers=headers, other_secrets=secrets)
            answer = await self._answer.enter_async_context(self._transport.stream(request))
            verdict = interpret_response(
                answer.head, self._standing, is_delimited=answer.is_delimited
            )
            match verdict:
                case Redirected(location):
                    await self._drop()
                    url = follow(request, location, source=self._standing.source)
                    secrets = request.secrets
                case UseBody():
                    self._begin_body(verdict, answer.body)
                    return b""
                case Finished():
                    self._is_whole = True
                    return b""
                case RetryLater():
                    return verdict
        raise self._unreadable(
            f"more than {MOST_REDIRECTS} redirects (GET {self._standing.source})"
        )

    def _begin_body(self, found: UseBody, body: AsyncIterator[bytes]) -> None:
        self._body, self._skip, self._stop = body, found.skip, found.stop
        self._standing = replace(self._standing, known=found.known)
        self._skipped = hashlib.sha256()

    async def _read(self, body: AsyncIterator[bytes]) -> bytes | RetryLater:
        piece = await anext(body, None)
        if piece is None:
            return self._end()
        if self._skip:
            piece = self._skip_in(piece)
        position = self._standing.position + len(piece)
        if self._stop is not None and position > self._stop:
            raise self._changed(f"it has more than the {self._stop} bytes that were announced")
        if piece:
            self._standing = replace(self._standing, position=position)
            self._failures = 0
            if not self._has_validator:
                self._given.update(piece)
        return piece

    def _skip_in(self, piece: bytes) -> bytes:
        """Leave out what was given already, once it is clear that it is the same."""
        skipped, new = piece[: self._skip], piece[self._skip :]
        self._skip -= len(skipped)
        if not self._has_validator:
            self._skipped.update(skipped)
            if not self._skip and self._skipped.digest() != self._given.digest():
                raise self._changed("it begins with other bytes")
        return new

    def _end(self) -> bytes | RetryLater:
        if self._skip:
            raise self._changed("it is shorter than what was given of it")
        if self._length is not None and not self._has_all:
            place = f"byte {self._standing.position} of {self._length}"
            return RetryLater(reason=f"the answer ended at {place} (GET {self._standing.source})")
        self._is_whole = True
        return b""

    async def _bear(self, later: RetryLater, cause: NetworkError | None) -> None:
        """Wait after a setback, unless nothing was missing but the end of the answer."""
        if self._has_all:
            self._is_whole = True
            return
        self._failures += 1
        if not await self._back_off(later, self._failures):
            place = f"{self._standing.source} from byte {self._standing.position} on"
            raise self._unreadable(f"can't read {place}: {later.reason}") from cause

    async def _drop(self) -> None:
        self._body = None
        await self._answer.aclose()

    @property
    def _length(self) -> int | None:
        return self._standing.known.length if self._standing.known else None

    @property
    def _has_all(self) -> bool:
        return self._standing.position == self._length

    @property
    def _has_validator(self) -> bool:
        return self._standing.known is not None and self._standing.known.validator is not None

    def _unreadable(self, message: str) -> SourceNotReadable:
        return SourceNotReadable(message, source=self._standing.source)

    def _changed(self, how: str) -> SourceChanged:
        source, position = self._standing.source, self._standing.position
        message = f"{source} changed while it was read, at byte {position}: {how}"
        return SourceChanged(message, source=source)
