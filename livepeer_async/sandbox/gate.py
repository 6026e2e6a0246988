"""What Express does around every route: its headers, the CORS answers, and who asks."""

from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from livepeer_async.sandbox.accounts import Accounts, User
from livepeer_async.sandbox.answers import StudioError, answer_error
from livepeer_async.sandbox.connection import App, Receive, Scope, Send

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
