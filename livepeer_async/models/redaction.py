"""What a Struct that holds a secret shows of itself.

In comes a Struct and, for each of its secret fields, a way to mask it; out comes a repr without
the secrets. A Struct uses it in two methods: `__rich_repr__`, which rich and `format_repr` read,
and `__repr__`, because msgspec's own repr prints the fields as they are.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET, Struct

MASK = "***"

# A URL whose parts can be told apart for certain. A secret key of S3 may hold a raw `/`, which
# moves the `@` of the userinfo into the path: such a URL doesn't match and is masked as a whole.
_PLAIN_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)"
    r"(?:[^/?#]*@)?"
    r"(?P<place>(?:\[[0-9a-f:.]+\]|[^/?#@:]+)(?::\d+)?(?:/[^?#@]*)?)"
    r"(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)


def hide_query(url: str) -> str:
    """Drop userinfo, query and fragment of a URL; mask what can't be read as a URL."""
    match = _PLAIN_URL.fullmatch(url)
    return match["scheme"] + match["place"] if match else MASK


def show_source(source: Any) -> Any:
    """Show a path, a key or another source as it is, and a URL without userinfo and query."""
    return hide_query(source) if isinstance(source, str) and "://" in source else source


def hide_all(_secret: str) -> str:
    """Mask a value as a whole."""
    return MASK


def hide_values(named: Mapping[str, object]) -> dict[str, str]:
    """Keep the names, of headers for instance, and mask their values."""
    return dict.fromkeys(named, MASK)


def shown_fields(struct: Struct, **masks: Callable[[Any], object]) -> list[tuple[str, Any]]:
    """List name and value of each field, masked where `masks` names the field.

    None and UNSET say that there is no secret and stay as they are.
    """
    shown: list[tuple[str, Any]] = []
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if name in masks and value is not None and value is not UNSET:
            value = masks[name](value)
        shown.append((name, value))
    return shown


def format_repr(struct: Struct) -> str:
    """Write the repr of a Struct from what its `__rich_repr__` shows."""
    fields = ", ".join(f"{name}={value!r}" for name, value in struct.__rich_repr__())
    return f"{type(struct).__name__}({fields})"
