"""The outermost room: every request is logged and judged, and meets its fault, here."""

import asyncio

from livepeer_async.sandbox.connection import CONNECTION, App, Connection, Receive, Scope, Send
from livepeer_async.sandbox.exchange import EXCHANGE, Exchange
from livepeer_async.sandbox.faults import RequestAction
from livepeer_async.sandbox.interference import Passage, interfere
from livepeer_async.sandbox.rules import find_broken_rules
from livepeer_async.sandbox.studio import Studio
from livepeer_async.sandbox.watch import SeenRequest, hide_token, read_target, show_headers


class Front:
    """The ASGI application that uvicorn runs: the server in `app`, seen from outside."""

    def __init__(self, app: App, studio: Studio) -> None:
        self._app = app
        self._studio = studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        connection: Connection = scope[CONNECTION]
        exchange = Exchange(self._note(scope, connection), connection)
        scope[EXCHANGE] = exchange
        connection.continue_early()
        seconds = self._studio.settings.request_seconds
        deadline = asyncio.get_running_loop().call_later(seconds, connection.time_out)
        receive = exchange.count_received(receive, deadline.cancel)
        try:
            await self._serve(exchange, scope, receive, exchange.note_status(send))
        except Exception as error:  # noqa: BLE001 - raised to whoever leaves the sandbox
            self._studio.errors.append(error)
        finally:
            deadline.cancel()
            exchange.seen.is_over = True

    def _note(self, scope: Scope, connection: Connection) -> SeenRequest:
        path, query = read_target(scope)
        names = {name.lower() for name, _ in scope["headers"]}
        seen = SeenRequest(
            at=self._studio.now(),
            method=scope["method"],
            path=hide_token(path, query),
            headers=show_headers(scope["headers"]),
            is_authorized=b"authorization" in names,
            connection=connection.number,
        )
        self._studio.watch.note(seen)
        for rule in find_broken_rules(seen):
            self._studio.watch.accuse(rule, seen)
        return seen

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        action = self._draw(exchange.seen, scope)
        if action is None:
            await self._app(scope, receive, send)
            return
        exchange.seen.fault = type(action).__name__
        await interfere(action, exchange, Passage(self._app, scope, receive, send))

    def _draw(self, seen: SeenRequest, scope: Scope) -> RequestAction | None:
        path, query = read_target(scope)
        method = seen.headers.get("x-http-method-override", seen.method).upper()
        return self._studio.faults.draw_for_request(
            method, path, lambda: self._studio.find_asset_name(path, query)
        )
