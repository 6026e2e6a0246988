"""One HTTP exchange with a server under test, and the comparison with what was expected of it."""

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
    """The requests of tus, sent as they are: each argument is a header, a None leaves it out."""

    server: TusServer
    http: httpx.Client

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str | None],
        content: bytes | Iterator[bytes] | None = None,
    ) -> httpx.Response:
        """Send one request that speaks the version unless `headers` says otherwise."""
        named = {**VERSION, **headers}
        present = {name: value for name, value in named.items() if value is not None}
        return self.http.request(method, url, headers=present, content=content)

    def post(
        self, ticket: Ticket, headers: Mapping[str, str | None], content: bytes | None = None
    ) -> httpx.Response:
        """Ask for the creation of an upload."""
        return self.send("POST", ticket.url, headers, content)

    def create(self, length: int) -> tuple[Ticket, str]:
        """Create an upload and name its URL."""
        ticket = self.server.ticket()
        answer = self.post(ticket, {"Upload-Length": str(length)})
        self.check("creation", answer)
        return ticket, answer.headers["Location"]

    def head(self, url: str) -> httpx.Response:
        """Ask for the state of an upload."""
        return self.send("HEAD", url, {})

    def offset(self, url: str) -> int:
        """Ask how many bytes of an upload the server has."""
        answer = self.head(url)
        self.check("HEAD", answer)
        return int(answer.headers["Upload-Offset"])

    def patch(
        self,
        url: str,
        offset: int | str | None,
        content: bytes | Iterator[bytes],
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """Send bytes of an upload."""
        named = {
            "Content-Type": OFFSET_STREAM,
            "Upload-Offset": None if offset is None else str(offset),
            **(headers or {}),
        }
        return self.send("PATCH", url, named, content)

    def delete(self, url: str) -> httpx.Response:
        """Ask for the termination of an upload."""
        return self.send("DELETE", url, {})

    def check(self, exchange: str, answer: httpx.Response) -> None:
        """Compare an answer with the one that is known for this server."""
        wanted = expected(self.server.name, exchange)
        found = f"{exchange}: {answer.status_code} {answer.text!r}"
        assert answer.status_code == wanted.status, found
        if wanted.text is not None:
            assert answer.text == wanted.text, found


@contextlib.contextmanager
def patch_by_hand(url: str, *, offset: int, length: int) -> Iterator[socket.socket]:
    """Open a connection and send the head of a PATCH that promises `length` bytes."""
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
    """Read the head of an answer, and its body if it has one: the status and the headers."""
    with raw.makefile("rb") as reader:
        status = int(reader.readline().split()[1])
        lines = [line.decode().partition(":") for line in iter(reader.readline, b"\r\n")]
        headers = {name.lower(): value.strip() for name, _, value in lines}
        reader.read(int(headers.get("content-length", "0")))
    return status, headers


def reset(raw: socket.socket) -> None:
    """Close a connection with an RST, as a dying router or a killed process would."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
