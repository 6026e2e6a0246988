"""The result of a command: a table for people, JSON lines for machines."""

from __future__ import annotations

import json
from typing import Any

from livepeer_async.cli.options import UploadChoices
from livepeer_async.cli.output.console import output, print_rows, say, say_error
from livepeer_async.cli.output.error_messages import describe
from livepeer_async.cli.output.formatting import count, shorten, show_seconds, show_size
from livepeer_async.cli.output.progress import Board, Item, Stage
from livepeer_async.errors import SourceError
from livepeer_async.ingest.events import RowEnded
from livepeer_async.ingest.rows import BadRow
from livepeer_async.redaction import show_source
from livepeer_async.uploads.options import UploadResult

SHOWN_DIGITS = 8
LONGEST_NAME = 60
BAD = "bad"


def result_line(item: Item, *, is_remembered: bool = False) -> str:
    """Write how an item ended as one line of JSON, in ASCII: any terminal or log can take it."""
    result = item.result or UploadResult(source=item.argument)
    asset, error = result.asset, result.error
    return json.dumps(
        {
            "source": item.argument,
            "asset_id": asset.id if asset else None,
            "playback_id": asset.playback_id if asset else None,
            "phase": asset.phase if asset else None,
            "size": result.length,
            "verified": str(result.verified) if result.verified else None,
            "sha256": result.sha256,
            "seconds": round(result.seconds, 3),
            "attempts": result.attempts,
            "error": error
            and {
                "type": type(error).__name__,
                "message": describe(error, is_upload=True, is_remembered=is_remembered),
            },
        }
    )


def interruption_line(item: Item) -> str:
    """Write where an item was at Ctrl-C, in the fields of `result_line`."""
    said = f"interrupted while {item.stage}"
    if item.stage is Stage.PROCESSING:
        said += f"; it may become ready: livepeer-async assets wait {item.asset_id}"
    fields = dict.fromkeys(("playback_id", "verified", "sha256", "seconds", "attempts"))
    return json.dumps(
        {
            "source": item.argument,
            "asset_id": item.asset_id,
            "phase": "interrupted",
            "size": item.length,
            **fields,
            "error": {"type": "KeyboardInterrupt", "message": said},
        }
    )


def document_line(document: Any) -> str:
    """Write a document of the API as one line of JSON."""
    return json.dumps(document)


def print_results(board: Board, choices: UploadChoices) -> None:
    """Print a table of what went well."""
    done = [item for item in board.items if item.result and item.result.error is None]
    if done:
        headers = ["name", "asset ID", "playback ID", "size", *_headers_for(choices), "time"]
        rows = [_row(item, choices) for item in done]
        print_rows(output(), headers, rows, dispensable="SHA-256")


def print_failures(board: Board, *, is_remembered: bool = False) -> None:
    """Print a sentence for each upload that failed."""
    for item in board.items:
        error = item.result.error if item.result else None
        if error is not None:
            # What is wrong with a source names it.
            name = "" if isinstance(error, SourceError) else f"{shorten(item.name, LONGEST_NAME)}: "
            said = describe(error, is_upload=True, is_remembered=is_remembered)
            say_error(f"{name}{said}")


def print_summary(board: Board, now: float) -> None:
    """Say in one line what was done, on standard error: it is no result."""
    seconds = now - board.started
    say(f"{board.summary()}, {show_size(board.sent)} in {show_seconds(seconds)}")
    earlier = [item for item in board.items if item.was_uploaded_before]
    if earlier:
        them = "it" if len(earlier) == 1 else "them"
        say(
            f"{count(len(earlier), 'file')} uploaded by an earlier run; --again uploads {them} anew"
        )


def _headers_for(choices: UploadChoices) -> list[str]:
    if not choices.is_waited_for:
        return ["phase"]
    return {"size": ["verified"], "hash": ["verified", "SHA-256"]}.get(choices.verify or "", [])


def _row(item: Item, choices: UploadChoices) -> list[str]:
    result = item.result or UploadResult(source=item.argument)
    asset = result.asset
    row = [item.name, *((asset.id, asset.playback_id or "") if asset else ("", ""))]
    row.append(show_size(result.length or 0))
    if not choices.is_waited_for:
        row.append((asset and asset.phase) or "unknown")
    elif choices.verify:
        row.append(str(result.verified or "no"))
        if choices.verify == "hash":
            row.append(f"{result.sha256[:SHOWN_DIGITS]}…" if result.sha256 else "")
    return [*row, show_seconds(result.seconds)]


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
