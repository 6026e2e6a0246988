"""The ASGI application that uvicorn runs: all routes and the middleware."""

from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from livepeer_async.sandbox.connection import App
from livepeer_async.sandbox.list_routes import ListRoutes
from livepeer_async.sandbox.middleware import AuthMiddleware, FaultMiddleware
from livepeer_async.sandbox.responses import ApiError, make_error_response
from livepeer_async.sandbox.routes import AssetRoutes
from livepeer_async.sandbox.state import ServerState
from livepeer_async.sandbox.tus_endpoint import TusEndpoint
from livepeer_async.sandbox.webhook_routes import WebhookRoutes

TUS_METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE"]


def make_app(state: ServerState) -> App:
    """Return the application that serves this state."""
    app = Starlette(
        routes=_make_routes(state),
        exception_handlers={
            ApiError: _handle_api_error,
            HTTPException: _handle_not_found,
            ClientDisconnect: _handle_disconnect,
            Exception: _handle_crash,
        },
    )
    # The server does not redirect paths with a trailing slash.
    app.router.redirect_slashes = False
    return FaultMiddleware(AuthMiddleware(cast("App", app), state.accounts), state)


def _make_routes(state: ServerState) -> list[Route]:
    assets, lists, tus = AssetRoutes(state), ListRoutes(state), TusEndpoint(state)
    webhooks = WebhookRoutes(state)
    download = "/{playback_id}/video/download.mp4"
    return [
        Route("/api/asset/request-upload", assets.request_upload, methods=["POST"]),
        Route("/api/asset/upload/url", assets.upload_from_url, methods=["POST"]),
        Route("/api/asset/upload/direct", tus.put_direct, methods=["PUT"]),
        Route("/api/asset/upload/tus", tus.create, methods=["POST"]),
        Route("/api/asset/upload/tus/{upload:path}", tus.serve, methods=TUS_METHODS),
        Route("/api/asset", lists.list_assets),
        Route("/api/asset/{id}/retry", assets.retry, methods=["POST"]),
        Route("/api/asset/{id}", assets.get),
        Route("/api/asset/{id}", assets.update, methods=["PATCH"]),
        Route("/api/asset/{id}", assets.delete, methods=["DELETE"]),
        Route("/api/task", lists.list_tasks),
        Route("/api/task/{id}", assets.get_task),
        Route("/api/playback/{id}", assets.get_playback),
        Route("/api/webhook", lists.list_webhooks),
        Route("/api/webhook", webhooks.create, methods=["POST"]),
        Route("/api/webhook/{id}", webhooks.get),
        Route("/api/webhook/{id}", webhooks.replace, methods=["PUT"]),
        Route("/api/webhook/{id}", webhooks.update, methods=["PATCH"]),
        Route("/api/webhook/{id}", webhooks.delete, methods=["DELETE"]),
        Route("/catalyst/hls" + download, assets.download),
        Route("/private" + download, assets.download),
    ]


async def _handle_api_error(request: Request, error: Exception) -> Response:
    return make_error_response(request, cast("ApiError", error))


async def _handle_not_found(request: Request, error: Exception) -> Response:
    """Respond with 404 to an unknown route and for an unknown method, as Express does."""
    del error
    return make_error_response(request, ApiError(404, "not found"))


async def _handle_disconnect(request: Request, error: Exception) -> Response:
    """End a request whose client has disconnected; the response is not sent."""
    del request, error
    return Response(status_code=400)


async def _handle_crash(request: Request, error: Exception) -> Response:
    message = f"Internal server error: {type(error).__name__}"
    return make_error_response(request, ApiError(500, message))
