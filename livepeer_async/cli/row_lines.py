r"""A row's end as one line of JSON, in ASCII: any log or terminal can take it, and any reader.

A byte of a file's name that isn't UTF-8 stands there as six characters, `\udcXX`: as an escape of
JSON, from which Python makes the name again, it makes strict readers refuse the line.
"""

from __future__ import annotations

import json
from typing import Any

from livepeer_async.ingest.events import RowEnded
from livepeer_async.ingest.rows import BadRow
from livepeer_async.models.redaction import show_source

BAD = "bad"


def ended_line(ended: RowEnded, sentence: str) -> str:
    """Write how a row ended.

    Args:
        ended: the row.
        sentence: what is said of its error.
    """
    error = ended.error
    return _line(
        key=_whole(show_source(ended.row.key)),
        place=_whole(ended.row.place),
        state=str(ended.state),
        asset_id=ended.asset_id,
        playback_id=ended.playback_id,
        bytes=ended.length,
        seconds=round(ended.seconds, 3),
        attempts=ended.attempts,
        verified=ended.verified,
        error=error and {"type": type(error).__name__, "message": _whole(sentence)},
        is_earlier=ended.is_earlier,
    )


def bad_line(bad: BadRow) -> str:
    """Write why a row can't be used, in the fields of `ended_line`."""
    error = {"type": type(bad).__name__, "message": _whole(bad.sentence)}
    key = _whole(show_source(bad.key)) if bad.key is not None else None
    return _line(key=key, place=_whole(bad.place), state=BAD, error=error)


def _line(**fields: Any) -> str:
    unknown = {"asset_id": None, "playback_id": None, "bytes": None, "seconds": None, "attempts": 0}
    return json.dumps(
        {"key": None, "place": None, "state": None, **unknown, "verified": None}
        | {"error": None, "is_earlier": False}
        | fields
    )


def _whole(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
