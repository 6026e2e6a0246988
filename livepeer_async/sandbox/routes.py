"""The routes of assets, tasks and playback, lists and uploads apart."""

from __future__ import annotations

import ipaddress
import re
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from livepeer_async.sandbox.documents import (
    Asset,
    describe_asset,
    describe_new_asset,
    describe_playback,
    describe_task,
    is_playable,
    is_public,
)
from livepeer_async.sandbox.lifecycle import Failure
from livepeer_async.sandbox.middleware import user_of
from livepeer_async.sandbox.payloads import normalise, normalise_shared, read_payload
from livepeer_async.sandbox.request_log import read_target
from livepeer_async.sandbox.responses import JsonObject, StudioError, answer_json
from livepeer_async.sandbox.state import Studio
from livepeer_async.sandbox.validation import ASSET_PATCH, NEW_ASSET, NEW_ASSET_FROM_URL

# Retriable, as the pipeline says of it: the caller may POST /retry.
NOT_FETCHED = Failure("file download failed")

FETCH_SECONDS = 30.0


class AssetRoutes:
    """`/api/asset/…`, `/api/task/{id}`, `/api/playback/{id}`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def request_upload(self, request: Request) -> Response:
        """Serve `POST /api/asset/request-upload`."""
        asset = await self._add(request, NEW_ASSET, "upload")
        host = request.headers.get("host", "")
        now = self._studio.now()
        token = self._studio.tokens.sign(asset.playback_id, host=host, now=now)
        base = f"http://{host}/api/asset/upload"
        answer = {
            "url": f"{base}/direct?token={token}",
            "tusEndpoint": f"{base}/tus?token={token}",
            "asset": describe_new_asset(asset, now),
            "task": {"id": asset.task.id},
        }
        return answer_json(request, answer)

    async def upload_from_url(self, request: Request) -> Response:
        """Serve `POST /api/asset/upload/url`; the source is fetched after the answer."""
        asset = await self._add(request, NEW_ASSET_FROM_URL, "import")
        studio = self._studio
        studio.start(fetch_source, studio, asset, asset.fields["source"]["url"])
        document = describe_new_asset(asset, studio.now())
        return answer_json(request, {"asset": document, "task": {"id": asset.task.id}}, status=201)

    async def get(self, request: Request) -> Response:
        """Serve `GET /api/asset/{id}`."""
        asset = self._studio.assets.get(_read_id(request))
        user = user_of(request)
        if asset is None or asset.is_deleted:
            raise StudioError(404, "Asset not found")
        if asset.user != user:
            raise StudioError(404, "not found")
        with_tracks = bool(request.query_params.get("details"))
        return answer_json(request, self._describe(asset, with_tracks=with_tracks))

    async def change(self, request: Request) -> Response:
        """Serve `PATCH /api/asset/{id}`."""
        user = user_of(request)
        given: JsonObject = await read_payload(request, ASSET_PATCH)
        asset = self._studio.assets.get(_read_id(request))
        if asset is None or asset.user != user:
            raise StudioError(404, "asset not found")
        now = self._studio.now()
        if asset.is_deleted or asset.status(now).phase != "ready":
            raise StudioError(422, "asset is not ready")
        changes = self._normalise_change(asset, given)
        asset.fields = {**asset.fields, **changes}
        asset.touched_at = now
        return answer_json(request, self._describe(asset))

    async def delete(self, request: Request) -> Response:
        """Serve `DELETE /api/asset/{id}`; an upload that is open goes on."""
        user = user_of(request)
        asset = self._studio.assets.get(_read_id(request))
        if asset is None:
            raise StudioError(404, "Asset not found")
        if asset.user != user:
            raise StudioError(403, "users may only delete their own assets")
        if asset.is_deleted:
            raise StudioError(400, "asset is already deleted")
        asset.is_deleted = True
        return Response(status_code=204)

    async def retry(self, request: Request) -> Response:
        """Serve `POST /api/asset/{id}/retry`."""
        user = user_of(request)
        asset = self._studio.assets.get(request.path_params["id"])
        if asset is None or asset.is_deleted or asset.user != user:
            raise StudioError(404, "Asset not found")
        now = self._studio.now()
        if asset.status(now).phase != "failed":
            raise StudioError(400, "Asset is not failed")
        if asset.task.status(now).phase != "failed":
            raise StudioError(400, "task is not in a retryable state")
        self._studio.retry(asset)
        return Response(status_code=204)

    async def get_task(self, request: Request) -> Response:
        """Serve `GET /api/task/{id}`."""
        user = user_of(request)
        task = self._studio.tasks.get(request.path_params["id"])
        if task is None:
            raise StudioError(404, "not found")
        if task.user != user:
            raise StudioError(403, "user can only request information on their own tasks")
        return answer_json(request, describe_task(task, self._studio.now()))

    async def get_playback(self, request: Request) -> Response:
        """Serve `GET /api/playback/{id}`, which is public."""
        playback_id = request.path_params["id"]
        asset = self._studio.find_playback(playback_id)
        if asset is None or asset.is_deleted:
            raise StudioError(404, f"No playback URL found for {playback_id}")
        if not is_playable(asset.status(self._studio.now())):
            raise StudioError(422, "asset is not ready for playback")
        return answer_json(request, describe_playback(asset, self._studio.origin))

    async def _add(self, request: Request, schema: dict[str, Any], kind: str) -> Asset:
        """Make an asset of a payload: checked first, then refused while the queue is full."""
        user = user_of(request)
        payload = await read_payload(request, schema)
        fields = normalise(payload)
        self._studio.refuse_if_full(user)
        params: JsonObject = {"thumbnails": True}
        if "profiles" in fields:
            params["profiles"] = fields["profiles"]
        if "url" in fields["source"]:
            params["url"] = fields["source"]["url"]
        asset = self._studio.add_asset(user, kind, fields, params)
        host = request.headers.get("host", "")
        params.setdefault("url", f"http://{host}/vod/directUpload/{asset.playback_id}")
        return asset

    def _describe(self, asset: Asset, *, with_tracks: bool = False) -> JsonObject:
        studio = self._studio
        return describe_asset(asset, studio.now(), origin=studio.origin, with_tracks=with_tracks)

    def _normalise_change(self, asset: Asset, given: JsonObject) -> JsonObject:
        """Return what a change sets; an export to IPFS is queued and never run here."""
        changes = normalise_shared(given)
        changes.update({key: given[key] for key in ("name", "playbackPolicy") if key in given})
        if "playbackPolicy" in given and is_public(given["playbackPolicy"]) != is_public(
            asset.fields.get("playbackPolicy")
        ):
            raise StudioError(
                422, "cannot update playback policy from private to public or vice versa"
            )
        if "storage" in changes:
            spec = changes["storage"]["ipfs"]["spec"]
            if spec is None:
                raise StudioError(400, "Cannot remove asset from IPFS")
            task = self._studio.add_task(asset.user, "export", {"ipfs": spec}, asset_id=asset.id)
            changes["storage"]["status"] = {"phase": "waiting", "tasks": {"pending": task.id}}
        return changes


def _read_id(request: Request) -> str:
    """Return the last part of the path, refusing what Express can't decode."""
    raw = read_target(request.scope)[0].rpartition("/")[2]
    if re.search(r"%(?![0-9a-fA-F]{2})", raw):
        raise StudioError(400, f"Failed to decode param '{raw}'")
    if "%00" in raw:
        raise StudioError(500, "Internal server error: error")
    return unquote(raw)


