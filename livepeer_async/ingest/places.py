"""Where the paths of a manifest lead: into its folder, or out of it.

In come paths as they were written; out come paths that can be opened. It looks at links, and at
nothing else of a file.
"""

# A Path for each of 100,000 rows would double the time that reading them takes.
# ruff: noqa: PTH114, PTH118

from __future__ import annotations

import os
from functools import lru_cache

from livepeer_async.ingest.rows import Refusal

# Rows next to each other share their folder. 100,000 rows with a folder each take 2.1 s to check,
# those with few folders 1.5 s (Python 3.11, one core of two, November 2026).
_FOLDERS_KNOWN = 1024


class Places:
    """The folder that paths are relative to.

    Args:
        folder: its path; empty for the working directory.
        allow_outside: whether a path may lead out of it.
    """

    def __init__(self, folder: str, *, allow_outside: bool) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._prefix = os.path.join(self._root, "")
        self._allow_outside = allow_outside
        self._real_folder = lru_cache(_FOLDERS_KNOWN)(_real_prefix)

    def locate(self, path: str) -> str:
        """Give a path that can be opened from the working directory.

        Raises:
            Refusal: it leads out of the folder.
        """
        joined = os.path.join(self._folder, path)
        if not self._allow_outside and not self._is_inside(real := self._follow(joined)):
            found = f"{path!r} is {real!r}" if os.path.islink(joined) else repr(path)
            raise Refusal(
                f"{found}, outside of the folder {self._folder or os.curdir!r}; "
                "wanted a place inside of it, or --allow-outside"
            )
        return joined

    def _follow(self, path: str) -> str:
        folder, slash, name = path.rpartition("/")
        if name in {"", os.curdir, os.pardir}:
            return os.path.realpath(path)
        real = self._real_folder(folder or slash) + name
        return os.path.realpath(path) if os.path.islink(real) else real

    def _is_inside(self, real: str) -> bool:
        return real == self._root or real.startswith(self._prefix)


def _real_prefix(folder: str) -> str:
    return os.path.join(os.path.realpath(folder), "")
