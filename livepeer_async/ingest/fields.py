"""Fields of a row: validates names and values, and builds the `Row`.

Pure. The names are the same in JSON and CSV: `path`, `url` or `source`, `key`, and the fields of
`NewAsset` in camelCase or snake_case, at every depth. Paths are not resolved here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from livepeer_async.api.arguments import (
    MAX_NAME,
    FieldError,
    explain,
    find_similar,
    read_fields,
    shorten_name,
)
from livepeer_async.deferred import deferred_pattern
from livepeer_async.http.messages import file_name_from_url
from livepeer_async.ingest.rows import Row, RowError
from livepeer_async.models import NewAsset
from livepeer_async.redaction import show_source

SOURCES = ("path", "url", "source")

_CAMEL = dict(zip(NewAsset.__struct_fields__, NewAsset.__struct_encode_fields__, strict=True))
_NAMES = frozenset(_CAMEL.values())
COLUMNS: dict[str, str] = {
    **{name: name for name in (*SOURCES, "key")},
    **_CAMEL,
    **{name: name for name in _CAMEL.values()},
}
"""Each accepted name, and the name of the field that it means."""

# Unknown names that a message lists.
MAX_UNKNOWN = 10
# What others call the fields, in lower case without spaces and underscores.
_SYNONYMS = {
    **dict.fromkeys(("file", "filename", "filepath", "video", "src"), "path"),
    **dict.fromkeys(("title", "videotitle", "videoname", "assetname", "label"), "name"),
    **dict.fromkeys(("link", "uri", "href", "videourl", "fileurl", "downloadurl"), "url"),
}
_SCHEME = deferred_pattern(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_URL = deferred_pattern(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


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
    is_flat = not any(isinstance(value, dict | list) for value in fields.values())
    try:
        if is_flat and fields.keys() <= _NAMES:
            return msgspec.convert(fields, NewAsset)
        return read_fields(fields, NewAsset)
    except msgspec.ValidationError as error:
        raise RowError(explain(error)) from error
    except FieldError as error:
        raise RowError(str(error)) from error


def explain_unknown(what: str, unknown: Sequence[str]) -> str:
    """Return a message about all unknown names of a row or a header, with what they may mean.

    Args:
        what: "field" or "column".
        unknown: the names.
    """
    known = list(dict.fromkeys(COLUMNS.values()))
    meant = {name: " or ".join(find_meaning(name)) for name in unknown[:MAX_UNKNOWN]}
    shown = {name: repr(shorten_name(name)) for name in meant}
    hint = "" if all(meant.values()) else f"; known are {', '.join(known)}"
    if len(unknown) == 1:
        (name,) = unknown
        hint = hint or f"; did you mean {meant[name]}?"
        return f"unknown {what} {shown[name]}{hint}"
    listed = [
        f"{shown[name]} (did you mean {near}?)" if near else shown[name]
        for name, near in meant.items()
    ]
    more = len(unknown) - len(listed)
    return f"unknown {what}s {', '.join(listed)}{f' and {more} more' * bool(more)}{hint}"


def find_meaning(name: str) -> list[str]:
    """Return the fields that an unknown name may stand for."""
    words = _SYNONYMS.get("".join(name.split()).replace("_", "").lower())
    return [words] if words else find_similar(name, dict.fromkeys(COLUMNS.values()))


def _rename(fields: Mapping[str, object]) -> dict[str, object]:
    known: dict[str, object] = {}
    unknown = [name for name in fields if name not in COLUMNS]
    if unknown:
        raise RowError(explain_unknown("field", unknown))
    for name, value in fields.items():
        column = COLUMNS[name]
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
        is_fetchable = scheme is not None and scheme[1].lower() in {"http", "https"}
        wanted = "it in url" if is_fetchable else "a path, or an http or https URL in url"
        raise RowError(f"path is the URL {show_source(source)}; wanted {wanted}")
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
