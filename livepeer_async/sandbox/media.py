"""The media of a ready asset: the stored bytes, as they arrived, with byte ranges."""

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from livepeer_async.sandbox.studio import Studio


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
