"""The routes of single assets, tasks, playback and media, and the import of sources from URLs."""

from __future__ import annotations

import re
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from livepeer_async.sandbox.addresses import is_loopback
from livepeer_async.sandbox.documents import (
    Asset,
    describe_asset,
    describe_new_asset,
    describe_playback,
    describe_task,
    is_playable,
    is_public,
)
from livepeer_async.sandbox.exchange import get_exchange
from livepeer_async.sandbox.faults import FailProcessing
from livepeer_async.sandbox.middleware import require_user
from livepeer_async.sandbox.payloads import normalise, normalise_shared, read_payload
from livepeer_async.sandbox.responses import ApiError, JsonObject, make_json_response
from livepeer_async.sandbox.state import ServerState
from livepeer_async.sandbox.validation import ASSET_PATCH, NEW_ASSET, NEW_ASSET_FROM_URL

DOWNLOAD_FAILED = FailProcessing("file download failed")

DOWNLOAD_SECONDS = 30.0


class AssetRoutes:
    """`/api/asset/…`, `/api/task/{id}`, `/api/playback/{id}`, and the stored media."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def request_upload(self, request: Request) -> Response:
        """Serve `POST /api/asset/request-upload`."""
        asset = await self._create_asset(request, NEW_ASSET, "upload")
        host = request.headers.get("host", "")
        now = self._state.now()
        token = self._state.tokens.sign(asset.playback_id, host=host, now=now)
        base_url = f"http://{host}/api/asset/upload"
        ticket = {
            "url": f"{base_url}/direct?token={token}",
            "tusEndpoint": f"{base_url}/tus?token={token}",
            "asset": describe_new_asset(asset, now),
            "task": {"id": asset.task.id},
        }
        return make_json_response(request, ticket)

    async def upload_from_url(self, request: Request) -> Response:
        """Serve `POST /api/asset/upload/url`; the source is downloaded after the response."""
        asset = await self._create_asset(request, NEW_ASSET_FROM_URL, "import")
        self._state.start(_import_source, self._state, asset)
        document = {
            "asset": describe_new_asset(asset, self._state.now()),
            "task": {"id": asset.task.id},
        }
        return make_json_response(request, document, status=201)

    async def get(self, request: Request) -> Response:
        """Serve `GET /api/asset/{id}`."""
        asset = self._state.assets.get(_read_id(request))
        user = require_user(request)
        if asset is None or asset.is_deleted:
            raise ApiError(404, "Asset not found")
        if asset.user != user:
            raise ApiError(404, "not found")
        with_tracks = bool(request.query_params.get("details"))
        return make_json_response(request, self._describe(asset, with_tracks=with_tracks))

    async def update(self, request: Request) -> Response:
        """Serve `PATCH /api/asset/{id}`."""
        user = require_user(request)
        given: JsonObject = await read_payload(request, ASSET_PATCH)
        asset = self._state.assets.get(_read_id(request))
        if asset is None or asset.user != user:
            raise ApiError(404, "asset not found")
        now = self._state.now()
        if asset.is_deleted or asset.status(now).phase != "ready":
            raise ApiError(422, "asset is not ready")
        changes = self._normalise_changes(asset, given)
        asset.fields = {**asset.fields, **changes}
        asset.modified_at = now
        self._state.announcer.announce_asset(asset, "asset.updated")
        return make_json_response(request, self._describe(asset))

    async def delete(self, request: Request) -> Response:
        """Serve `DELETE /api/asset/{id}`; an upload in progress continues."""
        user = require_user(request)
        asset = self._state.assets.get(_read_id(request))
        if asset is None:
            raise ApiError(404, "Asset not found")
        if asset.user != user:
            raise ApiError(403, "users may only delete their own assets")
        if asset.is_deleted:
            raise ApiError(400, "asset is already deleted")
        asset.is_deleted = True
        # It shows the asset as it was before.
        self._state.announcer.announce_asset(asset, "asset.deleted")
        return Response(status_code=204)

    async def retry(self, request: Request) -> Response:
        """Serve `POST /api/asset/{id}/retry`."""
        user = require_user(request)
        asset = self._state.assets.get(request.path_params["id"])
        if asset is None or asset.is_deleted or asset.user != user:
            raise ApiError(404, "Asset not found")
        now = self._state.now()
        if asset.status(now).phase != "failed":
            raise ApiError(400, "Asset is not failed")
        if asset.task.status(now).phase != "failed":
            raise ApiError(400, "task is not in a retryable state")
        self._state.retry(asset)
        return Response(status_code=204)

    async def get_task(self, request: Request) -> Response:
        """Serve `GET /api/task/{id}`."""
        user = require_user(request)
        task = self._state.tasks.get(request.path_params["id"])
        if task is None:
            raise ApiError(404, "not found")
        if task.user != user:
            raise ApiError(403, "user can only request information on their own tasks")
        return make_json_response(request, describe_task(task, self._state.now()))

    async def get_playback(self, request: Request) -> Response:
        """Serve `GET /api/playback/{id}`, which is public."""
        playback_id = request.path_params["id"]
        asset = self._state.assets_by_playback_id.get(playback_id)
        if asset is None or asset.is_deleted:
            raise ApiError(404, f"No playback URL found for {playback_id}")
        if not is_playable(asset.status(self._state.now())):
            raise ApiError(422, "asset is not ready for playback")
        return make_json_response(request, describe_playback(asset, self._state.origin))

    async def download(self, request: Request) -> Response:
        """Serve a `downloadUrl`: the stored source of a ready asset, whole or in ranges."""
        asset = self._state.assets_by_playback_id.get(request.path_params["playback_id"])
        if asset is None or asset.is_deleted or asset.source is None:
            return Response(status_code=404)
        path = asset.source.path
        if asset.status(self._state.now()).phase != "ready" or not path.exists():
            return Response(status_code=404)
        return FileResponse(path, media_type="video/mp4")

    async def _create_asset(self, request: Request, schema: dict[str, Any], kind: str) -> Asset:
        """Create the asset of a payload; an invalid one is refused even if the queue is full."""
        user = require_user(request)
        fields = normalise(await read_payload(request, schema))
        self._state.check_queue(user)
        params: JsonObject = {"thumbnails": True}
        if "profiles" in fields:
            params["profiles"] = fields["profiles"]
        if "url" in fields["source"]:
            params["url"] = fields["source"]["url"]
        asset = self._state.add_asset(user, kind, fields, params)
        host = request.headers.get("host", "")
        params.setdefault("url", f"http://{host}/vod/directUpload/{asset.playback_id}")
        return asset

    def _describe(self, asset: Asset, *, with_tracks: bool = False) -> JsonObject:
        state = self._state
        return describe_asset(asset, state.now(), origin=state.origin, with_tracks=with_tracks)

    def _normalise_changes(self, asset: Asset, given: JsonObject) -> JsonObject:
        """Return the changed fields; an export to IPFS is queued but never runs."""
        changes = normalise_shared(given)
        changes.update({key: given[key] for key in ("name", "playbackPolicy") if key in given})
        if "playbackPolicy" in given and is_public(given["playbackPolicy"]) != is_public(
            asset.fields.get("playbackPolicy")
        ):
            raise ApiError(
                422, "cannot update playback policy from private to public or vice versa"
            )
        if "storage" in changes:
            spec = changes["storage"]["ipfs"]["spec"]
            if spec is None:
                raise ApiError(400, "Cannot remove asset from IPFS")
            task = self._state.add_task(asset.user, "export", {"ipfs": spec}, asset_id=asset.id)
            self._state.announcer.announce_task(asset, task)
            changes["storage"]["status"] = {"phase": "waiting", "tasks": {"pending": task.id}}
        return changes


def _read_id(request: Request) -> str:
    """Return the last part of the path; refuse a part that Express can't decode."""
    raw = get_exchange(request).path.rpartition("/")[2]
    if re.search(r"%(?![0-9a-fA-F]{2})", raw):
        raise ApiError(400, f"Failed to decode param '{raw}'")
    if "%00" in raw:
        raise ApiError(500, "Internal server error: error")
    return unquote(raw)


async def _import_source(state: ServerState, asset: Asset) -> None:
    """Download the source of an asset, and queue its task."""
    url = asset.fields["source"]["url"]
    path = state.directory / f"{asset.playback_id}.fetched"
    # Abandoned when the sandbox is left, which must not wait for a slow source.
    if await anyio.to_thread.run_sync(_download, url, path, abandon_on_cancel=True):
        state.complete_upload(asset, path)
    else:
        state.complete_upload(asset, None, failure=DOWNLOAD_FAILED)


def _download(url: str, path: Path) -> bool:
    """Download a source from this machine; the sandbox never connects to another one."""
    if not is_loopback(url):
        return False
    # Without proxies and redirects, which could lead off this machine.
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    try:
        with opener.open(url, timeout=DOWNLOAD_SECONDS) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file)
    except (OSError, HTTPException):
        path.unlink(missing_ok=True)
        return False
    return True
