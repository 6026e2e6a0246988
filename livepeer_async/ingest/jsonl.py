"""A line of JSON to the names and values of a row.

Pure.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from livepeer_async.ingest.lines import as_text
from livepeer_async.ingest.rows import Refusal


def read_object(content: bytes | None) -> dict[str, Any] | None:
    """Decode a line; None for one that has nothing but space in it.

    Raises:
        Refusal: it isn't a JSON object in UTF-8, or too long.
    """
    text = as_text(content)
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        if not text.strip():
            return None
        raise Refusal(f"the line isn't a JSON object: {_reason(error)}") from error
    if not isinstance(found, dict):
        raise Refusal('the line is JSON, but no object; wanted one, as in {"path": "talk.mp4"}')
    return cast("dict[str, Any]", found)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return str(error).removeprefix("JSON is malformed: ")
