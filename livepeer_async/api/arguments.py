"""Arguments of calls as request Structs: Structs, mappings of their fields, and names.

A mapping may have the API's names or those of the Structs, at every depth. An unknown field is an
error: a misspelled `playbackPolicy` would make an asset public.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, cast, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import fields as fields_of

from livepeer_async.errors import ConfigurationError
from livepeer_async.http.messages import file_name_from_url
from livepeer_async.models import (
    AssetPatch,
    NewAsset,
    NewAssetFromUrl,
    NewWebhook,
    WebhookPatch,
)
from livepeer_async.redaction import redact_url, show_source

T = TypeVar("T", bound=Struct)
NewAssetLike = NewAsset | Mapping[str, Any] | str
"""A `NewAsset`, a mapping of its fields, or a name."""

UNNAMED = "untitled"
# Characters of a name in a message; a name may be 1 MB long.
MAX_NAME = 60


class FieldError(ValueError):
    """A field is unknown, missing, or has a wrong type; the message begins with it."""


def as_new_asset(value: object, *, default_name: str | None = None) -> NewAsset:
    """Return a `NewAsset`.

    Args:
        value: a `NewAsset`, a mapping of its fields, a name, or None for the default name.
        default_name: the name, if `value` has none.

    Raises:
        ConfigurationError: the value is something else, or a field is invalid.
    """
    name = default_name if value is None else value
    if isinstance(name, str):
        return NewAsset(name)
    return _as_struct(value, NewAsset, {"name": default_name}, wanted="a NewAsset")


def given_name(value: object) -> str | None:
    """Return the beginning of the name in an argument for a new asset; None if it has none."""
    name: object = value
    if isinstance(value, NewAsset):
        name = value.name
    elif isinstance(value, Mapping):
        name = cast("Mapping[str, object]", value).get("name")
    return name[:MAX_NAME] if isinstance(name, str) else None


def as_import(url: str, value: object) -> NewAssetFromUrl:
    """Return a `NewAssetFromUrl`; arguments and errors as for `as_new_asset`.

    By default, the name is the last part of the URL's path. A `url` in the value must be the same.
    """
    if not isinstance(cast("object", url), str):
        raise ConfigurationError(f"url is a {type(url).__name__}; wanted a str")
    name = file_name_from_url(url) or UNNAMED
    if value is None or isinstance(value, NewAsset | str):
        return NewAssetFromUrl.from_new_asset(as_new_asset(value, default_name=name), url=url)
    defaults = {"name": name, "url": url}
    body = _as_struct(value, NewAssetFromUrl, defaults, wanted="a NewAsset, NewAssetFromUrl")
    if body.url != url:
        raise ConfigurationError(
            f"url is {redact_url(url)}, and new_asset has another one, {redact_url(body.url)}; "
            "wanted one URL"
        )
    return body


def as_patch(value: object) -> AssetPatch:
    """Return an `AssetPatch`; errors as for `as_new_asset`."""
    return _as_struct(value, AssetPatch, {}, wanted="an AssetPatch", what="patch")


def as_new_webhook(value: object) -> NewWebhook:
    """Return a `NewWebhook`; errors as for `as_new_asset`."""
    return _as_struct(value, NewWebhook, {}, wanted="a NewWebhook", what="new_webhook")


def as_webhook_patch(value: object) -> WebhookPatch:
    """Return a `WebhookPatch`, also of a `NewWebhook`; errors as for `as_new_asset`."""
    given = _fields_in(value, "patch") if isinstance(value, NewWebhook) else value
    return _as_struct(given, WebhookPatch, {}, wanted="a WebhookPatch", what="patch")


def read_fields(fields: Mapping[Any, object], kind: type[T]) -> T:
    """Return the Struct of a mapping of its fields, with names of the API or of the Struct.

    Raises:
        FieldError: a field is unknown, missing, or has a wrong type.
    """
    try:
        return msgspec.convert(_with_wire_names(fields, kind, ""), kind)
    except msgspec.ValidationError as error:
        raise FieldError(explain(error)) from error


def explain(error: msgspec.ValidationError) -> str:
    """Rewrite `Expected X, got Y - at $.field` to begin with the field."""
    reason, _, path = str(error).partition(" - at ")
    reason = f"{reason[:1].lower()}{reason[1:].replace('`', '')}"
    field = path.strip("`").removeprefix("$").removeprefix(".")
    return f"{field}: {reason}" if field else reason


def unknown_name(what: str, name: str, names: Iterable[str], *, path: str = "") -> str:
    """Return a message about an unknown name, with similar names."""
    shown = shorten_name(name)
    near = find_similar(name, names)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(names)}"
    return f"unknown {what} {path + shown!r}{hint}"


def find_similar(name: str, names: Iterable[str]) -> list[str]:
    """Return up to two names that an unknown one may stand for."""
    return get_close_matches(shorten_name(name), names, n=2, cutoff=0.6)


def shorten_name(name: str) -> str:
    """Return an unknown name for a message; without a header, it may be a signed URL."""
    shown = show_source(name)
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}…"


def _as_struct(
    value: object,
    kind: type[T],
    defaults: Mapping[str, object],
    *,
    wanted: str,
    what: str = "new_asset",
) -> T:
    if isinstance(value, kind):
        fields, given = _fields_in(value, what), dict[str, object]()
    elif isinstance(value, Mapping):
        fields = cast("Mapping[object, object]", value)
        given = {name: default for name, default in defaults.items() if default is not None}
    else:
        has_name = what == "new_asset"
        others = (
            ", a mapping of its fields, or a name" if has_name else ", or a mapping of its fields"
        )
        raise ConfigurationError(f"{what} is a {type(value).__name__}; wanted {wanted}{others}")
    try:
        struct = read_fields({**given, **fields}, kind)
    except FieldError as error:
        raise ConfigurationError(f"{what}: {error}") from error
    return value if isinstance(value, kind) and value == struct else struct


def _fields_in(struct: Struct, what: str) -> Mapping[object, object]:
    """Return the fields of a Struct as JSON values; its fields aren't checked when it is made."""
    try:
        return cast("Mapping[object, object]", msgspec.to_builtins(struct))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{what} can't be written as JSON: {error}") from error


