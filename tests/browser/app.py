"""An application that lets browsers upload straight to Livepeer, with Starlette.

The browser gets the options of tus-js-client and sends the length of its file along. The app keeps
the ticket, which a reloaded page needs again, and compares the asset once it is ready.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from livepeer_async import (
    Asset,
    AssetTimeout,
    AsyncLivepeer,
    IntegrityError,
    LivepeerError,
    UploadTicket,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskGroup
    from starlette.requests import Request

PAGE = Path(__file__).parent / "page.html"


class BrowserUpload:
    """The upload of one visitor.

    Attributes:
        ticket: kept here, because its URLs are bearer secrets; a database would keep its JSON.
        asset: the latest state of the asset.
        is_ready: whether it is ready and has the bytes that the page announced.
        error: why it failed.
    """

    def __init__(self, ticket: UploadTicket, length: int) -> None:
        self.ticket = ticket
        self.length = length
        self.asset = ticket.asset
        self.is_ready = False
        self.error: LivepeerError | None = None

    def update(self, asset: Asset) -> None:
        self.asset = asset

    async def wait(self, livepeer: AsyncLivepeer) -> None:
        """Wait until the asset is ready and has the bytes that the page announced."""
        asset_id = self.ticket.asset.id
        try:
            self.asset = await livepeer.assets.wait(
                asset_id, length=self.length, on_change=self.update
            )
            self.is_ready = True
        except LivepeerError as error:
            self.error = error
            if isinstance(error, IntegrityError | AssetTimeout):
                # Wrong bytes, or a visitor that never came back.
                with suppress(LivepeerError):
                    await livepeer.assets.delete(asset_id)


class BrowserUploads:
    """The endpoints of the page."""

    def __init__(self, livepeer: AsyncLivepeer, tasks: TaskGroup) -> None:
        self.livepeer = livepeer
        self.tasks = tasks
        self.uploads: dict[str, BrowserUpload] = {}

    async def create(self, request: Request) -> JSONResponse:
        wanted = await request.json()
        ticket = await self.livepeer.assets.request_upload(wanted["name"])
        upload = BrowserUpload(ticket, wanted["length"])
        upload_id = secrets.token_urlsafe()
        self.uploads[upload_id] = upload
        self.tasks.start_soon(upload.wait, self.livepeer)
        return self._describe_ticket(upload_id)

    async def get_ticket(self, request: Request) -> JSONResponse:
        upload_id = request.path_params["id"]
        if upload_id not in self.uploads:
            return JSONResponse({}, 404)
        return self._describe_ticket(upload_id)

    async def get_asset(self, request: Request) -> JSONResponse:
        upload = self.uploads[request.path_params["id"]]
        return JSONResponse(
            {
                "is_ready": upload.is_ready,
                "phase": upload.asset.phase,
                "player_url": upload.asset.player_url,
                "error": upload.error and "The video arrived damaged. Please upload it again.",
            }
        )

    def _describe_ticket(self, upload_id: str) -> JSONResponse:
        ticket = self.uploads[upload_id].ticket
        return JSONResponse({"id": upload_id, "options": ticket.tus_js_options()})


def make_app(livepeer: AsyncLivepeer, tus_client: Path) -> Starlette:
    """Return the application.

    Args:
        livepeer: a client, which the application closes.
        tus_client: the script of tus-js-client.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with livepeer, anyio.create_task_group() as tasks:
            app.state.uploads = BrowserUploads(livepeer, tasks)
            yield
            tasks.cancel_scope.cancel()

    async def create(request: Request) -> JSONResponse:
        return await request.app.state.uploads.create(request)

    async def get_ticket(request: Request) -> JSONResponse:
        return await request.app.state.uploads.get_ticket(request)

    async def get_asset(request: Request) -> JSONResponse:
        return await request.app.state.uploads.get_asset(request)

    return Starlette(
        routes=[
            Route("/", lambda _: FileResponse(PAGE)),
            Route("/tus.min.js", lambda _: FileResponse(tus_client)),
            Route("/tickets", create, methods=["POST"]),
            Route("/tickets/{id}", get_ticket),
            Route("/assets/{id}", get_asset),
        ],
        lifespan=lifespan,
    )
