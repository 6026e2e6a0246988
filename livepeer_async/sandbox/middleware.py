"""Middleware around every route: log and faults, Express's headers, CORS, and authentication."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from livepeer_async.sandbox.accounts import Accounts, User
from livepeer_async.sandbox.connection import CONNECTION, App, Connection, Receive, Scope, Send
from livepeer_async.sandbox.exchange import Exchange
from livepeer_async.sandbox.fault_injection import inject_fault
from livepeer_async.sandbox.request_log import SeenRequest, redact_target, select_headers
from livepeer_async.sandbox.responses import ApiError, make_error_response
from livepeer_async.sandbox.state import ServerState

USER = "sandbox.user"

CORS_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE"


class FaultMiddleware:
    """The outer layer: logs requests, limits their time and injects faults."""

    def __init__(self, app: App, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        connection: Connection = scope[CONNECTION]
        connection.send_continue()
        seconds = self._state.settings.request_seconds
        deadline = asyncio.get_running_loop().call_later(seconds, connection.time_out)

        async def receive_in_time() -> Scope:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                deadline.cancel()
            return message

        entry = self._make_entry(scope, connection)
        self._state.log.add(entry)
        try:
            await self._serve(Exchange(self._app, scope, receive_in_time, send, entry=entry))
        except Exception as error:  # noqa: BLE001 - raised when the sandbox is left
            self._state.errors.append(error)
        finally:
            deadline.cancel()
            entry.is_over = True

    def _make_entry(self, scope: Scope, connection: Connection) -> SeenRequest:
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        return SeenRequest(
            at=self._state.now(),
            method=scope["method"],
            path=redact_target(path, query),
            headers=select_headers(scope["headers"]),
            is_authorized=any(name.lower() == b"authorization" for name, _ in scope["headers"]),
            connection=connection.number,
        )

    async def _serve(self, exchange: Exchange) -> None:
        action = self._state.faults.select_for_request(
            exchange.entry.effective_method,
            exchange.path,
            lambda: self._state.find_asset_name(exchange.path, exchange.query),
        )
        if action is None:
            await exchange.forward()
            return
        exchange.entry.fault = type(action).__name__
        await inject_fault(action, exchange)


class AuthMiddleware:
    """The inner layer: Express's headers, CORS, and authentication."""

    def __init__(self, app: App, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond to it here."""
        request = Request(scope)
        send = _add_headers(request, send)
        if request.method == "OPTIONS":
            await _make_preflight_response(request)(scope, receive, send)
            return
        try:
            scope[USER] = self._authenticate(request)
        except ApiError as error:
            await make_error_response(request, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _authenticate(self, request: Request) -> User | None:
        header = request.headers.get("authorization")
        user = self._accounts.authenticate(header)
        self._accounts.check_access(header, request.method, request.url.path)
        if user is not None and "projectId" in parse_qs(request.url.query):
            raise ApiError(400, "projectId as query param not supported")
        return user


def require_user(request: Request) -> User:
    """Return the user of a request.

    Raises:
        ApiError: 401, the request has no credentials.
    """
    user: User | None = request.scope[USER]
    if user is None:
        raise ApiError(401, "request is not authenticated")
    return user


def _make_preflight_response(request: Request) -> Response:
    """Respond to OPTIONS: the server's CORS layer does, so tus's own OPTIONS is never reached."""
    headers = {
        "vary": "Authorization, Origin, Access-Control-Request-Headers",
        "access-control-allow-methods": CORS_METHODS,
        "content-length": "0",
    }
    requested = request.headers.get("access-control-request-headers")
    if requested:
        headers["access-control-allow-headers"] = requested
    return Response(status_code=204, headers=headers)


def _add_headers(request: Request, send: Send) -> Send:
    """Add the headers of every response; those that a route sets itself stay."""
    origin = request.headers.get("origin")

    async def send_with_headers(message: Scope) -> None:
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

    return send_with_headers
