"""Reads the responses of the HTTP library."""

from __future__ import annotations

import time
import uuid
import zlib
from typing import Any

import anyio

from livepeer_async.errors import ConnectionBroken, TimedOut
from livepeer_async.http.messages import Request, Response
from livepeer_async.http.streams import GzipDecoder, check_size


async def read_body(
    received: Any, request: Request, request_id: str, *, largest: int, seconds: float
) -> bytes:
    """Read and decode the body of a response.

    Args:
        received: the library's response.
        request: the request.
        request_id: its `X-Request-ID`.
        largest: limit for the size of the decoded body.
        seconds: time limit.

    Raises:
        DecodeError: the body is larger than `largest`.
        NetworkError: it isn't complete.
    """
    if received.is_stream_consumed:
        # By a hook of a user's client, or by a transport without a network.
        check_size(received.content, largest, request)
        return bytes(received.content)
    if received.is_closed:
        return b""  # by a hook that raised
    deadline = time.monotonic() + seconds
    coding = received.headers.get("content-encoding", "").strip().lower()
    decoder = GzipDecoder() if coding in {"gzip", "x-gzip"} else None
    body = bytearray()
    try:
        async for block in received.aiter_raw():
            body += decoder.decode(block, largest + 1 - len(body)) if decoder else block
            check_size(body, largest, request)
            if time.monotonic() > deadline:
                raise incomplete_error(request, request_id)
        if decoder:
            decoder.finish()
        return bytes(body)
    except zlib.error as error:
        message = f"its gzip is broken: {error} ({request.place})"
        raise ConnectionBroken(message, request_id=request_id) from error
    finally:
        # A stored error keeps this frame alive, and would keep the bytes.
        body.clear()


async def close_response(received: Any, raw: Any = None) -> None:
    """Close a response, and the library's iterator over its body if there is one."""
    # Shielded, because a connection that isn't returned is lost for the pool.
    with anyio.CancelScope(shield=True):
        await received.aclose()
        if raw is not None:
            # Otherwise the library's generator stays suspended.
            await raw.aclose()


def to_response(received: Any, request: Request, request_id: str, body: bytes) -> Response:
    """Return a response as a value."""
    headers = {name.lower(): value for name, value in received.headers.items()}
    return Response(
        status=received.status_code,
        headers=headers,
        body=body,
        set_cookies=_set_cookies(received, headers),
        place=request.place,
        request_id=request_id,
        secrets=request.secrets,
    )


def _set_cookies(received: Any, headers: dict[str, str]) -> tuple[str, ...]:
    # Joined lines can't be told apart, because dates contain commas.
    return tuple(received.headers.get_list("set-cookie")) if "set-cookie" in headers else ()


def request_id_of(request: Request) -> str:
    """Return the `X-Request-ID` of a request, or a new one."""
    names = (name for name in request.headers if name.lower() == "x-request-id")
    return request.headers.get(next(names, "")) or uuid.uuid4().hex


def incomplete_error(request: Request, request_id: str) -> TimedOut:
    """Return the error for a response that isn't complete in time."""
    message = f"the response isn't complete within the time limit ({request.place})"
    return TimedOut(message, request_id=request_id)
