"""Fields of a row: validates names and values, and builds the `Row`.

Pure. The names are the same in JSON and CSV: `path`, `url` or `source`, `key`, and the fields of
`NewAsset` in camelCase or snake_case. Paths are not resolved here.
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
# Characters of a name in a message; a name may be 1 MB long.
MAX_NAME = 60

_CAMEL = dict(zip(NewAsset.__struct_fields__, NewAsset.__struct_encode_fields__, strict=True))
_NAMES = frozenset(_CAMEL.values())
COLUMNS: dict[str, str] = {
    **{name: name for name in (*SOURCES, "key")},
    **_CAMEL,
    **{name: name for name in _CAMEL.values()},
}
"""Each accepted name, and the name of the field that it means."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


def read_row(
    fields: Mapping[str, object],
    *,
    name_file: Callable[[str], str],
    manifest: str | None = None,
    line: int | None = None,
) -> Row:
    """Return the row of some fields; its key defaults to its source.

    Args:
        fields: names and JSON values.
        name_file: returns the name of the file at a path.
        manifest: the path of the manifest.
        line: the line of the row.

    Raises:
        RowError: a field is unknown, missing or invalid.
    """
    known = _rename(fields)
    column = _source_column(known)
    source = _pop_text(known, column)
    key = _pop_text(known, "key") if "key" in known else source
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
    """Build a `NewAsset` from the API's names and JSON values.

    Raises:
        RowError: a value has the wrong type, or a nested field is unknown.
    """
    try:
        new_asset = msgspec.convert(fields, NewAsset)
    except msgspec.ValidationError as error:
        raise RowError(_explain(error)) from error
    # The models ignore unknown fields, which is right for responses; in a row, a misspelled
    # field could make an asset public.
    is_flat = not any(isinstance(value, dict | list) for value in fields.values())
    if is_flat and fields.keys() <= _NAMES:
        return new_asset
    for path, name, names in _unknown_fields(fields, new_asset, ""):
        raise RowError(unknown_name("field", name, names, path=path))
    return new_asset


def unknown_name(what: str, name: str, names: Iterable[str], *, path: str = "") -> str:
    """Return a message about an unknown name, with similar names."""
    shown = shorten_name(name)
    near = get_close_matches(shown, names, n=2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(names)}"
    return f"unknown {what} {path + shown!r}{hint}"


def shorten_name(name: str) -> str:
    """Return an unknown name for a message; without a header, it may be a signed URL."""
    shown = show_source(name)
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}…"


def distinct_names() -> list[str]:
    """Return each column by one of its names."""
    return list(dict.fromkeys(COLUMNS.values()))


def _rename(fields: Mapping[str, object]) -> dict[str, object]:
    known: dict[str, object] = {}
    for name, value in fields.items():
        column = COLUMNS.get(name)
        if column is None:
            raise RowError(unknown_name("field", name, distinct_names()))
        if column in known:
            raise RowError(f"{column} is in the row twice; wanted once")
        known[column] = value
    return known


def _source_column(known: Mapping[str, object]) -> str:
    given = [column for column in SOURCES if column in known]
    if len(given) != 1:
        found = " and ".join(given) or "nothing to upload"
        raise RowError(f"the row names {found}; wanted one of path, url and source")
    return given[0]


def _pop_text(known: dict[str, object], column: str) -> str:
    value = known.pop(column)
    if not isinstance(value, str):
        raise RowError(f"{column} is {_describe_type(value)}; wanted text")
    if not value:
        raise RowError(f"{column} is empty")
    if "\0" in value:
        raise RowError(f"{column} contains a NUL byte")
    return value


def _describe_type(value: object) -> str:
    kinds: dict[type, str] = {bool: "true or false", dict: "an object", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _check_source(source: str, column: str) -> bool:
    """Return whether the source is a URL.

    Raises:
        RowError: it is a URL that can't be fetched, or in the wrong column.
    """
    scheme = _SCHEME.match(source)
    if scheme is None and column != "url":
        return False
    if column == "path":
        raise RowError(f"path is the URL {show_source(source)}; wanted it in url")
    if _URL.fullmatch(source) is None or not _has_host(source):
        found = f"has the scheme {scheme[1][:MAX_NAME]}" if scheme else "has no scheme"
        if scheme and scheme[1].lower() in {"http", "https"}:
            has_space = re.search(r"\s", source) is not None
            found = "contains a space" if has_space else "has no host, or an invalid port"
        raise RowError(f"{column} {found}; wanted an http or https URL with a host, without spaces")
    return True


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # `port` raises ValueError if it is invalid.
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _explain(error: msgspec.ValidationError) -> str:
    """Rewrite `Expected X, got Y - at $.field` to begin with the field."""
    reason, _, path = str(error).partition(" - at ")
    field = path.strip("`").removeprefix("$.") or "the row"
    return f"{field}: {reason[:1].lower()}{reason[1:].replace('`', '')}"


def _unknown_fields(
    raw: object, decoded: object, path: str
) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield each field that a Struct ignored: its path, its name, and the known names there."""
    if isinstance(decoded, Struct) and isinstance(raw, dict):
        names = decoded.__struct_encode_fields__
        for name, value in cast("dict[str, object]", raw).items():
            if name not in names:
                yield path, name, names
            elif isinstance(value, dict | list):
                inner = getattr(decoded, decoded.__struct_fields__[names.index(name)])
                yield from _unknown_fields(cast("object", value), inner, f"{path}{name}.")
    elif isinstance(decoded, list) and isinstance(raw, list):
        pairs = zip(cast("list[object]", raw), cast("list[object]", decoded), strict=True)
        for index, (item, inner) in enumerate(pairs):
            yield from _unknown_fields(item, inner, f"{path.rstrip('.')}[{index}].")
