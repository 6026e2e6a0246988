"""Injects faults between uvicorn and the application.

A fault replaces ASGI's `receive` (the request body), `send` (the response), or both. Faults below
HTTP use the connection.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import anyio
from starlette.datastructures import MutableHeaders

from livepeer_async.sandbox import faults
from livepeer_async.sandbox.connection import Receive, Scope, Send
from livepeer_async.sandbox.exchange import Exchange

DISCONNECT: Scope = {"type": "http.disconnect"}

# Slow bodies pass in steps of this length: short enough for a steady flow, long enough for
# `anyio.sleep` to keep to the rate.
STEP_SECONDS = 0.05


async def inject_fault(action: faults.RequestAction, exchange: Exchange) -> None:
    """Serve a request with a fault."""
    connection = exchange.connection
    match action:
        case faults.CutConnection(after_bytes=0):
            connection.cut(action.how)
        case faults.CutConnection():
            await exchange.forward(
                receive=_cut_body(exchange, action), send=_cut_response(exchange, action.how)
            )
        case faults.LoseAnswer():
            exchange.is_response_dropped = True
            await exchange.forward(send=_cut_response(exchange, action.how))
        case faults.HangUp():
            await exchange.forward()
            await anyio.sleep(action.seconds)
            connection.cut(action.how)
        case faults.Stall():
            receive, send = _stall(exchange, action)
            await exchange.forward(receive=receive, send=send)
        case faults.Slow():
            await exchange.forward(
                receive=_slow_body(exchange, action), send=_slow_response(exchange, action)
            )
        case _:
            await _change_response(action, exchange)


async def _change_response(action: faults.ResponseAction, exchange: Exchange) -> None:
    match action:
        case faults.CutAnswer():
            exchange.is_response_dropped = True
            response = await _collect_response(exchange)
            exchange.connection.write_raw(response.serialize()[: action.after_bytes])
            await anyio.sleep(action.seconds)
            exchange.connection.cut(action.how)
        case faults.Garbage():
            exchange.connection.write_raw(action.raw)
            exchange.connection.cut("fin")
        case faults.Redirect():
            await _make_response(action.status, {"Location": action.location}).send(exchange.send)
        case faults.Answer():
            await _replace_response(action, exchange)
        case faults.ChangeHeaders() | faults.ShiftOffset():
            await exchange.forward(send=_change_headers(exchange, action))
        case faults.ChangeBody():
            response = await _collect_response(exchange)
            del response.headers["etag"]
            if action.content_type is not None:
                response.headers["content-type"] = action.content_type
            await response._replace(body=action.body).send(exchange.send)


async def _replace_response(action: faults.Answer, exchange: Exchange) -> None:
    if action.when == "read":
        while (await exchange.receive()).get("more_body", False):
            pass
    if action.when == "after":
        exchange.is_response_dropped = True
        await _collect_response(exchange)
    await _make_response(action.status, action.headers, action.body).send(exchange.send)


class _Response(NamedTuple):
    status: int
    headers: MutableHeaders
    body: bytes

    def serialize(self) -> bytes:
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}\r\n".encode("latin-1")]
        lines += [name + b": " + value + b"\r\n" for name, value in self.headers.raw]
        return b"".join([*lines, b"\r\n", self.body])

    async def send(self, send: Send) -> None:
        """Send it with the length of its body."""
        self.headers["content-length"] = str(len(self.body))
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers.raw}
        await send(start)
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def _make_response(status: int, headers: Mapping[str, str], body: bytes = b"") -> _Response:
    return _Response(status, MutableHeaders(headers), body)


async def _collect_response(exchange: Exchange) -> _Response:
    """Let the application serve the request, and hold its response back."""
    start: Scope = {"status": 500, "headers": []}
    body = bytearray()

    async def collect(message: Scope) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await exchange.forward(send=collect)
    return _Response(start["status"], MutableHeaders(raw=list(start["headers"])), bytes(body))


def _change_headers(exchange: Exchange, action: faults.ChangeHeaders | faults.ShiftOffset) -> Send:
    async def send(message: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if isinstance(action, faults.ChangeHeaders):
                for name in action.remove:
                    del headers[name]
                headers.update(action.put)
            elif "upload-offset" in headers:
                headers["upload-offset"] = str(max(0, int(headers["upload-offset"]) + action.by))
        await exchange.send(message)

    return send


def _cut_response(exchange: Exchange, how: faults.Cut) -> Send:
    """Break the connection instead of sending the response."""

    async def cut(message: Scope) -> None:
        del message
        exchange.connection.cut(how)

    return cut


def _cut_body(exchange: Exchange, action: faults.CutConnection) -> Receive:
    """Pass exactly this many bytes on, then break the connection."""
    left = action.after_bytes

    async def receive() -> Scope:
        nonlocal left
        if left == 0:
            exchange.connection.cut(action.how)
            return DISCONNECT
        message = await exchange.receive()
        body: bytes = message.get("body", b"")
        if len(body) < left:
            left -= len(body)
            return message
        body, left = body[:left], 0
        return {**message, "body": body, "more_body": True}

    return receive


def _stall(exchange: Exchange, action: faults.Stall) -> tuple[Receive, Send]:
    """Pause once: inside the body, or before the response if the body is shorter."""
    left, is_over = action.after_bytes, False

    async def pause() -> None:
        nonlocal is_over
        if not is_over:
            is_over = True
            await anyio.sleep(action.seconds)

    async def receive() -> Scope:
        nonlocal left
        if left <= 0:
            await pause()
        message = await exchange.receive()
        left -= len(message.get("body", b""))
        return message

    async def send(message: Scope) -> None:
        await pause()
        await exchange.send(message)

    return receive, send


def _slow_body(exchange: Exchange, action: faults.Slow) -> Receive:
    """Pass the body on in small blocks at the wanted rate."""
    pending, more, passed = b"", True, 0
    step = max(1, int(action.bytes_per_second * STEP_SECONDS))
    started = time.monotonic()

    async def receive() -> Scope:
        nonlocal pending, more, passed
        if not pending:
            message = await exchange.receive()
            if message["type"] != "http.request":
                return message
            pending, more = message.get("body", b""), message.get("more_body", False)
        block, pending = pending[:step], pending[step:]
        passed += len(block)
        due = started + passed / action.bytes_per_second
        await anyio.sleep(max(0.0, due - time.monotonic()))
        return {"type": "http.request", "body": block, "more_body": bool(pending) or more}

    return receive


def _slow_response(exchange: Exchange, action: faults.Slow) -> Send:
    """Send the body of the response in small blocks at the wanted rate."""
    step = max(1, int(action.bytes_per_second * STEP_SECONDS))

    async def send(message: Scope) -> None:
        body: bytes = message.get("body", b"")
        while len(body) > step:
            await exchange.send(
                {"type": "http.response.body", "body": body[:step], "more_body": True}
            )
            await anyio.sleep(STEP_SECONDS)
            body = body[step:]
        await exchange.send({**message, "body": body} if "body" in message else message)

    return send
