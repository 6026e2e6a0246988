"""Deprecated names of the public tus API; each warns and works until the next minor version."""

from __future__ import annotations

import warnings
from typing import Any


def warn_deprecated(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Emit a DeprecationWarning; by default for the caller of the caller."""
    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=stacklevel)


class Renamed:
    """A class attribute that warns and returns the attribute `new` of the same object."""

    def __init__(self, new: str) -> None:
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = name

    def __get__(self, instance: object, owner: type) -> Any:
        warn_deprecated(f"{owner.__name__}.{self._old}", self._new)
        return getattr(owner if instance is None else instance, self._new)