def _with_wire_names(value: object, kind: object, path: str) -> object:
    """Return a value with the API's names in each mapping that stands for a Struct."""
    struct = _struct_in(kind)
    if struct is None:
        return value
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return [
            _with_wire_names(item, struct, f"{path.rstrip('.')}[{index}].")
            for index, item in enumerate(items)
        ]
    if not isinstance(value, Mapping):
        return value
    known, renamed = _names_of(struct), dict[str, object]()
    for name, inner in cast("Mapping[object, object]", value).items():
        if not isinstance(name, str) or name not in known:
            names = struct.__struct_encode_fields__
            raise FieldError(unknown_name("field", str(name), names, path=path))
        wire_name, inner_kind = known[name]
        if wire_name in renamed:
            raise FieldError(f"{path}{wire_name} is given twice; wanted once")
        renamed[wire_name] = _with_wire_names(inner, inner_kind, f"{path}{wire_name}.")
    return renamed


@cache
def _names_of(struct: type[Struct]) -> dict[str, tuple[str, object]]:
    """Return the API's name and the type of each field, by both of its names."""
    named = [(field.name, field.encode_name, field.type) for field in fields_of(struct)]
    by_name: dict[str, tuple[str, object]] = {}
    for name, wire_name, kind in named:
        by_name[name] = by_name[wire_name] = (wire_name, kind)
    return by_name


def _struct_in(kind: object) -> type[Struct] | None:
    """Return the Struct in a type such as `Sequence[Struct] | None`."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next(filter(None, map(_struct_in, get_args(kind))), None)
