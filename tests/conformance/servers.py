"""The servers under test, behind one protocol. Requests use httpx, not the package."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import httpx
from anyio.from_thread import start_blocking_portal

from conformance.expected import SANDBOX_FILE, SANDBOX_S3
from peers.peer import Peer, run_peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

PART: Final = 8 * 1024 * 1024
"""The part size of Livepeer Studio's S3 store."""

_READY_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A permission to create one upload.

    Attributes:
        url: The creation URL, with its token.
        key: The server's identifier of the finished upload.
    """

    url: str
    key: str


class TusServer(Protocol):
    """A server under test.

    Attributes:
        name: As in `conformance.expected`.
        part: The part size of the storage, 1 for files. A chunk that ends inside a part, before the
            end of the upload, loses that part.
    """

    @property
    def name(self) -> str: ...

    @property
    def part(self) -> int: ...

    def ticket(self) -> Ticket:
        """Request a new upload."""
        ...

    def stored(self, ticket: Ticket) -> bytes:
        """Read the stored bytes of a finished upload."""
        ...


@dataclass(frozen=True, kw_only=True)
class PeerServer:
    """A server of another project."""

    name: str
    peer: Peer
    part: int = 1

    def ticket(self) -> Ticket:
        """Create a token; the peers accept any."""
        token = uuid.uuid4().hex
        return Ticket(url=self.peer.creation_url(token), key=token)

    def stored(self, ticket: Ticket) -> bytes:
        """Read the file."""
        return self.peer.stored(ticket.key)


@dataclass(frozen=True, kw_only=True)
class SandboxServer:
    """The sandbox of this project, over HTTP."""

    name: str
    base_url: str
    api_key: str
    part: int

    def ticket(self) -> Ticket:
        """Request an upload from Studio's API."""
        response = httpx.post(
            f"{self.base_url}/asset/request-upload",
            headers={"Authorization": f"Bearer {self.api_key}"},
            json={"name": "conformance.mp4"},
            trust_env=False,
        )
        assert response.status_code == httpx.codes.OK, response.text
        document = response.json()
        return Ticket(url=document["tusEndpoint"], key=document["asset"]["id"])

    def stored(self, ticket: Ticket) -> bytes:
        """Wait until the asset is ready, and download it."""
        deadline = time.monotonic() + _READY_SECONDS
        with httpx.Client(
            headers={"Authorization": f"Bearer {self.api_key}"}, trust_env=False
        ) as http:
            while time.monotonic() < deadline:
                asset = http.get(f"{self.base_url}/asset/{ticket.key}").json()
                if asset["status"]["phase"] == "ready":
                    return http.get(asset["downloadUrl"]).content
                time.sleep(0.05)
        raise AssertionError(f"{self.name}: {ticket.key} is {asset['status']}; wanted ready")


@contextlib.contextmanager
def _run_sandbox(name: str, storage: Literal["file", "s3"], part: int) -> Iterator[TusServer]:
    # Imported late: the peers are tested without the extra `sandbox`.
    from livepeer_async.sandbox import Sandbox  # noqa: PLC0415

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Sandbox(storage=storage)) as sandbox,
    ):
        yield SandboxServer(
            name=name, base_url=sandbox.base_url, api_key=sandbox.api_key, part=part
        )


@contextlib.contextmanager
def _run_peer(name: str, version: str, directory: Path) -> Iterator[TusServer]:
    with run_peer(version, directory) as peer:
        yield PeerServer(name=name, peer=peer)


def run_server(name: str, directory: Path) -> AbstractContextManager[TusServer]:
    """Run a server until the block ends; it stores files in `directory`."""
    if name == SANDBOX_FILE:
        return _run_sandbox(name, "file", 1)
    if name == SANDBOX_S3:
        return _run_sandbox(name, "s3", PART)
    return _run_peer(name, name.removeprefix("tus-"), directory)
