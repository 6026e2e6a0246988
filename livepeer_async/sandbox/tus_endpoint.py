"""The tus endpoint (@tus/server 1.0.0 behind Studio's token check) and the direct PUT.

Only a creation needs the token; afterwards the path alone is enough (its last part is the upload
ID, with `%2F` kept). A refusal is sent before the body was read.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from livepeer_async.sandbox.documents import Asset
from livepeer_async.sandbox.exchange import exchange_of
from livepeer_async.sandbox.request_log import read_target
from livepeer_async.sandbox.responses import StudioError, TusError
from livepeer_async.sandbox.state import Studio
from livepeer_async.sandbox.storage import FILE_NOT_FOUND, StorageError, Upload
from livepeer_async.sandbox.tus_headers import (
    BASE_HEADERS,
    OFFSET_TYPE,
    check_headers,
    read_length,
    read_offset,
)

MOUNT = "/api/asset/upload/tus"


class TusEndpoint:
    """The routes below `/api/asset/upload/tus`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._methods: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "HEAD": self._head,
            "PATCH": self._patch,
            "DELETE": self._delete,
            "OPTIONS": self._options,
        }

    async def create(self, request: Request) -> Response:
        """Serve a POST to the endpoint itself: a creation, with or without a body."""
        asset = self._find_asset(request)
        extra = {"livepeer-playback-id": asset.playback_id}
        try:
            method = self._check(request)
            if method == "POST":
                return await self._create(request, asset, extra)
            response = await self._methods.get(method, _serve_nothing)(request)
        except (TusError, StorageError) as error:
            return _answer_text(error.status, error.text, extra)
        response.headers.update(extra)
        return response

    async def serve(self, request: Request) -> Response:
        """Serve a request to an upload URL."""
        if request.method == "GET":
            return await _serve_nothing(request)
        try:
            method = self._check(request)
            return await self._methods.get(method, _serve_nothing)(request)
        except (TusError, StorageError) as error:
            return _answer_text(error.status, error.text)

    def _check(self, request: Request) -> str:
        method = request.headers.get("x-http-method-override", request.method).upper()
        check_headers(request.headers, method)
        return method

    def _find_asset(self, request: Request) -> Asset:
        """Return the asset that a creation is for, as Studio's own check of the token finds it."""
        token = request.query_params.get("token")
        if token is None:
            raise StudioError(401, "Missing uploadToken metadata from /request-upload API")
        return find_uploading(self._studio, token)

    async def _create(self, request: Request, asset: Asset, extra: dict[str, str]) -> Response:
        length = read_length(request.headers)
        storage = self._studio.storage
        upload_id = storage.name_upload(asset.playback_id)
        if storage.find(upload_id) is not None:
            self._studio.watch.accuse("a second creation on one ticket", exchange_of(request).seen)
        upload = storage.create(
            upload_id, length=length, metadata=request.headers.get("upload-metadata")
        )
        extra = {**extra, "location": _locate(request, upload_id)}
        if request.headers.get("content-type") == OFFSET_TYPE:
            extra["upload-offset"] = str(await self._take_body(request, upload_id, upload, 0))
        elif length == 0:
            self._finish(upload_id, upload)
        return Response(status_code=201, headers={**BASE_HEADERS, **extra})

    async def _head(self, request: Request) -> Response:
        upload_id, upload = self._find_upload(request)
        if self._studio.watch.is_patching(upload_id):
            self._studio.watch.accuse("HEAD while a PATCH runs", exchange_of(request).seen)
        headers = {
            **BASE_HEADERS,
            "cache-control": "no-store",
            "upload-offset": str(upload.read_offset(self._studio.now())),
        }
        if upload.length is None:
            headers["upload-defer-length"] = "1"
        else:
            headers["upload-length"] = str(upload.length)
        if upload.metadata is not None:
            headers["upload-metadata"] = upload.metadata
        return Response(status_code=200, headers=headers)

    async def _patch(self, request: Request) -> Response:
        offset = read_offset(request.headers)
        upload_id, upload = self._find_upload(request)
        if offset != upload.read_offset(self._studio.now()):
            raise TusError(409, "Upload-Offset conflict\n")
        self._declare_length(request, upload, offset)
        new_offset = await self._take_body(request, upload_id, upload, offset)
        headers = {**BASE_HEADERS, "upload-offset": str(new_offset)}
        return Response(status_code=204, headers=headers)

    async def _delete(self, request: Request) -> Response:
        self._studio.storage.terminate(_read_upload_id(request))
        return Response(status_code=204, headers=BASE_HEADERS)

    async def _options(self, request: Request) -> Response:  # noqa: ARG002 - one signature for all
        """Answer tus' own OPTIONS, which only a method override can reach."""
        headers = {
            **BASE_HEADERS,
            "access-control-allow-methods": "POST, HEAD, PATCH, OPTIONS, DELETE",
            "access-control-allow-headers": BASE_HEADERS["access-control-expose-headers"],
            "access-control-max-age": "86400",
            "tus-extension": self._studio.storage.extensions,
        }
        return Response(status_code=204, headers=headers)

    def _find_upload(self, request: Request) -> tuple[str, Upload]:
        """Return the upload that a path means, and its ID."""
        upload_id = _read_upload_id(request)
        upload = self._studio.storage.find(upload_id)
        if upload is None:
            raise TusError(404, FILE_NOT_FOUND)
        return upload_id, upload

    def _declare_length(self, request: Request, upload: Upload, offset: int) -> None:
        declared = request.headers.get("upload-length")
        if declared is None:
            return
        if upload.length is not None or int(declared) < offset:
            raise TusError(400, "Upload-Length or Upload-Defer-Length header required\n")
        upload.declare_length(int(declared))

    async def _take_body(
        self, request: Request, upload_id: str, upload: Upload, offset: int
    ) -> int:
        """Stream the body into the storage, and return the offset behind it."""
        exchange = exchange_of(request)
        watch, now = self._studio.watch, self._studio.now
        if watch.is_patching(upload_id):
            watch.accuse("two PATCHes of one upload at a time", exchange.seen)
        elif watch.is_storing(upload_id):
            watch.accuse("a PATCH while an abandoned one is being stored", exchange.seen)
        writer = upload.open(offset, now())
        with watch.patching(upload_id, exchange.connection):
            try:
                async for block in request.stream():
                    writer.write(block, now())
                stored_at = writer.flush(now())
                with watch.storing(upload_id):
                    await anyio.sleep(max(0.0, stored_at - now()))
                new_offset = writer.finish(now(), answered=not exchange.is_answer_lost)
            except BaseException as error:
                if not isinstance(error, StorageError):
                    writer.cut(now())
                raise
        if new_offset == upload.length:
            self._finish(upload_id, upload)
        return new_offset

    def _finish(self, upload_id: str, upload: Upload) -> None:
        """Queue the asset's task; an upload ID ends in the playback ID that it was made from."""
        asset = self._studio.get_playback(upload_id.rpartition("/")[2])
        self._studio.complete_upload(asset, upload.stored())


