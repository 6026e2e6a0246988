"""Run the command line of another version."""

from livepeer_async import version

if __name__ == "__main__":
    version.__version__ = "0.0.1"

    from livepeer_async.cli import main  # it imports the version

    main()