async def fetch_source(studio: Studio, asset: Asset, url: str) -> None:
    """Fetch a source into the storage, and queue its task."""
    target = studio.directory / f"{asset.playback_id}.fetched"
    # Abandoned when the sandbox is left: nobody waits for what it would still store.
    fetched = await anyio.to_thread.run_sync(_fetch, url, target, abandon_on_cancel=True)
    studio.complete_upload(asset, target if fetched else None, failure=_judge(fetched))


def is_loopback(url: str) -> bool:
    """Whether a URL is `http` and names this machine by `localhost` or a loopback address."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def _judge(fetched: bool) -> Failure | None:  # noqa: FBT001 - the one thing that it judges
    return None if fetched else NOT_FETCHED


def _make_opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows no proxy and no redirect, which could lead off this machine."""
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    return opener


def _fetch(url: str, target: Path) -> bool:
    if not is_loopback(url):
        return False
    try:
        with _make_opener().open(url, timeout=FETCH_SECONDS) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, HTTPException):
        target.unlink(missing_ok=True)
        return False
    return True


class MediaRoutes:
    """The routes below `/catalyst/hls` and `/private`, where `downloadUrl` leads."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def download(self, request: Request) -> Response:
        """Serve the stored source of a ready asset, whole or in ranges."""
        asset = self._studio.find_playback(request.path_params["playback_id"])
        if asset is None or asset.is_deleted or asset.source is None:
            return Response(status_code=404)
        path = asset.source.path
        if asset.status(self._studio.now()).phase != "ready" or not path.exists():
            return Response(status_code=404)
        return FileResponse(path, media_type="video/mp4")
