"""A Starlette application on uvicorn, and visitors on raw sockets."""

import asyncio
import socket
from contextlib import asynccontextmanager

import anyio
import uvicorn

BOUNDARY = "XyBoundaryZ"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
CHUNKED = "Transfer-Encoding: chunked"


@asynccontextmanager
async def serve_app(app, lifespan="off"):
    """Serve an application in this event loop, with its lifespan if it is `on`; yield the port."""
    config = uvicorn.Config(
        app,
        log_level="critical",
        lifespan=lifespan,
        ws="none",
        timeout_graceful_shutdown=0 if lifespan == "on" else None,
    )
    server = uvicorn.Server(config)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [sock])
            try:
                yield sock.getsockname()[1]
            finally:
                server.should_exit, server.force_exit = True, lifespan == "off"


@asynccontextmanager
async def connect(port, target, *headers, method="PUT"):
    """Send the head of a request; yield the reader and the writer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def put(port, target, body, *headers, method="PUT"):
    """Send a request; return the status of the response and its body."""
    if not any("Transfer-Encoding" in header for header in headers):
        headers = (f"Content-Length: {len(body)}", *headers)
    async with connect(port, target, *headers, method=method) as (reader, writer):
        writer.write(body)
        return await read_response(reader)


async def read_response(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    (length,) = (line for line in head.lower().split("\r\n") if line.startswith("content-length"))
    body = await reader.readexactly(int(length.partition(":")[2]))
    return int(head.split(" ", 2)[1]), body.decode()


def chunked(*pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def part(content, disposition, *headers):
    lines = [f"--{BOUNDARY}", f"Content-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


def field(name, value):
    return part(value, f'form-data; name="{name}"')


def file(content, *headers, name="video", filename="talk.mp4"):
    return part(content, f'form-data; name="{name}"; filename="{filename}"', *headers)


CLOSING = f"--{BOUNDARY}--\r\n".encode()
