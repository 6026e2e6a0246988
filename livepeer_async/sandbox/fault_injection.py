"""Injects faults between uvicorn and the application.

A fault wraps ASGI's `receive` (the request body), `send` (the response), or both. Faults below HTTP
are asked of the connection.
"""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

import anyio

from livepeer_async.sandbox.connection import App, Connection, Receive, Scope, Send
from livepeer_async.sandbox.exchange import Exchange
from livepeer_async.sandbox.faults import (
    Answer,
    ChangeBody,
    ChangeHeaders,
    Cut,
    CutAnswer,
    CutConnection,
    Garbage,
    HangUp,
    LoseAnswer,
    Redirect,
    RequestAction,
    ShiftOffset,
    Slow,
    Stall,
)

DISCONNECT: Scope = {"type": "http.disconnect"}

# Steps of a trickle: small enough to look like one, large enough to keep to the rate.
TRICKLE_SECONDS = 0.05


class Passage(NamedTuple):
    """The application and what ASGI hands it for one request."""

    app: App
    scope: Scope
    receive: Receive
    send: Send

    async def pass_on(self, *, receive: Receive | None = None, send: Send | None = None) -> None:
        """Let the application serve the request, with one direction or both replaced."""
        await self.app(self.scope, receive or self.receive, send or self.send)


async def interfere(action: RequestAction, exchange: Exchange, passage: Passage) -> None:
    """Serve a request with a fault in the way."""
    connection = exchange.connection
    match action:
        case CutConnection(after_bytes=0):
            connection.cut(action.how)
        case CutConnection():
            limited = _cut_body(passage.receive, connection, action)
            cut = partial(_cut_instead, connection, action.how)
            await passage.pass_on(receive=limited, send=cut)
        case LoseAnswer():
            exchange.doom_answer()
            await passage.pass_on(send=partial(_cut_instead, connection, action.how))
        case HangUp():
            await passage.pass_on()
            await anyio.sleep(action.seconds)
            connection.cut(action.how)
        case Stall():
            stall = _Stall(passage, action)
            await passage.pass_on(receive=stall.receive, send=stall.send)
        case Slow():
            await passage.pass_on(
                receive=_slow_body(passage.receive, action),
                send=_slow_answer(passage.send, action),
            )
        case _:
            await _change_answer(action, exchange, passage)


async def _change_answer(
    action: CutAnswer | Garbage | Answer | Redirect | ChangeHeaders | ShiftOffset | ChangeBody,
    exchange: Exchange,
    passage: Passage,
) -> None:
    match action:
        case CutAnswer():
            exchange.doom_answer()
            answer = await _collect(passage)
            exchange.connection.write_raw(answer.serialise()[: action.after_bytes])
            await anyio.sleep(action.seconds)
            exchange.connection.cut(action.how)
        case Garbage():
            exchange.connection.write_raw(action.raw)
            exchange.connection.cut("fin")
        case Redirect():
            location = {"Location": action.location}
            await _Answer(action.status, _pack(location), b"").leave(passage.send)
        case Answer():
            await _answer_instead(action, exchange, passage)
        case ChangeHeaders() | ShiftOffset():
            await passage.pass_on(send=partial(_send_changed, passage.send, action))
        case ChangeBody():
            answer = await _collect(passage)
            await answer.replace_body(action).leave(passage.send)


async def _answer_instead(action: Answer, exchange: Exchange, passage: Passage) -> None:
    if action.when == "read":
        while (await passage.receive()).get("more_body", False):
            pass
    if action.when == "after":
        exchange.doom_answer()
        await _collect(passage)
    await _Answer(action.status, _pack(action.headers), action.body).leave(passage.send)


