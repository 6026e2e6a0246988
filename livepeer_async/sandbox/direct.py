"""The direct upload: one PUT, whose answer is the bucket's own, passed through."""

import uuid
from email.utils import formatdate
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from livepeer_async.sandbox.records import Asset
from livepeer_async.sandbox.studio import Studio
from livepeer_async.sandbox.tus_endpoint import find_uploading


class DirectEndpoint:
    """The route `PUT /api/asset/upload/direct`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def put(self, request: Request) -> Response:
        """Store a body under the asset's key; one that breaks off stores nothing."""
        asset = find_uploading(self._studio, request.query_params.get("token", ""))
        if request.headers.get("content-type", "").startswith("application/json"):
            await _eat_body(request)
        path = await self._store(request, asset)
        self._studio.complete_upload(asset, path)
        headers = {
            "server": "AmazonS3",
            "content-type": "text/html; charset=utf-8",
            "last-modified": formatdate(self._studio.now(), usegmt=True),
            "x-amzn-requestid": uuid.uuid4().hex,
            "access-control-allow-origin": "*",
        }
        return Response(status_code=200, headers=headers)

    async def _store(self, request: Request, asset: Asset) -> Path:
        """Stream the body to disk; it gets its name once it is whole."""
        target = self._studio.directory / f"{asset.playback_id}.direct"
        part = target.with_suffix(f".{uuid.uuid4().hex}")
        try:
            with part.open("wb", buffering=0) as file:
                async for block in request.stream():
                    file.write(block)
            return part.replace(target)
        finally:
            part.unlink(missing_ok=True)


async def _eat_body(request: Request) -> None:
    """Wait for ever: the JSON parser eats the body, and the bucket waits for it."""
    async for _ in request.stream():
        pass
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
