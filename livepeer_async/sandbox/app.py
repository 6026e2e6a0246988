"""The routes of the sandbox, put together into the ASGI application that uvicorn runs."""

from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from livepeer_async.sandbox.connection import App
from livepeer_async.sandbox.list_routes import ListRoutes
from livepeer_async.sandbox.middleware import Front, Gate
from livepeer_async.sandbox.responses import StudioError, answer_error
from livepeer_async.sandbox.routes import AssetRoutes, MediaRoutes
from livepeer_async.sandbox.state import Studio
from livepeer_async.sandbox.tus_endpoint import MOUNT, DirectEndpoint, TusEndpoint

TUS_METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE"]


def make_app(studio: Studio) -> App:
    """Return the application that serves this state."""
    routes = Starlette(
        routes=_list_routes(studio),
        exception_handlers={
            StudioError: _answer_studio_error,
            HTTPException: _answer_not_found,
            ClientDisconnect: _answer_nobody,
            Exception: _answer_crash,
        },
    )
    # A trailing slash is no other resource here, and a redirect would lose a body.
    routes.router.redirect_slashes = False
    return Front(Gate(cast("App", routes), studio.accounts), studio)


def _list_routes(studio: Studio) -> list[Route]:
    assets, lists = AssetRoutes(studio), ListRoutes(studio)
    tus, direct, media = TusEndpoint(studio), DirectEndpoint(studio), MediaRoutes(studio)
    download = "/{playback_id}/video/download.mp4"
    return [
        Route("/api/asset/request-upload", assets.request_upload, methods=["POST"]),
        Route("/api/asset/upload/url", assets.upload_from_url, methods=["POST"]),
        Route("/api/asset/upload/direct", direct.put, methods=["PUT"]),
        Route(MOUNT, tus.create, methods=["POST"]),
        Route(MOUNT + "/{upload:path}", tus.serve, methods=TUS_METHODS),
        Route("/api/asset", lists.list_assets),
        Route("/api/asset/{id}/retry", assets.retry, methods=["POST"]),
        Route("/api/asset/{id}", assets.get),
        Route("/api/asset/{id}", assets.change, methods=["PATCH"]),
        Route("/api/asset/{id}", assets.delete, methods=["DELETE"]),
        Route("/api/task", lists.list_tasks),
        Route("/api/task/{id}", assets.get_task),
        Route("/api/playback/{id}", assets.get_playback),
        Route("/catalyst/hls" + download, media.download),
        Route("/private" + download, media.download),
    ]


async def _answer_studio_error(request: Request, error: Exception) -> Response:
    return answer_error(request, cast("StudioError", error))


async def _answer_not_found(request: Request, error: Exception) -> Response:
    """Answer an unknown route, and an unknown method of a known one, as Express does."""
    del error
    return answer_error(request, StudioError(404, "not found"))


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """End a request whose client left; the answer goes nowhere."""
    del request, error
    return Response(status_code=400)


async def _answer_crash(request: Request, error: Exception) -> Response:
    return answer_error(request, StudioError(500, f"Internal server error: {type(error).__name__}"))
