"""What one row says: names and values in, a `Row` out.

The names are the same in JSON and in CSV: `path`, `url` or `source`, `key`, and the fields of
`NewAsset` in camelCase or snake_case. Pure; the path is taken as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from livepeer_async.http.messages import file_name_from_url
from livepeer_async.ingest.rows import Row, RowError
from livepeer_async.models import NewAsset
from livepeer_async.redaction import show_source

SOURCES = ("path", "url", "source")
# Of a sentence; a field of 1 MB must not fill it.
LONGEST_NAME = 60

_CAMEL = dict(zip(NewAsset.__struct_fields__, NewAsset.__struct_encode_fields__, strict=True))
_NAMES = frozenset(_CAMEL.values())
COLUMNS: dict[str, str] = {
    **{name: name for name in (*SOURCES, "key")},
    **_CAMEL,
    **{name: name for name in _CAMEL.values()},
}
"""Each name that a row may use, and the one name of what it means."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


def read_row(
    fields: Mapping[str, object],
    *,
    name_file: Callable[[str], str],
    manifest: str | None = None,
    line: int | None = None,
) -> Row:
    """Read a row; the key of one that names none is its source.

    Args:
        fields: names and values as they were decoded from JSON; they needn't be known.
        name_file: gives the name of the file at a path.
        manifest: where the row stands.
        line: where the row stands.

    Raises:
        Refusal: something in it can't be used.
    """
    known = _rename(fields)
    column = _only_source(known)
    source = _take_text(known, column)
    key = _take_text(known, "key") if "key" in known else source
    is_url = _check_source(source, column)
    new_asset = None
    if known or is_url:
        if "name" not in known:
            known["name"] = file_name_from_url(source) if is_url else name_file(source)
        new_asset = read_new_asset(known)
    return Row(
        source=source, is_url=is_url, key=key, new_asset=new_asset, manifest=manifest, line=line
    )


def read_new_asset(fields: Mapping[str, object]) -> NewAsset:
    """Make a `NewAsset` of the API's names and JSON values.

    Raises:
        Refusal: a value isn't of its field's kind, or a nested field is unknown.
    """
    try:
        new_asset = msgspec.convert(fields, NewAsset)
    except msgspec.ValidationError as error:
        raise RowError(_explain(error)) from error
    # The models pass over unknown fields, which is right for answers; here it would make an asset
    # public because of a slip of the pen.
    is_flat = not any(isinstance(value, dict | list) for value in fields.values())
    if is_flat and fields.keys() <= _NAMES:
        return new_asset
    for path, name, names in _unknown_fields(fields, new_asset, ""):
        raise RowError(unknown_name("field", name, names, path=path))
    return new_asset


def unknown_name(what: str, name: str, names: Iterable[str], *, path: str = "") -> str:
    """Say that a name is unknown, and which ones are near to it."""
    # Where the header is missing the first row stands in its place, with a signed URL perhaps.
    shown = show_source(name)
    shown = shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}…"
    near = get_close_matches(shown, names, n=2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(names)}"
    return f"unknown {what} {path + shown!r}{hint}"


def distinct_names() -> list[str]:
    """List the columns, each by one name."""
    return list(dict.fromkeys(COLUMNS.values()))


def _rename(fields: Mapping[str, object]) -> dict[str, object]:
    known: dict[str, object] = {}
    for name, value in fields.items():
        column = COLUMNS.get(name)
        if column is None:
            raise RowError(unknown_name("field", name, distinct_names()))
        if column in known:
            raise RowError(f"{column} stands in the row twice; wanted once")
        known[column] = value
    return known


def _only_source(known: Mapping[str, object]) -> str:
    given = [column for column in SOURCES if column in known]
    if len(given) != 1:
        found = " and ".join(given) or "nothing to upload"
        raise RowError(f"the row names {found}; wanted one of path, url and source")
    return given[0]


def _take_text(known: dict[str, object], column: str) -> str:
    value = known.pop(column)
    if not isinstance(value, str):
        raise RowError(f"{column} is {_kind(value)}; wanted text")
    if not value:
        raise RowError(f"{column} is empty")
    if "\0" in value:
        raise RowError(f"{column} has a NUL byte in it")
    return value


def _kind(value: object) -> str:
    kinds: dict[type, str] = {bool: "true or false", dict: "an object", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _check_source(source: str, column: str) -> bool:
    """Whether the source is a URL, and one that can be fetched."""
    scheme = _SCHEME.match(source)
    if scheme is None and column != "url":
        return False
    if column == "path":
        raise RowError(f"path is the URL {show_source(source)}; wanted it in url")
    if _URL.fullmatch(source) is None or not _has_host(source):
        found = f"has the scheme {scheme[1][:LONGEST_NAME]}" if scheme else "has no scheme"
        if scheme and scheme[1].lower() in {"http", "https"}:
            found = "has a space in it" if re.search(r"\s", source) else "has no host, or no port"
        raise RowError(f"{column} {found}; wanted an http or https URL with a host, without spaces")
    return True


def _has_host(url: str) -> bool:
    try:
        place = urlsplit(url)
        # Reading the port checks it.
        return bool(place.hostname) and place.port != 0
    except ValueError:
        return False


def _explain(error: msgspec.ValidationError) -> str:
    """Turn `Expected X, got Y - at $.field` round, to begin with the field."""
    fault, _, path = str(error).partition(" - at ")
    where = path.strip("`").removeprefix("$.") or "the row"
    return f"{where}: {fault[:1].lower()}{fault[1:].replace('`', '')}"


def _unknown_fields(
    raw: object, decoded: object, path: str
) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Find what a Struct passed over: where, its name, and the names that are known there."""
    if isinstance(decoded, Struct) and isinstance(raw, dict):
        names = decoded.__struct_encode_fields__
        for name, value in cast("dict[str, object]", raw).items():
            if name not in names:
                yield path, name, names
            elif isinstance(value, dict | list):
                attribute = decoded.__struct_fields__[names.index(name)]
                made = getattr(decoded, attribute)
                yield from _unknown_fields(cast("object", value), made, f"{path}{name}.")
    elif isinstance(decoded, list) and isinstance(raw, list):
        pairs = zip(cast("list[object]", raw), cast("list[object]", decoded), strict=True)
        for index, (item, made) in enumerate(pairs):
            yield from _unknown_fields(item, made, f"{path.rstrip('.')}[{index}].")
