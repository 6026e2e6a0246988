"""Which paths a glob means, decided part by part, so that a walk needn't look where nothing fits.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

_ANY_DEPTH = "**"
_MAGIC = re.compile(r"[*?\[]")
# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi", ".ts", ".mpg", ".mpeg", ".3gp", ".flv", ".wmv",
    ".mts", ".m2ts", ".ogv", ".mxf",
)
# fmt: on


class Pattern:
    """A glob below a folder: `*` and `?` stay in one part, `**` goes through folders.

    What begins with a dot is hidden, and fits only a part that begins with one too.

    Args:
        parts: of the path below the folder.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        self._parts = [part for part in parts if part not in {"", "."}]
        self._tests = [re.compile(translate(part)) for part in self._parts]
        last = self._parts[-1] if self._parts else ""
        suffix = last.rpartition(".")[2] if "." in last.lstrip(".") else "*"
        self._takes_all = not has_magic(suffix)

    @property
    def start(self) -> frozenset[int]:
        """Where the first name of a path is looked for."""
        return self._passed({0})

    def step(self, at: frozenset[int], name: str) -> frozenset[int]:
        """Say where the next name is looked for; nowhere, if this one doesn't fit."""
        return self._passed(
            index if self._parts[index] == _ANY_DEPTH else index + 1
            for index in at
            if index < len(self._parts) and self._fits(index, name)
        )

    def is_end(self, at: frozenset[int]) -> bool:
        """Whether the whole pattern fits."""
        return len(self._parts) in at

    def goes_on(self, at: frozenset[int]) -> bool:
        """Whether something below may fit."""
        return any(index < len(self._parts) for index in at)

    def takes(self, name: str) -> bool:
        """Whether a file that fits is one to ingest.

        It must be a video by its name, unless the pattern itself says how names end.
        """
        return self._takes_all or is_video(name)

    def _fits(self, index: int, name: str) -> bool:
        part = self._parts[index]
        if name.startswith(".") and not part.startswith("."):
            return False
        return part == _ANY_DEPTH or self._tests[index].match(name) is not None

    def _passed(self, at: Iterable[int]) -> frozenset[int]:
        """Add where `**` may stand for no folder at all."""
        reached = set(at)
        for index, part in enumerate(self._parts):
            if index in reached and part == _ANY_DEPTH:
                reached.add(index + 1)
        return frozenset(reached)


def is_video(name: str) -> bool:
    """Whether a file's name ends as that of a video."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def has_magic(text: str) -> bool:
    """Whether a text has characters that a glob gives a meaning."""
    return _MAGIC.search(text) is not None


def split_pattern(path: str) -> tuple[str, Pattern]:
    """Cut a glob in the folder that it begins in and what it means below."""
    parts = path.split("/")
    plain = next(index for index, part in enumerate(parts) if has_magic(part))
    folder = "/".join(parts[:plain])
    return folder or ("/" if plain else ""), Pattern(parts[plain:])


EVERYTHING = Pattern([_ANY_DEPTH])
