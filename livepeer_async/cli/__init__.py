"""The command line, `livepeer-async`: `main` is its entry point."""

from livepeer_async.cli.entry import main

__all__ = ["main"]
