"""Checks for optional packages; imports nothing from an extra itself."""

from __future__ import annotations

import sys
from importlib.util import find_spec

USAGE = 2


def require(what: str, *packages: str, extras: str) -> None:
    """Exit with a message if a package that `what` needs is missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        sys.stderr.write(
            f"Error: {what} needs {' and '.join(missing)}, not installed here: "
            f'pip install "livepeer-async[{extras}]"\n'
        )
        sys.exit(USAGE)


def require_sandbox(what: str) -> None:
    """Exit with a message if the packages of the sandbox are missing."""
    require(what, "starlette", "uvicorn", extras="cli,sandbox")
