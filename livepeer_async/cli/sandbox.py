"""`livepeer-async sandbox`: serves the embedded sandbox for other programs."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
from rich.text import Text

from livepeer_async.cli.options import Storage
from livepeer_async.cli.output.console import output, say_error
from livepeer_async.cli.output.error_messages import Status
from livepeer_async.sandbox import Sandbox


async def serve(*, port: int, storage: Storage) -> Status:
    """Serve a sandbox until the program is interrupted."""
    sandbox = Sandbox(port=port, storage=storage)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(sandbox)
        except OSError as error:
            say_error(f"port {port} can't be used: {error.strerror}; choose another with --port")
            return Status.FAILED
        _introduce(sandbox, storage)
        await anyio.sleep_forever()
    return Status.OK


def _introduce(sandbox: Sandbox, storage: Storage) -> None:
    lines = [
        f"sandbox (storage: {storage}), until Ctrl-C; what it stores is then deleted",
        "",
        f"  base URL  {sandbox.base_url}",
        f"  API key   {sandbox.api_key}",
        "",
        f"export LIVEPEER_BASE_URL={sandbox.base_url}",
        f"export LIVEPEER_API_KEY={sandbox.api_key}",
    ]
    output().print(Text("\n".join(lines)))
