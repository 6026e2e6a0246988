"""Runs the tus server that Livepeer uses in production, on an emulated S3.

`nox -s wiring` installs its packages, sets `LIVEPEER_ASYNC_WIRING` to their folder, and installs
moto, the emulator.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
import httpx

from support.server_program import node_command, run_server

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER: Final = Path(__file__).with_name("server.mjs")
_S3: Final = Path(__file__).with_name("s3.py")
_THROTTLE: Final = Path(__file__).parents[1] / "support" / "throttled_proxy.py"
_BUCKET: Final = "vod"
# The emulator is slow with large objects, and while it receives other parts.
_S3_SECONDS: Final = 60.0
# The emulator took 9 s to complete an object of 517 MiB on a loaded machine.
_COMPLETION_SECONDS: Final = 5.0
_COMPLETION_RATE: Final = 10e6
_POLL_SECONDS: Final = 0.1
# The emulator needs credentials, but does not check them.
_S3_HEADERS: Final = {"Authorization": "AWS4-HMAC-SHA256 Credential=made/-/us-east-1/s3/-"}


@dataclass(frozen=True, kw_only=True)
class Production:
    """The running servers.

    Attributes:
        base_url: The creation URL, without the token that becomes the object's name.
        bucket_url: The URL of the bucket.
        s3: A client of the emulator.
    """

    base_url: str
    bucket_url: str
    s3: httpx.AsyncClient

    @property
    def port(self) -> int:
        """The port of the tus server."""
        return urlsplit(self.base_url).port or 0

    def creation_url(self, token: str, *, port: int | None = None) -> str:
        """Return the creation URL of the object `token`, with another port if one is given."""
        host = f"127.0.0.1:{port or self.port}"
        return urlsplit(self.base_url)._replace(netloc=host, query=f"token={token}").geturl()

    async def sha256(self, token: str) -> str | None:
        """Return the SHA-256 of the object `token`, or None if it doesn't exist."""
        digest = hashlib.sha256()
        async with self.s3.stream("GET", self._object_url(token)) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            response.raise_for_status()
            async for block in response.aiter_raw():
                digest.update(block)
        return digest.hexdigest()

    async def sha256_when_complete(self, token: str, length: int) -> str | None:
        """Return the SHA-256 of an upload that HEAD reports as complete, or None without an object.

        The server reports the length when all parts are stored, and only then completes the object.
        """
        digest = None
        with anyio.move_on_after(_COMPLETION_SECONDS + length / _COMPLETION_RATE):
            while (digest := await self.sha256(token)) is None:  # noqa: ASYNC110 - another process
                await anyio.sleep(_POLL_SECONDS)
        return digest

    async def delete(self, token: str) -> None:
        """Delete the object `token` and its metadata."""
        for suffix in ("", ".info", ".part"):
            response = await self.s3.delete(self._object_url(token) + suffix)
            response.raise_for_status()

    def _object_url(self, token: str) -> str:
        return f"{self.bucket_url}/directUpload/{token}"


@contextlib.contextmanager
def run_production(
    directory: Path, *, storage_rate: float | None = None
) -> Iterator[dict[str, str]]:
    """Run both servers until the block ends; yield the URLs of a `Production`.

    Args:
        directory: The folder of their temporary files.
        storage_rate: Bytes per second from the tus server to the storage, of all uploads together;
            None for no limit.

    Raises:
        RuntimeError: The packages, Node.js or moto are missing, or a server did not start.
    """
    command = node_command(_SERVER, variable="LIVEPEER_ASYNC_WIRING", session="wiring")
    env = {"TMPDIR": str(directory)}
    with run_server([sys.executable, str(_S3)], env=env) as emulator:
        s3_url = f"http://127.0.0.1:{emulator['port']}"
        bucket_url = f"{s3_url}/{_BUCKET}"
        httpx.put(bucket_url, trust_env=False).raise_for_status()
        with contextlib.ExitStack() as stack:
            if storage_rate is not None:
                throttle = [
                    sys.executable,
                    str(_THROTTLE),
                    f"{emulator['port']}",
                    f"{storage_rate}",
                ]
                s3_url = f"http://127.0.0.1:{stack.enter_context(run_server(throttle))['port']}"
            command += ["--s3", s3_url, "--bucket", _BUCKET]
            tus = stack.enter_context(run_server(command, env=env))
            base_url = f"http://127.0.0.1:{tus['port']}{tus['path']}"
            yield {"base_url": base_url, "bucket_url": bucket_url}


def s3_client() -> httpx.AsyncClient:
    """Create a client of the emulator."""
    return httpx.AsyncClient(timeout=_S3_SECONDS, headers=_S3_HEADERS, trust_env=False)
