"""One request and its answer on their way through the server.

An `Exchange` is what the outer rooms (log, faults) and the inner ones (tus, direct upload) know
of each other: it stands in the ASGI scope.
"""

from collections.abc import Callable

from starlette.requests import Request

from livepeer_async.sandbox.connection import Connection, Receive, Scope, Send
from livepeer_async.sandbox.request_log import SeenRequest

EXCHANGE = "sandbox.exchange"


class Exchange:
    """A request, its connection and its entry in the log.

    Attributes:
        seen: The entry in the log.
        connection: Where it came in.
        is_answer_lost: Whether the client will not see the answer, as far as is known.
    """

    def __init__(self, seen: SeenRequest, connection: Connection) -> None:
        self.seen = seen
        self.connection = connection
        self._is_answer_doomed = False

    @property
    def is_answer_lost(self) -> bool:
        """Whether a fault will swallow the answer, or the client has hung up."""
        return self._is_answer_doomed or self.connection.has_lost_its_peer()

    def doom_answer(self) -> None:
        """Take note that a fault will swallow the answer."""
        self._is_answer_doomed = True

    def count_received(self, receive: Receive, on_complete: Callable[[], None]) -> Receive:
        """Count the bytes of the body, and tell when it is complete."""

        async def counting() -> Scope:
            message = await receive()
            if message["type"] == "http.request":
                self.seen.received += len(message.get("body", b""))
                if not message.get("more_body", False):
                    on_complete()
            return message

        return counting

    def note_status(self, send: Send) -> Send:
        """Log the status of an answer that really leaves."""

        async def noting(message: Scope) -> None:
            if self.connection.is_gone:
                return
            if message["type"] == "http.response.start":
                self.seen.status = message["status"]
            await send(message)

        return noting


def exchange_of(request: Request) -> Exchange:
    """Return the exchange that a request belongs to."""
    exchange: Exchange = request.scope[EXCHANGE]
    return exchange
