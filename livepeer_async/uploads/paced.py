"""The transport, held to a budget: all requests wait their turn, all bytes wait theirs.

In comes what `Transport.send` takes; out comes its answer, which the budget has seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from http import HTTPStatus

from livepeer_async.errors import TimedOut
from livepeer_async.messages import Request, Response, retry_after
from livepeer_async.transport import LARGEST_ANSWER, Transport
from livepeer_async.uploads.budget import Budget

BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Paced:
    """Sends through a transport as the budget allows.

    Args:
        transport: carries the requests.
        budget: says when.
    """

    def __init__(self, transport: Transport, budget: Budget) -> None:
        self._transport = transport
        self._budget = budget

    async def send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = LARGEST_ANSWER,
    ) -> Response:
        """Send a request once it may go; arguments and errors as `Transport.send`."""
        budget = self._budget
        is_probe = await budget.turn()
        metered = None if blocks is None else _Metered(blocks, budget)
        budget.sends()
        try:
            response = await self._transport.send(request, blocks=metered, largest=largest)
        except BaseException as error:
            if isinstance(error, TimedOut):
                budget.trouble()
            if is_probe:
                budget.probe_lost()
            raise
        finally:
            budget.has_sent()
        if response.status in BUSY:
            is_queue_full = response.status == HTTPStatus.TOO_MANY_REQUESTS
            budget.busy(retry_after(response), is_queue_full=is_queue_full)
        else:
            budget.well()
        return response


class _Metered:
    """Pass blocks on when their bytes may go.

    A class and not a generator, so that an interrupted request leaves nothing suspended.
    """

    def __init__(self, blocks: AsyncIterable[bytes | memoryview], budget: Budget) -> None:
        self._blocks = aiter(blocks)
        self._budget = budget

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        piece = await anext(self._blocks)
        await self._budget.take(len(piece))
        return piece