class _Answer:
    """An answer as a value: one that was held back, or one that was made up."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def replace_body(self, action: ChangeBody) -> "_Answer":
        """Return the same answer with another body."""
        headers = _without(self.headers, ["etag"])
        if action.content_type is not None:
            kind = (b"content-type", action.content_type.encode("latin-1"))
            headers = [*_without(headers, ["content-type"]), kind]
        return _Answer(self.status, headers, action.body)

    def serialise(self) -> bytes:
        """Return the bytes that HTTP/1.1 makes of it."""
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}\r\n".encode("latin-1")]
        lines += [name + b": " + value + b"\r\n" for name, value in self.headers]
        return b"".join([*lines, b"\r\n", self.body])

    async def leave(self, send: Send) -> None:
        """Send it; the length is always that of the body."""
        length = (b"content-length", str(len(self.body)).encode())
        headers = [*_without(self.headers, ["content-length"]), length]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


async def _collect(passage: Passage) -> _Answer:
    """Let the server act, and hold its answer back."""
    answer = _Answer(500, [], b"")

    async def keep(message: Scope) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = list(message.get("headers", []))
        else:
            answer.body += message.get("body", b"")

    await passage.pass_on(send=keep)
    return answer


async def _send_changed(send: Send, action: ChangeHeaders | ShiftOffset, message: Scope) -> None:
    if message["type"] == "http.response.start":
        headers = list(message.get("headers", []))
        change = _replace_offset(headers, action) if isinstance(action, ShiftOffset) else action
        kept = _without(headers, [*change.remove, *change.put])
        message = {**message, "headers": [*kept, *_pack(change.put)]}
    await send(message)


def _replace_offset(headers: list[tuple[bytes, bytes]], action: ShiftOffset) -> ChangeHeaders:
    offset = next((int(value) for name, value in headers if name.lower() == b"upload-offset"), None)
    return ChangeHeaders(
        {} if offset is None else {"upload-offset": str(max(0, offset + action.by))}
    )


async def _cut_instead(connection: Connection, how: Cut, message: Scope) -> None:
    """Break the connection where an answer begins."""
    del message
    connection.cut(how)


def _cut_body(receive: Receive, connection: Connection, action: CutConnection) -> Receive:
    """Hand in exactly so many bytes, then break the connection."""
    left = action.after_bytes

    async def limited() -> Scope:
        nonlocal left
        if left == 0:
            connection.cut(action.how)
            return DISCONNECT
        message = await receive()
        body: bytes = message.get("body", b"")
        if len(body) < left:
            left -= len(body)
            return message
        taken, left = body[:left], 0
        return {**message, "body": taken, "more_body": True}

    return limited


class _Stall:
    """A pause at one point of a body, or before the answer if the body is shorter."""

    def __init__(self, passage: Passage, action: Stall) -> None:
        self._receive = passage.receive
        self._send = passage.send
        self._seconds = action.seconds
        self._left = action.after_bytes
        self._is_over = False

    async def receive(self) -> Scope:
        if self._left <= 0:
            await self._pause()
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return message

    async def send(self, message: Scope) -> None:
        await self._pause()
        await self._send(message)

    async def _pause(self) -> None:
        if not self._is_over:
            self._is_over = True
            await anyio.sleep(self._seconds)


def _slow_body(receive: Receive, action: Slow) -> Receive:
    """Hand in the body in small blocks at the wanted rate."""
    pending = b""
    more = True
    step = max(1, int(action.bytes_per_second * TRICKLE_SECONDS))
    started = time.monotonic()
    handed = 0

    async def trickling() -> Scope:
        nonlocal pending, more, handed
        if not pending:
            message = await receive()
            if message["type"] != "http.request":
                return message
            pending, more = message.get("body", b""), message.get("more_body", False)
        block, pending = pending[:step], pending[step:]
        handed += len(block)
        ahead = started + handed / action.bytes_per_second - time.monotonic()
        await anyio.sleep(max(0.0, ahead))
        return {"type": "http.request", "body": block, "more_body": bool(pending) or more}

    return trickling


def _slow_answer(send: Send, action: Slow) -> Send:
    """Let the body of the answer out in small blocks at the wanted rate."""
    step = max(1, int(action.bytes_per_second * TRICKLE_SECONDS))

    async def trickling(message: Scope) -> None:
        body: bytes = message.get("body", b"")
        while len(body) > step:
            await send({"type": "http.response.body", "body": body[:step], "more_body": True})
            await anyio.sleep(TRICKLE_SECONDS)
            body = body[step:]
        await send({**message, "body": body} if "body" in message else message)

    return trickling


def _without(
    headers: Iterable[tuple[bytes, bytes]], names: Iterable[str]
) -> list[tuple[bytes, bytes]]:
    gone = {name.lower().encode() for name in names}
    return [(name, value) for name, value in headers if name.lower() not in gone]


def _pack(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
