"""Reprs of values that may be secret or large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from msgspec import UNSET

from livepeer_async.redaction.credentials import REDACTED
from livepeer_async.redaction.texts import limit_text

T = TypeVar("T")
Class = TypeVar("Class", bound=type)
# Of text and bytes, and of other fields, in a repr.
MAX_SHOWN = 400
MAX_FIELD = 2000


class Hidden(Generic[T]):
    """A value with another repr: a secret among the local variables, or a long text.

    Args:
        value: the value.
        shown: its repr.
    """

    def __init__(self, value: T, shown: str = REDACTED) -> None:
        self.value = value
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown


def abbreviate(value: object) -> object:
    """Return a value, or a short description of long text or bytes, as its repr."""
    size = len(value) if isinstance(value, str) else _size_of_buffer(value)
    if size is None or size <= MAX_SHOWN:
        return value
    if isinstance(value, str):
        return Hidden(value, f"{value[:MAX_SHOWN]!r}… ({size:,} characters)")
    return Hidden(value, f"<{type(value).__name__}, {size:,} bytes>")


def _size_of_buffer(value: Any) -> int | None:
    try:
        with memoryview(value) as view:
            return view.nbytes
    except (BufferError, TypeError, ValueError):
        return None


def mask(_secret: object) -> str:
    """Replace a value as a whole."""
    return REDACTED


def mask_values(mapping: Mapping[str, object]) -> dict[str, str]:
    """Replace the values, of headers for example, and keep the names."""
    return dict.fromkeys(mapping, REDACTED)


def redacted(*names: str, **masks: Callable[[Any], object]) -> Callable[[Class], Class]:
    """Class decorator that adds a repr of limited length without secrets, for Python and rich.

    Args:
        names: attributes to show; by default all fields of a Struct.
        masks: a function for each attribute whose value needs redaction. None and UNSET aren't
            secrets and stay as they are.
    """

    def show(name: str, value: object) -> object:
        is_shown = name not in masks or value is None or value is UNSET
        return abbreviate(value if is_shown else masks[name](value))

    def decorate(cls: Class) -> Class:
        shown: tuple[str, ...] = names or getattr(cls, "__struct_fields__", ())

        def rich_repr(self: object) -> list[tuple[str, object]]:
            return [(name, show(name, getattr(self, name))) for name in shown]

        def plain_repr(self: object) -> str:
            fields = ", ".join(
                f"{name}={limit_text(repr(value), MAX_FIELD)}" for name, value in rich_repr(self)
            )
            return f"{type(self).__name__}({fields})"

        for method, function in (("__rich_repr__", rich_repr), ("__repr__", plain_repr)):
            setattr(cls, method, function)
        return cls

    return decorate
