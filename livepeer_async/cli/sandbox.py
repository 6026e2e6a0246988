"""`livepeer-async sandbox`: serves the sandbox for other programs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
from rich.text import Text

from livepeer_async.cli.options import Storage
from livepeer_async.cli.output.console import output, print_error
from livepeer_async.cli.output.error_messages import ExitStatus
from livepeer_async.sandbox import Sandbox


async def serve_sandbox(*, webhook: str | None, **options: Any) -> ExitStatus:
    """Serve a sandbox until the process is interrupted.

    Args:
        webhook: URL that gets all events, signed with the sandbox's secret.
        options: those of `Sandbox`.
    """
    sandbox = Sandbox(**options)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(sandbox)
        except OSError as error:
            address = f"port {options['port']} of {options['host']}"
            print_error(
                f"{address} can't be used: {error.strerror}; use --port or --host for another one"
            )
            return ExitStatus.FAILED
        if webhook is not None:
            sandbox.add_webhook(webhook, secret=sandbox.webhook_secret)
        _print_account(sandbox, options["storage"], webhook)
        await anyio.sleep_forever()
    return ExitStatus.OK


def _print_account(sandbox: Sandbox, storage: Storage, webhook: str | None) -> None:
    lines = [
        f"sandbox (storage: {storage}), deleted at the end; press Ctrl-C to stop",
        "",
        f"  base URL  {sandbox.base_url}",
        f"  API key   {sandbox.api_key}",
        *([f"  webhook   {webhook}, shared secret {sandbox.webhook_secret}"] if webhook else []),
        "",
        f"export LIVEPEER_BASE_URL={sandbox.base_url}",
        f"export LIVEPEER_API_KEY={sandbox.api_key}",
    ]
    output().print(Text("\n".join(lines)))
