"""Checks for optional packages; imports nothing from an extra itself."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

USAGE = 2


def require(what: str, *packages: str) -> None:
    """Exit with a message if a package that `what` needs is missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        sys.stderr.write(
            f"Error: {what} needs {' and '.join(missing)}, not installed here: "
            f"{install_command(*missing)}\n"
        )
        sys.exit(USAGE)


def require_sandbox(what: str) -> None:
    """Exit with a message if the packages of the sandbox are missing."""
    require(what, "starlette", "uvicorn")


def install_command(*packages: str) -> str:
    """Return the command that installs packages into the environment of this program.

    It names packages instead of extras, because `livepeer-async[cli]` is only found at a package
    index, while this package may come from a folder, a wheel or a repository.
    """
    names = " ".join(packages)
    if Path(sys.prefix, "pipx_metadata.json").exists():
        return f"pipx inject livepeer-async {names}"
    if find_spec("pip") is None:
        return f"uv pip install --python {quote(sys.prefix)} {names}"
    pip = shutil.which("pip")
    is_own = pip is not None and Path(pip).parent == Path(sys.executable).parent
    return f"{'pip' if is_own else f'{quote(sys.executable)} -m pip'} install {names}"
