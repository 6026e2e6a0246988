"""HTTP exchanges with a tus server, compared with the expected responses."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from conformance.expected import expected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from conformance.servers import Ticket, TusServer

VERSION: Final = {"Tus-Resumable": "1.0.0"}
OFFSET_STREAM: Final = "application/offset+octet-stream"


@dataclass(frozen=True, kw_only=True)
class Exchanges:
    """Sends tus requests; a header of None is omitted."""

    server: TusServer
    http: httpx.Client

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str | None],
        content: bytes | Iterator[bytes] | None = None,
    ) -> httpx.Response:
        """Send a request, with Tus-Resumable unless `headers` replaces it."""
        merged = {**VERSION, **headers}
        present = {name: value for name, value in merged.items() if value is not None}
        return self.http.request(method, url, headers=present, content=content)

    def post(
        self, ticket: Ticket, headers: Mapping[str, str | None], content: bytes | None = None
    ) -> httpx.Response:
        """Create an upload with these headers."""
        return self.send("POST", ticket.url, headers, content)

    def create(self, length: int) -> tuple[Ticket, str]:
        """Create an upload; return the ticket and the upload URL."""
        ticket = self.server.ticket()
        response = self.post(ticket, {"Upload-Length": str(length)})
        self.check("creation", response)
        return ticket, response.headers["Location"]

    def head(self, url: str) -> httpx.Response:
        """Request the state of an upload."""
        return self.send("HEAD", url, {})

    def offset(self, url: str) -> int:
        """Request the offset of an upload."""
        response = self.head(url)
        self.check("HEAD", response)
        return int(response.headers["Upload-Offset"])

    def patch(
        self,
        url: str,
        offset: int | str | None,
        content: bytes | Iterator[bytes],
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """Send bytes of an upload."""
        merged = {
            "Content-Type": OFFSET_STREAM,
            "Upload-Offset": None if offset is None else str(offset),
            **(headers or {}),
        }
        return self.send("PATCH", url, merged, content)

    def delete(self, url: str) -> httpx.Response:
        """Terminate an upload."""
        return self.send("DELETE", url, {})

    def check(self, exchange: str, response: httpx.Response) -> None:
        """Compare a response with the expected one of this server."""
        wanted = expected(self.server.name, exchange)
        found = f"{exchange}: {response.status_code} {response.text!r}"
        assert response.status_code == wanted.status, found
        if wanted.text is not None:
            assert response.text == wanted.text, found


@contextlib.contextmanager
def patch_by_hand(url: str, *, offset: int, length: int) -> Iterator[socket.socket]:
    """Open a connection, and send the head of a PATCH with a Content-Length of `length`."""
    parts = urlsplit(url)
    head = (
        f"PATCH {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nTus-Resumable: 1.0.0\r\n"
        f"Content-Type: {OFFSET_STREAM}\r\nUpload-Offset: {offset}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30) as raw:
        raw.sendall(head.encode())
        yield raw


def read_head(raw: socket.socket) -> tuple[int, dict[str, str]]:
    """Read a response; return its status and its headers."""
    with raw.makefile("rb") as reader:
        status = int(reader.readline().split()[1])
        lines = [line.decode().partition(":") for line in iter(reader.readline, b"\r\n")]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        reader.read(int(headers.get("content-length", "0")))
    return status, headers


def reset(raw: socket.socket) -> None:
    """Close a connection by RST, as a failing router does."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
