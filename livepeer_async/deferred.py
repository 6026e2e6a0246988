"""Modules that are imported, and regular expressions that are compiled, when first used."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, AnyStr, Generic, TypeVar, cast

T = TypeVar("T")


class _Deferred(Generic[T]):
    """Stands for an object that is created when one of its attributes is first used.

    Args:
        create: creates the object; called again after an error, and perhaps in several threads.
    """

    def __init__(self, create: Callable[[], T]) -> None:
        self._create = create

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Of protocols such as `copy`, which must not create the object.
            raise AttributeError(name)
        value = getattr(self._create(), name)
        # Further uses don't reach this method.
        setattr(self, name, value)
        return value


def deferred_module(name: str) -> Any:
    """Return an object with the attributes of a module, which is imported for the first of them.

    Bind it to the module's name, and import the module beside it `if TYPE_CHECKING`.
    """
    return _Deferred(lambda: import_module(name))


def deferred_pattern(pattern: AnyStr, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[AnyStr]:
    """Return a regular expression that is compiled at its first use.

    Compiling takes 0.1 to 0.5 ms, and most expressions are for errors and rare responses.
    """
    # `re` caches what it compiles.
    return cast("re.Pattern[AnyStr]", _Deferred(lambda: re.compile(pattern, flags)))
