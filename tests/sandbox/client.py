"""Clients of a sandbox made of plain httpx and plain sockets, nothing of the library."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from livepeer_async.sandbox import Sandbox
from support.constants import KIB, TIMEOUT
from support.sandbox import PART

SAMPLES = Path(__file__).parent.parent / "samples"

TUS = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"

# Parts and pieces in the same proportion as in production, small enough for hundreds of uploads.
SMALL_PARTS: dict[str, Any] = {"storage": "s3", "part_size": PART, "min_piece": 40 * KIB}
STORAGES: dict[str, Any] = {"file": {"storage": "file"}, "s3": {**SMALL_PARTS, "race": 0.0}}
BOTH_STORAGES = pytest.mark.parametrize("storage", ["file", "s3"])

NOT_FOUND = "The file for this url was not found\n"


def read_sample(name: str) -> Any:
    """Read a recorded response of the real server."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def assert_text_response(response: httpx.Response, status: int, text: str) -> None:
    """Check an error response of the tus server: plain text without a content type."""
    assert (response.status_code, response.text) == (status, text)
    assert "content-type" not in response.headers
    assert response.headers["content-length"] == str(len(text))
    assert response.headers["tus-resumable"] == "1.0.0"


class Ticket(NamedTuple):
    """The response of request-upload."""

    direct_url: str
    tus_endpoint: str
    asset_id: str
    playback_id: str
    task_id: str


class RawClient:
    """A client that sends single requests, without retries and decisions."""

    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http
        self.key = {"Authorization": f"Bearer {sandbox.api_key}"}

    async def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.key, **more.pop("headers", {})}
        return await self.http.request(
            method, self.sandbox.base_url + path, headers=headers, **more
        )

    async def request_upload(self, name: str = "clip.mp4", **fields: Any) -> Ticket:
        response = await self.api("POST", "/asset/request-upload", json={"name": name, **fields})
        assert response.status_code == 200, response.text
        found = response.json()
        asset = found["asset"]
        return Ticket(
            found["url"],
            found["tusEndpoint"],
            asset["id"],
            asset["playbackId"],
            found["task"]["id"],
        )

    async def post_creation(
        self, ticket: Ticket, body: bytes = b"", **headers: str
    ) -> httpx.Response:
        return await self.http.post(ticket.tus_endpoint, content=body, headers={**TUS, **headers})

    async def create(self, ticket: Ticket, length: int, **headers: str) -> str:
        response = await self.post_creation(ticket, **{"Upload-Length": str(length)}, **headers)
        assert response.status_code == 201, response.text
        return response.headers["location"]

    async def begin(self, length: int, name: str = "clip.mp4") -> tuple[Ticket, str]:
        ticket = await self.request_upload(name)
        return ticket, await self.create(ticket, length)

    async def patch(
        self, location: str, offset: int, body: bytes, **headers: str
    ) -> httpx.Response:
        kind = {"Content-Type": OFFSET_TYPE, "Upload-Offset": str(offset)}
        return await self.http.patch(location, content=body, headers={**TUS, **kind, **headers})

    async def head(self, location: str) -> httpx.Response:
        return await self.http.head(location, headers=TUS)

    async def offset(self, location: str) -> int:
        return int((await self.head(location)).headers["upload-offset"])

    async def upload(self, body: bytes, name: str = "clip.mp4") -> Ticket:
        """Upload in one PATCH."""
        ticket, location = await self.begin(len(body), name)
        response = await self.patch(location, 0, body)
        assert response.status_code == 204, response.text
        return ticket

    async def asset(self, ticket: Ticket) -> dict[str, Any]:
        response = await self.api("GET", f"/asset/{ticket.asset_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def phase(self, ticket: Ticket) -> str:
        return (await self.asset(ticket))["status"]["phase"]

    async def wait(self, ticket: Ticket, *phases: str, seconds: float = TIMEOUT) -> dict[str, Any]:
        """Poll until the asset is in one of these phases."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asset = await self.asset(ticket)
            if asset["status"]["phase"] in (phases or ("ready", "failed")):
                return asset
            await asyncio.sleep(0.005)
        raise AssertionError(f"asset is still {asset['status']}")


@asynccontextmanager
async def open_sandbox(**options: Any) -> AsyncIterator[RawClient]:
    """Start a sandbox with quick processing, and yield a client of it."""
    options = {"waiting_seconds": 0.002, "processing_seconds": 0.008, **options}
    # Without TLS: loading the certificates would take most of the time of these tests.
    http = httpx.AsyncClient(timeout=TIMEOUT, verify=False)
    async with Sandbox(**options) as sandbox, http:
        yield RawClient(sandbox, http)


class RawConnection:
    """A connection on which a test sends exact bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str) -> "RawConnection":
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def send_head(self, method: str, url: str, headers: Iterable[tuple[str, str]]) -> None:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send_patch(self, url: str, offset: int, length: int, body: bytes) -> None:
        """Send the head of a PATCH of this length, and this much of its body."""
        headers = {**TUS, "Content-Type": OFFSET_TYPE, "Upload-Offset": str(offset)}
        await self.send_head("PATCH", url, [*headers.items(), ("Content-Length", str(length))])
        await self.send(body)

    async def read_head(self) -> str:
        """Read the head of a response."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        return raw.decode()

    async def read_end(self) -> tuple[bytes, str]:
        """Read until the connection ends, and return the bytes and how it ended: `fin` or `rst`."""
        found = b""
        try:
            while block := await asyncio.wait_for(self.reader.read(65536), TIMEOUT):
                found += block
        except ConnectionResetError:
            return found, "rst"
        return found, "fin"

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def reset(self) -> None:
        """Close with a RST."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        await asyncio.sleep(0)
