"""Start and stop a tus server that others wrote.

In comes the version wanted and a directory for its files; out goes a `Peer` that says where it
listens. The packages are installed by `nox -s peers`, which names their folder in the environment
variable `LIVEPEER_ASYNC_PEERS`; without it there are no peers.
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
"""The version that Livepeer Studio runs, and the newest."""

_SERVER: Final = Path(__file__).with_name("server.mjs")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running server.

    Attributes:
        version: One of `VERSIONS`.
        base_url: The creation URL, without the token that decides the upload's ID.
        directory: Where the server keeps the uploads.
    """

    version: str
    base_url: str
    directory: Path

    def creation_url(self, token: str) -> str:
        """Name the URL whose creation makes the upload with the ID `token`."""
        return f"{self.base_url}?token={token}"

    def stored(self, token: str) -> bytes:
        """Read what the server keeps of the upload with the ID `token`."""
        return (self.directory / token).read_bytes()


@contextlib.contextmanager
def run_peer(version: str, directory: Path, *, max_size: int | None = None) -> Iterator[Peer]:
    """Run a server until the block ends.

    Args:
        version: One of `VERSIONS`.
        directory: Where the server keeps the uploads.
        max_size: The longest upload that it takes, `2.x` only.

    Raises:
        RuntimeError: There are no peers, no Node.js, or the server did not start.
    """
    command = node_command(_SERVER, variable="LIVEPEER_ASYNC_PEERS", session="peers")
    command += ["--version", version, "--directory", str(directory)]
    if max_size is not None:
        command += ["--max-size", str(max_size)]
    with run_server(command) as said:
        base_url = f"http://127.0.0.1:{said['port']}{said['path']}"
        yield Peer(version=version, base_url=base_url, directory=directory)
