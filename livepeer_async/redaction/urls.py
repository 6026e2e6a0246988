"""URLs for messages: without userinfo, query and upload ID."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from livepeer_async.deferred import deferred_pattern
from livepeer_async.redaction.credentials import MIN_SECRET_LENGTH, REDACTED

# Characters of an upload ID that are shown: enough to find the upload in the server's log.
SHOWN_ID_LENGTH = 4
# A URL or a relative reference with unambiguous parts; the groups are the shown parts. A secret key
# of S3 may hold a raw "/", which ends the host, so no "@" may follow a port.
_URL = deferred_pattern(
    r"((?:[a-z][a-z0-9+.-]*:)?//)(?:[^/?#\\]*@)?(\[[0-9a-f:.]+\]|[^][/?#@:\\]+)"
    r"(?:(:\d+(?:/[^?#@]*)?)(?:[?#][^@]*)?|((?:/[^?#]*)?)(?:[?#].*)?)"
    r"|(?!//)((?:[^/?#@:\\]*/[^?#@\\]*)?)(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_ORIGIN = deferred_pattern(r"(?:(?:[a-z][a-z0-9+.-]*:)?//[^/]*)?", re.IGNORECASE)
_SEGMENT = deferred_pattern(r"/|%2f|(?P<segment>(?:(?!%2f)[^/])+)", re.IGNORECASE)
# A folder's name: up to three words, joined by a capital, a hyphen or an underscore. IDs have
# digits or are longer.
_FOLDER = deferred_pattern(r"[A-Za-z][a-z]{0,10}(?:[A-Z_-][a-z]{2,10}){0,2}|v[0-9]{1,2}|s3")
_SEPARATORS = deferred_pattern(r"[;,=+.]")


def redact_url(url: str) -> str:
    """Drop userinfo, query and fragment of a URL; replace anything else."""
    match = _URL.fullmatch(url)
    return "".join(filter(None, match.groups())) if match else REDACTED


def redact_upload_url(url: str) -> str:
    """Cut an upload URL after the first characters of the upload ID.

    The path of an upload URL is a bearer secret: a tus server asks for no other.
    """
    shown = redact_url(url)
    if shown == REDACTED:
        return shown
    folder, upload_id = split_upload_url(shown)
    ellipsis = "…" if len(upload_id) > SHOWN_ID_LENGTH else ""
    return f"{folder}{upload_id[:SHOWN_ID_LENGTH]}{ellipsis}"


def show_source(source: Any) -> Any:
    """Redact a source or key that is a URL; return any other as it is."""
    return redact_url(source) if isinstance(source, str) and "://" in source else source


def split_upload_url(url: str) -> tuple[str, str]:
    """Split an upload URL, or its path, before the upload ID.

    The ID begins at the first segment that isn't a folder's name, or at the last segment.

    Args:
        url: without a query.
    """
    origin = _ORIGIN.match(url)
    segments = [it for it in _SEGMENT.finditer(url, origin.end() if origin else 0) if it["segment"]]
    if not segments:
        return url, ""
    ids = (it for it in segments if not _FOLDER.fullmatch(it[0]))
    start = next(ids, segments[-1]).start()
    return url[:start], url[start:]


def find_upload_secrets(url: str) -> set[str]:
    """Return the parts of an upload URL that must not be shown."""
    upload_id = re.sub(r"(?:/|%2f)+\Z", "", split_upload_url(url)[1], flags=re.IGNORECASE)
    segments = [it[0] for it in _SEGMENT.finditer(upload_id) if it["segment"]]
    ids = [it for it in segments if not _FOLDER.fullmatch(it)] or segments
    parts = {upload_id, *ids, *(part for it in ids for part in _SEPARATORS.split(it))}
    return {_strip_shown(part) for it in parts for part in (it, unquote(it))}


def _strip_shown(part: str) -> str:
    hidden = part[SHOWN_ID_LENGTH:]
    return hidden if len(hidden) >= MIN_SECRET_LENGTH else part
