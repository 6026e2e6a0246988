"""Entry point: handles Ctrl-C, then imports and runs the typer app.

Imports nothing from an extra: a missing one is reported with a message instead of a traceback.
"""

from __future__ import annotations

import os
import sys

from livepeer_async.cli.interrupts import INTERRUPTED, exit_on_interrupt


def main() -> None:
    """Run the command line and exit with its status."""
    exit_on_interrupt()
    # Imported only now, because Ctrl-C can't be handled before.
    from livepeer_async.cli.streams import flush_streams, prepare_streams  # noqa: PLC0415

    prepare_streams()
    status: object = 0
    try:
        _run_app()
    except SystemExit as ended:
        status = ended.code
    except KeyboardInterrupt:
        # At the edge of a command; commands print their own message.
        sys.stderr.write("interrupted\n")
        status = INTERRUPTED
    status = flush_streams(status if isinstance(status, int) else 0)
    exit_on_interrupt(status, message="")
    if status == INTERRUPTED:
        # The interpreter would wait for threads, such as one that reads from a disk that hangs.
        os._exit(status)
    sys.exit(status)


def _run_app() -> None:
    from livepeer_async.cli.extras import require  # noqa: PLC0415 - see `main`
    from livepeer_async.cli.logs import configure_logging  # noqa: PLC0415

    configure_logging()
    require("the command line", "typer", "rich")
    from livepeer_async.cli.app import app  # noqa: PLC0415 - the extra may be missing

    app(prog_name="livepeer-async")