def find_uploading(studio: Studio, token: str) -> Asset:
    """Return the asset that an upload token is for.

    Raises:
        StudioError: The token is none, or its asset is gone or has its source already.
    """
    asset = studio.find_playback(studio.tokens.verify(token))
    if asset is None or asset.is_deleted:
        raise StudioError(404, "asset not found")
    if asset.status(studio.now()).phase != "uploading":
        raise StudioError(422, "asset has already been uploaded")
    return asset


async def _serve_nothing(request: Request) -> Response:
    """Answer a method that means nothing here; a stored upload can't be fetched either."""
    del request
    return Response(FILE_NOT_FOUND, status_code=404)


def _read_upload_id(request: Request) -> str:
    """Return the last part of the request's target, its query included, decoded once.

    So a decoded or doubly encoded `%2F`, or a query, ends as an unknown upload.
    """
    path, query = read_target(request.scope)
    target = f"{path}?{query}" if query else path
    match = re.search(r"([^/]+)/?$", target)
    return unquote(match.group(1)) if match else ""


def _locate(request: Request, upload_id: str) -> str:
    """Make the Location: from the forwarded headers, else from Host."""
    headers = request.headers
    proto = headers.get("x-forwarded-proto", "http")
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    return f"{proto}://{host}{MOUNT}/{upload_id.replace('/', '%2F')}"


def _answer_text(status: int, text: str, extra: dict[str, str] | None = None) -> Response:
    return Response(text, status_code=status, headers={**BASE_HEADERS, **(extra or {})})


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
