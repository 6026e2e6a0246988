"""Transport wrapper that applies the rate limit and back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from http import HTTPStatus

from livepeer_async.errors import NetworkError, TimedOut
from livepeer_async.http.loops import await_in_loop
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.observers import Watch
from livepeer_async.http.recovery import Recovery
from livepeer_async.http.streams import ThreadBody, thread_body_of
from livepeer_async.http.transport import MAX_RESPONSE_SIZE, Transport
from livepeer_async.scheduling.throttle import Throttle

# Seconds of the rate limit, and minimum bytes, that a worker thread sends at once.
BLOCK_SECONDS = 0.25
MIN_BLOCK = 16 * 1024
PAUSED = "paused: the server is busy or its queue is full,"


class ThrottledTransport:
    """Transport wrapper that applies a throttle.

    Args:
        transport: sends the requests.
        throttle: delays them.
    """

    def __init__(self, transport: Transport, throttle: Throttle) -> None:
        self._transport = transport
        self._throttle = throttle

    @property
    def recovery(self) -> Recovery:
        """Knows which servers respond again after an outage."""
        return self._transport.recovery

    @property
    def max_rate(self) -> float | None:
        """Maximum bytes per second of the client's uploads; `None` for no limit."""
        return self._throttle.rate_share

    async def wait_while_paused(self) -> None:
        """Wait while all requests are paused."""
        if self._throttle.is_paused:
            with Watch(PAUSED):
                await self._throttle.wait_while_paused()

    async def send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_RESPONSE_SIZE,
    ) -> Response:
        """Wait for the throttle, then send; arguments and errors are those of `Transport.send`."""
        throttle = self._throttle
        is_probe = False
        if throttle.is_paused:
            with Watch(PAUSED):
                is_probe = await throttle.wait_or_probe()
        body = None if blocks is None else _ThrottledBody(blocks, throttle)
        throttle.request_started()
        try:
            response = await self._transport.send(request, blocks=body, largest=largest)
        except BaseException as error:
            if isinstance(error, TimedOut):
                throttle.record_stall()
            if isinstance(error, NetworkError):
                throttle.record_failure()
            if is_probe:
                throttle.release_probe()
            raise
        finally:
            throttle.request_finished()
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            throttle.record_failure()
        else:
            throttle.record_response()
        if response.is_overload:
            is_queue_full = response.status == HTTPStatus.TOO_MANY_REQUESTS
            throttle.record_overload(response.retry_after, is_queue_full=is_queue_full)
        else:
            throttle.record_success()
        return response


class UnpausedTransport:
    """Sends requests even while the throttle pauses all others: checks and deletions.

    Args:
        transport: sends the requests.
        throttle: learns from each response that the server responds.
    """

    def __init__(self, transport: Transport, throttle: Throttle) -> None:
        self._transport = transport
        self._throttle = throttle

    async def send(self, request: Request) -> Response:
        """Send a request and read its response; raises the errors of `Transport.send`."""
        response = await self._transport.send(request)
        if response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._throttle.record_response()
        return response


class _ThrottledBody:
    """Blocks of a request body, each once the rate limit allows it.

    Not a generator, so that an interrupted request leaves nothing suspended.
    """

    def __init__(self, blocks: AsyncIterable[bytes | memoryview], throttle: Throttle) -> None:
        self._blocks = aiter(blocks)
        self._throttle = throttle

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        block = await anext(self._blocks)
        await self._throttle.consume(len(block))
        # The machine may have slept meanwhile.
        if (check := getattr(self._blocks, "check", None)) is not None:
            check()
        return block

    def in_thread(self) -> ThreadBody | None:
        body = thread_body_of(self._blocks)
        return None if body is None else _ThrottledThreadBody(body, self._throttle)


class _ThrottledThreadBody:
    """A body for a worker thread, each block of which waits for the rate limit."""

    def __init__(self, body: ThreadBody, throttle: Throttle) -> None:
        self._body = body
        self._throttle = throttle
        self._loop = asyncio.get_running_loop()
        self._sent = 0

    def read(self, size: int) -> memoryview:
        rate = self._throttle.rate_share
        if rate is None:
            return self._body.read(size)
        block = self._body.read(min(size, max(MIN_BLOCK, int(rate * BLOCK_SECONDS))))
        if block:
            await_in_loop(self._loop, partial(self._throttle.wait_for_rate, len(block)))
        return block

    def check(self) -> None:
        self._body.check()

    def record_sent(self, count: int) -> None:
        if count != self._sent:
            self._throttle.record_sent(count - self._sent)
            self._sent = count
        self._body.record_sent(count)

    def record_end(self) -> None:
        self._body.record_end()
