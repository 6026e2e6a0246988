"""Sends requests that write an upload only while the claim on it certainly holds.

A claim in a file lasts as long as its process. One on PostgreSQL may be lost with its session, and
then another process may write the upload: a request is stopped, and the next one waits until the
claim holds again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from contextlib import suppress
from typing import Protocol

import anyio

from livepeer_async.errors import ConnectionBroken
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.streams import ThreadBody, thread_body_of
from livepeer_async.http.transport import MAX_RESPONSE_SIZE
from livepeer_async.journal.journal import Journal

Blocks = AsyncIterable[bytes | memoryview]


class Send(Protocol):
    """Sends a request, as `Transport.send` does."""

    def __call__(
        self, request: Request, *, blocks: Blocks | None = None, largest: int = MAX_RESPONSE_SIZE
    ) -> Awaitable[Response]:
        """Send a request with `blocks` as its body."""
        ...


class Guard:
    """Sends the requests of one upload while its claim holds.

    Args:
        journal: has the claim.
        key: of the upload.
        send: sends requests.
    """

    def __init__(self, journal: Journal, key: str, send: Send) -> None:
        self._journal = journal
        self._key = key
        self._send = send

    async def send(
        self, request: Request, *, blocks: Blocks | None = None, largest: int = MAX_RESPONSE_SIZE
    ) -> Response:
        """Wait until the claim holds, then send; raises the errors of `Transport.send` as well.

        Raises:
            UploadInUse: another process has taken the claim over.
            JournalUnavailable: the journal's database doesn't respond.
            ConnectionBroken: the claim was lost while the request was sent.
        """
        await self._journal.wait_for_claim(self._key)
        loop, scope = asyncio.get_running_loop(), anyio.CancelScope()

        def stop() -> None:
            # The loop may have been closed meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(scope.cancel)

        with self._journal.watch_claims(stop), scope:
            if not self._journal.holds_claims:
                raise _stopped(request)
            body = None if blocks is None else _GuardedBody(blocks, self._journal, request)
            return await self._send(request, blocks=body, largest=largest)
        raise _stopped(request)


class _GuardedBody:
    """A request body that ends with an error once the claim doesn't certainly hold.

    Not a generator, so that an interrupted request leaves nothing suspended.
    """

    def __init__(self, blocks: Blocks, journal: Journal, request: Request) -> None:
        self._blocks = aiter(blocks)
        self._journal = journal
        self._request = request

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        block = await anext(self._blocks)
        self.check()
        return block

    def check(self) -> None:
        """Check that the claim holds, also after the machine has slept."""
        if not self._journal.holds_claims:
            raise _stopped(self._request)

    def in_thread(self) -> ThreadBody | None:
        body = thread_body_of(self._blocks)
        return None if body is None else _GuardedThreadBody(body, self)


class _GuardedThreadBody:
    """The same for a worker thread."""

    def __init__(self, body: ThreadBody, guarded: _GuardedBody) -> None:
        self._body = body
        self._guarded = guarded

    def read(self, size: int) -> memoryview:
        self.check()
        return self._body.read(size)

    def check(self) -> None:
        self._guarded.check()
        self._body.check()

    def record_sent(self, count: int) -> None:
        self._body.record_sent(count)

    def record_end(self) -> None:
        self._body.record_end()


def _stopped(request: Request) -> ConnectionBroken:
    return ConnectionBroken(
        f"stopped, because the journal's database can't be reached ({request.place})"
    )
