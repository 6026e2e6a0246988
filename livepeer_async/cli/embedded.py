"""`livepeer-async demo` and `sandbox`, which run an embedded sandbox."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from livepeer_async.cli.command import Command
from livepeer_async.cli.extras import require_sandbox
from livepeer_async.cli.options import Storage, check_api_key, check_url
from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    from livepeer_async.cli import runner
    from livepeer_async.cli.output import error_messages
else:
    # Imported by the command; its help needs none of them.
    error_messages = deferred_module("livepeer_async.cli.output.error_messages")
    runner = deferred_module("livepeer_async.cli.runner")

demo_app = typer.Typer(rich_markup_mode=None, add_completion=False)
sandbox_app = typer.Typer(rich_markup_mode=None, add_completion=False)

SandboxStorage = Annotated[
    Storage,
    typer.Option(
        "--storage",
        help="Storage of the sandbox: plain files, or S3 with the limitations of Livepeer's.",
    ),
]
SandboxKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="API key that is valid there; a new one by default.",
        callback=check_api_key,
    ),
]
ProcessingSeconds = Annotated[
    float,
    typer.Option(
        "--processing-seconds", metavar="SECONDS", min=0, help="Seconds to process an upload."
    ),
]
WebhookUrl = Annotated[
    str | None,
    typer.Option("--webhook", metavar="URL", help="URL that gets all events.", callback=check_url),
]
WebhookSecret = Annotated[
    str | None,
    typer.Option(
        "--webhook-secret",
        metavar="TEXT",
        help="Shared secret that signs the events; by default a new one, which is printed.",
    ),
]


@demo_app.command(cls=Command)
def demo(
    *,
    storage: SandboxStorage = "s3",
    files: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=16, help="Number of videos.")
    ] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the videos and their folder.")] = False,
) -> None:
    """Demonstrate uploads against an embedded sandbox.

    Creates videos, uploads them concurrently, loses a connection, recovers, waits until they are
    ready, and compares the stored bytes with those sent. Nothing leaves this machine.
    """
    require_sandbox("demo")
    from livepeer_async.cli.demo import run_demo  # noqa: PLC0415 - it needs an extra

    runner.run_command(partial(run_demo, storage=storage, files=files, keep=keep))


@sandbox_app.command(cls=Command)
def sandbox(
    *,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Address to listen on; 0.0.0.0 lets other machines use the sandbox, which is not "
            "made for an untrusted network.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port on this machine; 0 picks a free one."
        ),
    ] = 0,
    storage: SandboxStorage = "file",
    api_key: SandboxKey = None,
    processing_seconds: ProcessingSeconds = 0.25,
    webhook: WebhookUrl = None,
    webhook_secret: WebhookSecret = None,
) -> None:
    """Serve a sandbox until Ctrl-C; the exit status is then 0."""
    require_sandbox("sandbox")
    from livepeer_async.cli.sandbox import serve_sandbox  # noqa: PLC0415 - it needs an extra

    runner.run_command(
        partial(
            serve_sandbox,
            host=host,
            port=port,
            storage=storage,
            api_key=api_key,
            processing_seconds=processing_seconds,
            webhook=webhook,
            webhook_secret=webhook_secret,
        ),
        on_interrupt=lambda: "the sandbox has stopped",
        interrupt_status=error_messages.ExitStatus.OK,
    )
