"""An HTTP exchange: one request and its response, with the connection and the log entry.

The middleware puts it into the ASGI scope, from which the routes read it.
"""

from starlette.requests import Request

from livepeer_async.sandbox.connection import CONNECTION, App, Connection, Receive, Scope, Send
from livepeer_async.sandbox.request_log import SeenRequest

EXCHANGE = "sandbox.exchange"


class Exchange:
    """A request on its way through the server.

    Attributes:
        entry: the request's entry in the log.
        connection: the connection it came on.
        path: the path as sent, still percent-encoded.
        query: the query as sent.
        is_response_dropped: whether a fault discards the response.
    """

    def __init__(
        self, app: App, scope: Scope, receive: Receive, send: Send, *, entry: SeenRequest
    ) -> None:
        self.entry = entry
        self.connection: Connection = scope[CONNECTION]
        self.path: str = scope["raw_path"].decode("latin-1")
        self.query: str = scope["query_string"].decode("latin-1")
        self.is_response_dropped = False
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        scope[EXCHANGE] = self

    @property
    def is_response_lost(self) -> bool:
        """Whether a fault discards the response, or the client has disconnected."""
        return self.is_response_dropped or self.connection.is_peer_gone()

    async def forward(self, *, receive: Receive | None = None, send: Send | None = None) -> None:
        """Let the application serve the request, with one or both callables replaced."""
        await self._app(self._scope, receive or self.receive, send or self.send)

    async def receive(self) -> Scope:
        """Read a part of the body and count its bytes."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.entry.received += len(message.get("body", b""))
        return message

    async def send(self, message: Scope) -> None:
        """Send a part of the response, unless the connection is closed, and log the status."""
        if self.connection.is_closed:
            return
        if message["type"] == "http.response.start":
            self.entry.status = message["status"]
        await self._send(message)


def get_exchange(request: Request) -> Exchange:
    """Return the exchange of a request."""
    exchange: Exchange = request.scope[EXCHANGE]
    return exchange
