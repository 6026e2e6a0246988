"""The tus endpoint (@tus/server 1.0.0 behind Livepeer's token check) and the direct PUT.

Only a creation needs the token; an upload URL needs no authentication. Its last part is the upload
ID, with `%2F` kept. A refusal is sent before the body is read.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from livepeer_async.sandbox.documents import Asset
from livepeer_async.sandbox.exchange import get_exchange
from livepeer_async.sandbox.payloads import parse_body, read_body
from livepeer_async.sandbox.request_log import CREATION_PATH
from livepeer_async.sandbox.responses import ApiError
from livepeer_async.sandbox.state import ServerState, Upload
from livepeer_async.sandbox.storage import FILE_NOT_FOUND
from livepeer_async.sandbox.tus_headers import (
    BASE_HEADERS,
    OFFSET_TYPE,
    TusError,
    check_headers,
    read_length,
    read_offset,
)

# Lifetime of the presigned URL in a ticket.
PRESIGNED_SECONDS = 12 * 3600.0


class TusEndpoint:
    """The routes below `/api/asset/upload/tus`, and `/api/asset/upload/direct`."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._methods: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "HEAD": self._head,
            "PATCH": self._patch,
            "DELETE": self._delete,
            "OPTIONS": self._options,
        }

    async def create(self, request: Request) -> Response:
        """Serve a POST to the endpoint itself: a creation, with or without a body."""
        token = request.query_params.get("token")
        if token is None:
            raise ApiError(401, "Missing uploadToken metadata from /request-upload API")
        asset = find_uploading_asset(self._state, token)
        try:
            method = _check_request(request)
            if method == "POST":
                response = await self._create(request, asset)
            else:
                response = await self._methods.get(method, _respond_not_found)(request)
        except TusError as error:
            response = _make_error_response(error)
        response.headers["livepeer-playback-id"] = asset.playback_id
        return response

    async def serve(self, request: Request) -> Response:
        """Serve a request to an upload URL."""
        if request.method == "GET":
            return await _respond_not_found(request)
        try:
            method = _check_request(request)
            return await self._methods.get(method, _respond_not_found)(request)
        except TusError as error:
            return _make_error_response(error)

    async def put_direct(self, request: Request) -> Response:
        """Serve `PUT /api/asset/upload/direct`: store a body; an interrupted one is discarded."""
        asset = find_uploading_asset(self._state, request.query_params.get("token", ""))
        exchange, log, now = get_exchange(request), self._state.log, self._state.now()
        if request.headers.get("content-type", "").startswith("application/json"):
            await _parse_json_body(request)
        if now - asset.created_at > PRESIGNED_SECONDS:
            # The bucket refuses the presigned URL before the body, and the server's process dies.
            exchange.connection.cut("rst")
            raise ClientDisconnect
        key = f"direct {asset.playback_id}"
        if log.is_patching(key):
            self._report(request, "concurrent PUT requests on one ticket")
        with log.track_patch(key, exchange.connection.is_peer_gone):
            path, md5 = await self._store_direct(request, asset)
        self._state.complete_upload(asset, path)
        headers = {
            "server": "AmazonS3",
            "content-type": "text/html; charset=utf-8",
            "etag": f'"{md5}"',
            "last-modified": formatdate(now, usegmt=True),
            "x-amzn-requestid": uuid.uuid4().hex,
            "access-control-allow-origin": "*",
        }
        return Response(status_code=200, headers=headers)

    async def _create(self, request: Request, asset: Asset) -> Response:
        length = read_length(request.headers)
        storage = self._state.storage
        upload_id = storage.make_upload_id(asset.playback_id)
        if storage.find(upload_id) is not None:
            self._report(request, "second creation on one ticket")
        upload = storage.create(
            upload_id, length=length, metadata=request.headers.get("upload-metadata")
        )
        headers = {**BASE_HEADERS, "location": _make_location(request, upload_id)}
        if request.headers.get("content-type") == OFFSET_TYPE:
            headers["upload-offset"] = str(await self._receive_body(request, upload_id, upload, 0))
        elif length == 0:
            self._complete(upload_id, upload)
        return Response(status_code=201, headers=headers)

    async def _head(self, request: Request) -> Response:
        upload_id, upload = self._find_upload(request)
        if self._state.log.is_patching(upload_id):
            self._report(request, "HEAD while a PATCH is running")
        headers = {
            **BASE_HEADERS,
            "cache-control": "no-store",
            "upload-offset": str(upload.read_offset(self._state.now())),
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
        if offset != upload.read_offset(self._state.now()):
            raise TusError(409, "Upload-Offset conflict\n")
        _set_deferred_length(request, upload, offset)
        new_offset = await self._receive_body(request, upload_id, upload, offset)
        headers = {**BASE_HEADERS, "upload-offset": str(new_offset)}
        return Response(status_code=204, headers=headers)

    async def _delete(self, request: Request) -> Response:
        self._state.storage.terminate(_read_upload_id(request))
        return Response(status_code=204, headers=BASE_HEADERS)

    async def _options(self, request: Request) -> Response:  # noqa: ARG002 - one signature for all
        """Respond to tus's own OPTIONS, which only a method override can reach."""
        headers = {
            **BASE_HEADERS,
            "access-control-allow-methods": "POST, HEAD, PATCH, OPTIONS, DELETE",
            "access-control-allow-headers": BASE_HEADERS["access-control-expose-headers"],
            "access-control-max-age": "86400",
            "tus-extension": self._state.storage.extensions,
        }
        return Response(status_code=204, headers=headers)

    def _find_upload(self, request: Request) -> tuple[str, Upload]:
        """Return the upload of an upload URL, and its ID."""
        upload_id = _read_upload_id(request)
        upload = self._state.storage.find(upload_id)
        if upload is None:
            raise TusError(404, FILE_NOT_FOUND)
        return upload_id, upload

    async def _receive_body(
        self, request: Request, upload_id: str, upload: Upload, offset: int
    ) -> int:
        """Stream the body into the storage, and return the new offset."""
        exchange, log, now = get_exchange(request), self._state.log, self._state.now
        if log.is_patching(upload_id):
            self._report(request, "concurrent PATCH requests on one upload")
        elif log.is_storing(upload_id):
            self._report(request, "PATCH while an abandoned body is still being stored")
        writer = upload.open(offset, now())
        with log.track_patch(upload_id, exchange.connection.is_peer_gone):
            try:
                async for block in request.stream():
                    writer.write(block, now())
                stored_at = writer.flush(now())
                with log.track_storing(upload_id):
                    await anyio.sleep(max(0.0, stored_at - now()))
                new_offset = writer.finish(now(), is_response_lost=exchange.is_response_lost)
            except BaseException as error:
                if not isinstance(error, TusError):
                    writer.abort(now())
                raise
        if new_offset == upload.length:
            self._complete(upload_id, upload)
        return new_offset

    async def _store_direct(self, request: Request, asset: Asset) -> tuple[Path, str]:
        """Stream the body to disk; it gets its final name once it is complete.

        Returns:
            The file, and its MD5 in hex.
        """
        target = self._state.directory / f"{asset.playback_id}.direct"
        part = target.with_suffix(f".{uuid.uuid4().hex}")
        md5 = hashlib.md5(usedforsecurity=False)
        try:
            with part.open("wb", buffering=0) as file:
                async for block in request.stream():
                    file.write(block)
                    md5.update(block)
            return part.replace(target), md5.hexdigest()
        finally:
            part.unlink(missing_ok=True)

    def _complete(self, upload_id: str, upload: Upload) -> None:
        """Queue the asset's task; the last part of an upload ID is the playback ID."""
        asset = self._state.assets_by_playback_id[upload_id.rpartition("/")[2]]
        self._state.complete_upload(asset, upload.find_file())

    def _report(self, request: Request, rule: str) -> None:
        self._state.log.report_violation(rule, get_exchange(request).entry)


def find_uploading_asset(state: ServerState, token: str) -> Asset:
    """Return the asset of an upload token.

    Raises:
        ApiError: 403 for an invalid token, 404 if the asset is deleted, 422 if it has a source.
    """
    asset = state.assets_by_playback_id[state.tokens.verify(token)]
    if asset.is_deleted:
        raise ApiError(404, "asset not found")
    if asset.status(state.now()).phase != "uploading":
        raise ApiError(422, "asset has already been uploaded")
    return asset


def _check_request(request: Request) -> str:
    """Check the headers, and return the method after X-HTTP-Method-Override."""
    method = get_exchange(request).entry.effective_method
    check_headers(request.headers, method)
    return method


def _set_deferred_length(request: Request, upload: Upload, offset: int) -> None:
    declared = request.headers.get("upload-length")
    if declared is None:
        return
    if upload.length is not None or int(declared) < offset:
        raise TusError(400, "Upload-Length or Upload-Defer-Length header required\n")
    upload.length = int(declared)


async def _respond_not_found(request: Request) -> Response:
    """Respond to an unknown method, and to GET: the server does not serve stored uploads."""
    del request
    return Response(FILE_NOT_FOUND, status_code=404)


def _read_upload_id(request: Request) -> str:
    """Return the last part of the request target, query included, decoded once.

    A decoded or doubly encoded `%2F`, or a query, therefore makes an unknown upload ID.
    """
    exchange = get_exchange(request)
    target = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
    match = re.search(r"([^/]+)/?$", target)
    return unquote(match.group(1)) if match else ""


def _make_location(request: Request, upload_id: str) -> str:
    """Make the Location from the forwarded headers, or else from Host."""
    headers = request.headers
    proto = headers.get("x-forwarded-proto", "http")
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    return f"{proto}://{host}{CREATION_PATH}/{upload_id.replace('/', '%2F')}"


def _make_error_response(error: TusError) -> Response:
    return Response(error.text, status_code=error.status, headers=BASE_HEADERS)


async def _parse_json_body(request: Request) -> NoReturn:
    """Parse a body as JSON, as the server does before the bucket gets it: nothing is left for it.

    Raises:
        ApiError: 413 or 400 for a body that is too long or isn't JSON.
        ClientDisconnect: the client has given up; there is no response to valid JSON.
    """
    parse_body(await read_body(request))
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
