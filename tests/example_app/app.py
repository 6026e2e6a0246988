"""A video site with FastAPI: five ways for a video to reach Livepeer.

    VIDEO_FOLDER=/srv/videos LIVEPEER_WEBHOOK_SECRET=... LIVEPEER_API_KEY=... \
        uvicorn app:app --timeout-graceful-shutdown 5

The comments that begin with `---` mark the pieces, whose lines a test counts.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import anyio
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, PositiveInt

from livepeer_async import Asset, AsyncLivepeer, LivepeerError, Upload, UploadTicket, webhooks
from livepeer_async.integrations.fastapi import (
    LivepeerDep,
    add_error_handlers,
    form_file,
    lifespan,
    progress_events,
)

PAGE = Path(__file__).with_name("page.html")
MAX_LENGTH = 10_000_000_000
PATIENCE = 60.0  # seconds for a visitor who sends nothing
log = logging.getLogger("videos")


@asynccontextmanager
async def run(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    folder = Path(os.environ.get("VIDEO_FOLDER", "videos"))
    folder.mkdir(exist_ok=True)
    make_client = partial(AsyncLivepeer, journal=folder / "uploads.journal")
    async with lifespan(app, make_client) as state, anyio.create_task_group() as tasks:
        uploads = await resume_uploads(state["livepeer"])
        yield {**state, "folder": folder, "tasks": tasks, "uploads": uploads}
        tasks.cancel_scope.cancel()


app = FastAPI(title="Videos", lifespan=run)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE)


@app.get("/assets/{asset_id}")
async def show_asset(asset_id: str, livepeer: LivepeerDep) -> Asset:
    return await livepeer.assets.get(asset_id)


# --- errors
add_error_handlers(app)


# --- form
@app.post("/videos", status_code=201)
async def upload_form(request: Request, livepeer: LivepeerDep) -> Asset:
    async with form_file(request) as video:
        return await livepeer.upload(
            video,
            video.filename,
            length=video.length,
            max_length=MAX_LENGTH,
            source_timeout=PATIENCE,
            wait=False,
        )


# --- body
@app.put("/videos/{name}", status_code=201)
async def pass_through(
    name: str,
    request: Request,
    livepeer: LivepeerDep,
    content_length: Annotated[int | None, Header()] = None,
    key: str | None = None,
) -> Asset:
    return await livepeer.upload(
        request.stream(),
        name,
        key=key,
        length=content_length,
        max_length=MAX_LENGTH,
        source_timeout=PATIENCE,
        wait=False,
    )


# --- background
@app.put("/uploads/{key}", status_code=202)
async def upload_in_background(
    key: UUID, name: str, request: Request, livepeer: LivepeerDep
) -> Asset:
    path = request.state.folder / str(key)
    uploads, tasks = request.state.uploads, request.state.tasks
    if str(key) not in uploads:
        await store(request, path)
        uploads[str(key)] = await livepeer.start_upload(path, name, key=str(path))
        tasks.start_soon(delete_when_done, uploads[str(key)], path)
    return uploads[str(key)].asset


async def store(request: Request, path: Path) -> None:
    part, length = path.with_suffix(f".{os.urandom(4).hex()}"), 0
    try:
        async with await anyio.open_file(part, "xb") as file:
            async for block in request.stream():
                length += await file.write(block)
                if length > MAX_LENGTH:
                    raise HTTPException(413, "The video is too long.")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


async def delete_when_done(upload: Upload, path: Path) -> None:
    with suppress(LivepeerError):  # the file stays for another attempt
        await upload.wait()
        path.unlink()


async def find_upload(key: UUID, request: Request) -> Upload:
    if str(key) not in request.state.uploads:
        raise HTTPException(404, "There is no such upload.")
    return request.state.uploads[str(key)]


@app.get("/uploads/{key}/events", response_class=EventSourceResponse)
async def follow(
    upload: Annotated[Upload, Depends(find_upload)],
) -> AsyncIterator[ServerSentEvent]:
    async for event in progress_events(upload):
        yield event


async def resume_uploads(livepeer: AsyncLivepeer) -> dict[str, Upload]:
    uploads = {}
    for unfinished in await livepeer.unfinished():
        try:
            uploads[Path(unfinished.key).name] = await livepeer.resume_upload(unfinished.key)
        except LivepeerError as error:  # another worker runs it, or its file is gone
            log.warning("%s is not resumed: %s", unfinished.name, error)
    return uploads


# --- browser
class Video(BaseModel):
    name: str
    length: PositiveInt


class Ticket(BaseModel):
    asset_id: str
    options: dict[str, object]  # of tus-js-client


@app.post("/tickets", status_code=201)
async def create_ticket(video: Video, request: Request, livepeer: LivepeerDep) -> Ticket:
    ticket = await livepeer.assets.request_upload(video.name)
    request.state.tasks.start_soon(check_upload, livepeer, ticket, video.length)
    return Ticket(asset_id=ticket.asset.id, options=ticket.tus_js_options())


async def check_upload(livepeer: AsyncLivepeer, ticket: UploadTicket, length: int) -> None:
    try:
        asset = await livepeer.assets.wait(ticket.asset.id, length=length)
        log.info("%s is ready", asset.name)
    except LivepeerError as error:
        log.warning("the upload of a browser failed: %s", error)


# --- webhook
@app.post("/webhook", status_code=204)
async def receive_event(request: Request, livepeer: LivepeerDep) -> None:
    secret = os.environ["LIVEPEER_WEBHOOK_SECRET"]
    event = webhooks.unwrap(await request.body(), request.headers, secret)
    livepeer.notice(event)
