"""Run the command line as `python -m livepeer_async.cli`."""

from livepeer_async.cli import main

main()
