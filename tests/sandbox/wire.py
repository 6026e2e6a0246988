"""How these tests talk to a sandbox: bare httpx, bare sockets, nothing of the library."""

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
import msgspec

from livepeer_async.sandbox import Sandbox
from support.clock import VirtualClock
from support.constants import KIB, TIMEOUT

SAMPLES = Path(__file__).parent.parent / "samples"

TUS = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"

# No TLS here: loading the certificates would take most of the time of these tests.
PLAIN = False

# Parts and pieces in the proportion of production's, small enough for hundreds of uploads.
PART = 64 * KIB
SMALL_PARTS: dict[str, Any] = {"storage": "s3", "part_size": PART, "min_piece": 40 * KIB}


def read_sample(name: str) -> Any:
    """Read an answer of the real server."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


class Ticket(NamedTuple):
    """What request-upload answered."""

    direct_url: str
    tus_endpoint: str
    asset_id: str
    playback_id: str
    task_id: str


class Caller:
    """A client that knows the routes and decides nothing."""

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
        answer = await self.api("POST", "/asset/request-upload", json={"name": name, **fields})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        asset = found["asset"]
        return Ticket(
            found["url"],
            found["tusEndpoint"],
            asset["id"],
            asset["playbackId"],
            found["task"]["id"],
        )

    async def create(self, ticket: Ticket, length: int, **headers: str) -> str:
        answer = await self.http.post(
            ticket.tus_endpoint, headers={**TUS, "Upload-Length": str(length), **headers}
        )
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

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
        answer = await self.patch(location, 0, body)
        assert answer.status_code == 204, answer.text
        return ticket

    async def asset(self, ticket: Ticket) -> dict[str, Any]:
        answer = await self.api("GET", f"/asset/{ticket.asset_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

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
async def open_sandbox(
    *, clock: VirtualClock | None = None, **options: Any
) -> AsyncIterator[Caller]:
    """Run a sandbox whose assets are ready at once, and a caller for it.

    With a clock the dates of all that happens are the clock's: phases, and what shows late.
    """
    quick = {"waiting_seconds": 0.002, "processing_seconds": 0.008}
    sandbox = Sandbox(**{**quick, **options})
    if clock is not None:
        settings = sandbox._settings  # noqa: SLF001 - no option of the sandbox sets its clock
        sandbox._settings = msgspec.structs.replace(settings, clock=clock)  # noqa: SLF001 - see above
    async with sandbox, httpx.AsyncClient(timeout=TIMEOUT, verify=PLAIN) as http:
        yield Caller(sandbox, http)


class RawConnection:
    """A connection on which a test says exactly what it wants to."""

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
        """Read up to the end of an answer's head."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        return raw.decode()

    async def read_end(self) -> tuple[bytes, str]:
        """Read what still comes, and tell how it ended: `fin` or `rst`."""
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
