"""Runs tus servers of other projects.

`nox -s peers` installs their packages, and sets `LIVEPEER_ASYNC_PEERS` to their folder.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.server_program import node_command, run_server

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS: Final = ("1.0.0", "2.x")
"""Livepeer Studio's version, and the newest."""

_SERVER: Final = Path(__file__).with_name("server.mjs")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running server.

    Attributes:
        version: One of `VERSIONS`.
        base_url: The creation URL, without the token that becomes the upload's ID.
        directory: The folder of the uploads.
    """

    version: str
    base_url: str
    directory: Path

    def creation_url(self, token: str) -> str:
        """Return the creation URL of the upload `token`."""
        return f"{self.base_url}?token={token}"

    def stored(self, token: str) -> bytes:
        """Read the stored bytes of the upload `token`."""
        return (self.directory / token).read_bytes()


@contextlib.contextmanager
def run_peer(version: str, directory: Path, *, max_size: int | None = None) -> Iterator[Peer]:
    """Run a server until the block ends.

    Args:
        version: One of `VERSIONS`.
        directory: The folder of the uploads.
        max_size: The longest upload in bytes, `2.x` only.

    Raises:
        RuntimeError: The packages or Node.js are missing, or the server did not start.
    """
    command = node_command(_SERVER, variable="LIVEPEER_ASYNC_PEERS", session="peers")
    command += ["--version", version, "--directory", str(directory)]
    if max_size is not None:
        command += ["--max-size", str(max_size)]
    with run_server(command) as printed:
        base_url = f"http://127.0.0.1:{printed['port']}{printed['path']}"
        yield Peer(version=version, base_url=base_url, directory=directory)
