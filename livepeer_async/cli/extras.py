"""What only an extra brings, and the sentence where it is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

USAGE = 2


def need(what: str, *packages: str, extras: str) -> None:
    """Exit with a sentence where a package is missing.

    Args:
        what: what needs them.
        packages: names to import.
        extras: what brings them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        names = " and ".join(missing)
        sys.stderr.write(
            f"Error: {what} needs {names}, not installed here: "
            f'pip install "livepeer-async[{extras}]"\n'
        )
        sys.exit(USAGE)


def need_sandbox(what: str) -> None:
    """Exit with a sentence where the sandbox can't be started.

    Args:
        what: what needs it.
    """
    need(what, "starlette", "uvicorn", extras="cli,sandbox")
