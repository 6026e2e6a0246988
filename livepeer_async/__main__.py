"""Run the command line as `python -m livepeer_async`."""

from livepeer_async.cli import main

if __name__ == "__main__":
    main()
