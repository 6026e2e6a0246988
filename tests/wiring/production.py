"""Start and stop the wiring of production: the tus server on its S3 store, on an emulated S3.

Out comes a `Production` that says where to upload, and what is stored. The packages of the server
are installed by `nox -s wiring`, which names their folder in the environment variable
`LIVEPEER_ASYNC_WIRING`; the emulator, moto, is installed beside pytest.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from support.server_program import node_command, run_server

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER: Final = Path(__file__).with_name("server.mjs")
_S3: Final = Path(__file__).with_name("s3.py")
_THROTTLE: Final = Path(__file__).parents[1] / "support" / "throttled_proxy.py"
_BUCKET: Final = "vod"
# A large object takes the emulator a while, all the more while it takes parts of others.
_S3_SECONDS: Final = 60.0
# The emulator wants to be told who asks, and believes it.
_S3_HEADERS: Final = {"Authorization": "AWS4-HMAC-SHA256 Credential=made/-/us-east-1/s3/-"}


@dataclass(frozen=True, kw_only=True)
class Production:
    """The running wiring.

    Attributes:
        base_url: The creation URL, without the token that decides the object's name.
        bucket_url: Where the objects are.
        s3: Asks the emulator.
    """

    base_url: str
    bucket_url: str
    s3: httpx.AsyncClient

    @property
    def port(self) -> int:
        """Where the tus server listens."""
        return urlsplit(self.base_url).port or 0

    def creation_url(self, token: str, *, port: int | None = None) -> str:
        """Name the URL whose creation makes the object `token`, perhaps by way of another port."""
        host = f"127.0.0.1:{port or self.port}"
        return urlsplit(self.base_url)._replace(netloc=host, query=f"token={token}").geturl()

    async def sha256(self, token: str) -> str | None:
        """Hash what is stored as the object `token`; None where there is none."""
        digest = hashlib.sha256()
        async with self.s3.stream("GET", self._object_url(token)) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            answer.raise_for_status()
            async for block in answer.aiter_raw():
                digest.update(block)
        return digest.hexdigest()

    async def forget(self, token: str) -> None:
        """Delete the object `token` and what the store keeps beside it."""
        for suffix in ("", ".info", ".part"):
            answer = await self.s3.delete(self._object_url(token) + suffix)
            answer.raise_for_status()

    def _object_url(self, token: str) -> str:
        return f"{self.bucket_url}/directUpload/{token}"


@contextlib.contextmanager
def run_production(
    directory: Path, *, storage_rate: float | None = None
) -> Iterator[dict[str, str]]:
    """Run both servers until the block ends; give the URLs that a `Production` is made of.

    Args:
        directory: Where they put their temporary files.
        storage_rate: Bytes per second that the storage takes from the tus server, all uploads
            together; None for no limit.

    Raises:
        RuntimeError: There are no packages, no Node.js, no moto, or a server did not start.
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
    """Make a client for the emulator."""
    return httpx.AsyncClient(timeout=_S3_SECONDS, headers=_S3_HEADERS, trust_env=False)
