"""The calls of Livepeer's API and of tus that an upload needs, without storage.

An asset is ready as soon as its upload is complete. The sandbox would do, but it needs more CPU
than some clients, and both share the machine.
"""

import json
import time
import uuid
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

TUS = "/api/asset/upload/tus"
TUS_HEADERS = "Tus-Resumable: 1.0.0\r\nCache-Control: no-store\r\n"
EXTENSIONS = "Tus-Version: 1.0.0\r\nTus-Extension: creation,creation-with-upload,termination\r\n"
JSON = "Content-Type: application/json\r\n"


class Upload:
    """A tus upload.

    Attributes:
        offset: The bytes that have arrived.
        is_expected: Whether the current body begins at the offset.
    """

    def __init__(self, length, asset):
        self.id = uuid.uuid4().hex
        self.length = length
        self.asset = asset
        self.offset = 0
        self.is_expected = True


class FakeApi:
    """The state of the server."""

    def __init__(self, scheme):
        self.scheme = scheme
        self.uploads = {}
        self.assets = {}
        # Ready assets, in the order of their last change.
        self.ready = []

    def begin_upload(self, request):
        """Return the upload that the body of a request belongs to, or None."""
        path = urlsplit(request.path)
        if request.method == "POST" and path.path == TUS:
            token = parse_qs(path.query).get("token", [""])[0]
            length = int(request.headers.get("upload-length", 0))
            upload = Upload(length, self.assets.get(token))
            self.uploads[upload.id] = upload
            return upload
        if request.method == "PATCH" and path.path.startswith(TUS + "/"):
            upload = self.uploads.get(path.path.removeprefix(TUS + "/"))
            if upload is not None:
                upload.is_expected = int(request.headers["upload-offset"]) == upload.offset
            return upload
        return None

    def respond(self, request, upload, document):
        """Return the status, the body and the headers of a response."""
        if upload is not None:
            return self._respond_to_body(request, upload)
        path = urlsplit(request.path)
        if path.path.startswith(TUS):
            return self._respond_about_upload(request, path)
        status, answer = self._call(request, path, document)
        headers = f"{JSON}Date: {formatdate(usegmt=True)}\r\n"
        return status, json.dumps(answer, separators=(",", ":")).encode(), headers

    def _respond_to_body(self, request, upload):
        if not upload.is_expected:
            return 409, b"", TUS_HEADERS
        if upload.offset == upload.length:
            self._mark_ready(upload)
        headers = f"{TUS_HEADERS}Upload-Offset: {upload.offset}\r\n"
        if request.method == "PATCH":
            return 204, b"", headers
        # Absolute: aiotus rejects a path.
        location = f"{self._origin(request)}{TUS}/{upload.id}"
        return 201, b"", f"{headers}Location: {location}\r\n"

    def _origin(self, request):
        return f"{self.scheme}://{request.headers['host']}"

    def _respond_about_upload(self, request, path):
        upload = self.uploads.get(path.path.removeprefix(TUS + "/"))
        if request.method == "OPTIONS":
            return 204, b"", TUS_HEADERS + EXTENSIONS
        if upload is None:
            return 404, b"", TUS_HEADERS
        if request.method == "DELETE":
            del self.uploads[upload.id]
            return 204, b"", TUS_HEADERS
        offsets = f"Upload-Offset: {upload.offset}\r\nUpload-Length: {upload.length}\r\n"
        return 200, b"", TUS_HEADERS + offsets

    def _mark_ready(self, upload):
        asset = upload.asset
        if asset is not None and asset["status"]["phase"] != "ready":
            asset["status"] = {"phase": "ready", "updatedAt": milliseconds()}
            asset["size"] = upload.length
            asset["playbackUrl"] = f"http://127.0.0.1/hls/{asset['playbackId']}/index.m3u8"
            asset["videoSpec"] = {"format": "mp4", "bitrate": 413132, "duration": 23.8328}
            self.ready.append(asset)

    def _call(self, request, path, document):
        method = request.method
        if (method, path.path) == ("POST", "/api/asset/request-upload"):
            return 200, self._create(json.loads(document), self._origin(request))
        if (method, path.path) == ("GET", "/api/asset"):
            return 200, self._list(parse_qs(path.query))
        asset = self.assets.get(path.path.removeprefix("/api/asset/"))
        if method == "GET" and asset is not None:
            return 200, asset
        if path.path == "/api/task":
            return 200, []
        return 404, {"errors": ["asset not found"]}

    def _create(self, fields, origin):
        asset_id, now = str(uuid.uuid4()), milliseconds()
        asset = {
            "id": asset_id,
            "playbackId": asset_id.replace("-", "")[:16],
            "userId": "11111111-1111-4111-8111-111111111111",
            "createdAt": now,
            "createdByTokenName": "benchmark",
            "status": {"phase": "uploading", "updatedAt": now},
            "name": fields["name"],
            "source": {"type": "directUpload"},
            "projectId": "aaaaaaaa-1111-4111-8111-111111111111",
        }
        self.assets[asset_id] = asset
        return {
            "url": f"{origin}/api/asset/upload/direct?token={asset_id}",
            "tusEndpoint": f"{origin}{TUS}?token={asset_id}",
            "asset": dict(asset),
            "task": {"id": str(uuid.uuid4())},
        }

    def _list(self, query):
        filters = {row["id"]: row["value"] for row in json.loads(query.get("filters", ["[]"])[0])}
        since = filters.get("updatedAt", {}).get("gte", 0)
        limit, rows = int(query.get("limit", ["20"])[0]), []
        for asset in reversed(self.ready):
            if asset["status"]["updatedAt"] < since or len(rows) == limit:
                break
            if filters.get("name", asset["name"]) == asset["name"]:
                rows.append(asset)
        return rows


def milliseconds():
    """Return the time in milliseconds since 1970."""
    return int(time.time() * 1000)
