"""Run the command line of another version."""

from livepeer_async import version

version.__version__ = "0.0.1"

from livepeer_async.cli import main  # noqa: E402 - it imports the version

main()
