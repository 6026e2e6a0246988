"""The parts of a Starlette application, and so of a FastAPI one: its client, and its errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

import msgspec
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.status import (
    WS_1008_POLICY_VIOLATION,
    WS_1011_INTERNAL_ERROR,
    WS_1013_TRY_AGAIN_LATER,
)
from starlette.websockets import WebSocket, WebSocketState

from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import ConfigurationError, LivepeerError
from livepeer_async.integrations.error_responses import detail_of, headers_of, status_of
from livepeer_async.telemetry.events import RESPONSE_FAILED, log_event

# Seconds for the chunks in flight: supervisors such as Docker and Kubernetes wait 10 to 30 s.
STOP_WITHIN = 8.0


@asynccontextmanager
async def lifespan(
    app: Starlette,
    make_client: Callable[[], AsyncLivepeer] = AsyncLivepeer,
    *,
    stop_within: float = STOP_WITHIN,
) -> AsyncGenerator[dict[str, Any], None]:
    """Open the client of an application, and close it with the application.

    `FastAPI(lifespan=lifespan)` takes the settings from the environment. An application with a
    lifespan or settings of its own enters this one:

        @asynccontextmanager
        async def own_lifespan(app):
            make_client = partial(AsyncLivepeer, journal="uploads.journal")
            async with lifespan(app, make_client), open_database() as database:
                yield {"database": database}

    Args:
        app: the application; `app.state.livepeer` is its client until it ends.
        make_client: makes the client, in the event loop of the application.
        stop_within: seconds for the chunks of running uploads at the end; see
            `AsyncLivepeer.aclose`.

    Yields:
        The state for requests, in which `livepeer` is the client.
    """
    async with make_client() as livepeer:
        app.state.livepeer = livepeer
        try:
            yield {"livepeer": livepeer}
        finally:
            del app.state.livepeer
            await livepeer.aclose(stop_within=stop_within)


async def get_livepeer(connection: HTTPConnection) -> AsyncLivepeer:
    """Return the client that `lifespan` has opened, for a request or a WebSocket.

    Raises:
        ConfigurationError: the application runs without `lifespan`.
    """
    # Mounted applications have the state of the lifespan, too, but not that of the application.
    state = connection.scope.get("state", {})
    livepeer = state.get("livepeer") or getattr(connection.app.state, "livepeer", None)
    if livepeer is not None:
        return cast("AsyncLivepeer", livepeer)
    raise ConfigurationError(
        "the application has no client: pass lifespan= of livepeer_async.integrations.fastapi to "
        "FastAPI, or enter lifespan(app) in your own; in tests, `with TestClient(app)` runs it"
    )


def add_error_handlers(app: Starlette) -> None:
    """Respond to each `LivepeerError` of a handler or a dependency with its HTTP status.

    The table of statuses is `STATUSES`. The body is JSON like that of FastAPI's `HTTPException`,
    with the fields of `ErrorDetail`: `{"detail": ..., "error": ..., "can_resume": ..., "asset_id":
    ...}`. A 5xx says no more than that, and its error is logged once. A 503 has `Retry-After`. A
    WebSocket is closed with the code 1008, 1011 or 1013.
    """
    app.add_exception_handler(LivepeerError, cast("Any", _respond))


async def _respond(connection: Request | WebSocket, error: LivepeerError) -> Response | None:
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        name, reason = type(error).__name__, str(error)
        log_event(
            RESPONSE_FAILED,
            "%s: %s",
            name,
            reason,
            exc_info=error,
            error=name,
            reason=reason,
            status_code=status,
        )
    if isinstance(connection, WebSocket):
        if WebSocketState.DISCONNECTED not in (
            connection.client_state,
            connection.application_state,
        ):
            code = _close_code(status)
            await connection.close(code, type(error).__name__)
        return None
    body = msgspec.json.encode(detail_of(error))
    return Response(body, status, headers_of(error), media_type="application/json")


def _close_code(status: int) -> int:
    """Return the code that closes a WebSocket."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return WS_1013_TRY_AGAIN_LATER
    is_fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return WS_1011_INTERNAL_ERROR if is_fault else WS_1008_POLICY_VIOLATION
