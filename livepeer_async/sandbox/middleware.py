"""Middleware around every route: Express's headers, CORS, and authentication."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from livepeer_async.sandbox.accounts import Accounts, User
from livepeer_async.sandbox.connection import CONNECTION, App, Connection, Receive, Scope, Send
from livepeer_async.sandbox.exchange import EXCHANGE, Exchange
from livepeer_async.sandbox.fault_injection import Passage, interfere
from livepeer_async.sandbox.faults import RequestAction
from livepeer_async.sandbox.request_log import SeenRequest, hide_token, read_target, show_headers
from livepeer_async.sandbox.responses import StudioError, answer_error
from livepeer_async.sandbox.rules import find_broken_rules
from livepeer_async.sandbox.state import Studio

USER = "sandbox.user"

CORS_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE"


class Gate:
    """The layer between the log and the routes."""

    def __init__(self, app: App, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        request = Request(scope)
        decorated = _decorate(request, send)
        if request.method == "OPTIONS":
            await _answer_preflight(request)(scope, receive, decorated)
            return
        try:
            scope[USER] = self._identify(request)
        except StudioError as error:
            await answer_error(request, error)(scope, receive, decorated)
            return
        await self._app(scope, receive, decorated)

    def _identify(self, request: Request) -> User | None:
        user = self._accounts.authenticate(request.headers.get("authorization"))
        if user is not None and "projectId" in parse_qs(request.url.query):
            raise StudioError(400, "projectId as query param not supported")
        return user


def user_of(request: Request) -> User:
    """Return who asks.

    Raises:
        StudioError: Nobody whom the server knows.
    """
    user: User | None = request.scope[USER]
    if user is None:
        raise StudioError(401, "request is not authenticated")
    return user


def _answer_preflight(request: Request) -> Response:
    """Answer OPTIONS: the CORS layer does, so that tus' own never comes."""
    headers = {
        "vary": "Authorization, Origin, Access-Control-Request-Headers",
        "access-control-allow-methods": CORS_METHODS,
        "content-length": "0",
    }
    wanted = request.headers.get("access-control-request-headers")
    if wanted:
        headers["access-control-allow-headers"] = wanted
    return Response(status_code=204, headers=headers)


def _decorate(request: Request, send: Send) -> Send:
    """Add the headers of every answer; one that a route sets itself stays."""
    origin = request.headers.get("origin")

    async def decorating(message: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("x-powered-by", "Express")
            headers.setdefault("vary", "Authorization, Origin")
            if origin:
                headers.setdefault("access-control-allow-origin", origin)
            headers.setdefault("access-control-allow-credentials", "true")
            headers.setdefault("access-control-expose-headers", "*")
            if request.headers.get("connection", "").lower() != "close":
                headers.setdefault("connection", "keep-alive")
                headers.setdefault("keep-alive", "timeout=5")
        await send(message)

    return decorating


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
