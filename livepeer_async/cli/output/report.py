"""Results of uploads and rows, as JSON documents, tables and messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from livepeer_async.cli.output.console import (
    LINK,
    PLAYBACK_ID,
    print_error,
    print_note,
    print_table,
)
from livepeer_async.cli.output.error_messages import Scope, format_error
from livepeer_async.cli.output.formatting import (
    MAX_NAME_WIDTH,
    escape_surrogates,
    format_elapsed,
    format_size,
    pluralize,
)
from livepeer_async.cli.output.links import link_to
from livepeer_async.cli.output.names import shorten_names
from livepeer_async.cli.output.progress import BatchProgress, FileProgress, label_files
from livepeer_async.cli.stdin import STANDARD_INPUT
from livepeer_async.errors import LivepeerError, SourceError
from livepeer_async.ingest.events import RowEnded, RowState
from livepeer_async.ingest.rows import BadRow
from livepeer_async.models import Asset
from livepeer_async.redaction import show_source
from livepeer_async.sources.source import source_key
from livepeer_async.uploads.options import UploadResult

SHOWN_DIGITS = 8
BAD = "bad"
ROW_FIELDS = (
    *("key", "place", "state", "asset_id", "playback_id", "playerUrl", "playbackUrl"),
    *("bytes", "seconds", "attempts", "verified", "error", "is_earlier"),
)


def result_document(file: FileProgress, scope: Scope) -> dict[str, Any]:
    """Return the document of an upload that ended."""
    result = file.result or UploadResult(source=file.argument)
    asset, error = result.asset, result.error
    return {
        "source": file.argument,
        "asset_id": asset.id if asset else None,
        "playback_id": asset.playback_id if asset else None,
        **_links(asset.player_url if asset else None),
        "phase": asset.phase if asset else None,
        "size": result.length,
        "verified": str(result.verified) if result.verified else None,
        "sha256": result.sha256,
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "error": _error_document(error, format_error(error, scope)) if error else None,
    }


def interruption_document(file: FileProgress) -> dict[str, Any]:
    """Return the document of an interrupted upload, with the fields of `result_document`."""
    message = f"interrupted while {file.status}"
    if file.is_processing:
        message += f"; it may become ready: livepeer-async assets wait {file.asset_id}"
    return {
        **result_document(file, Scope()),
        "asset_id": file.asset_id,
        "phase": "interrupted",
        "size": file.length,
        **dict.fromkeys(("seconds", "attempts")),
        "error": {"type": "KeyboardInterrupt", "message": message},
    }


def asset_document(asset: Asset) -> dict[str, Any]:
    """Return the API's document of an asset, with the page that plays it.

    The API's `playbackUrl` is an HLS URL, so the page is `playerUrl` here.
    """
    document: dict[str, Any] = msgspec.to_builtins(asset)
    return document | ({"playerUrl": asset.player_url} if asset.player_url else {})


def upload_row_document(file: FileProgress, scope: Scope) -> dict[str, Any]:
    """Return the document of an upload in a report, with the fields of `row_document`.

    An upload without a result is unfinished.
    """
    result = file.result or UploadResult(source=file.argument)
    asset, error = result.asset, result.error
    is_stdin = file.argument == STANDARD_INPUT
    return _row_document(
        key=None if is_stdin else escape_surrogates(source_key(file.argument) or ""),
        place=escape_surrogates(file.argument),
        state=str(file.outcome or RowState.UNFINISHED),
        asset_id=file.asset_id,
        playback_id=asset.playback_id if asset else None,
        **_links(asset.player_url if asset else None),
        bytes=result.length or file.length,
        seconds=round(result.seconds, 3),
        attempts=result.attempts,
        verified=str(result.verified) if result.verified else None,
        error=_error_document(error, format_error(error, scope)) if error else None,
        is_earlier=file.was_uploaded_before,
    )


def row_document(ended: RowEnded, message: str) -> dict[str, Any]:
    """Return the document of a row that ended, with the message for its error."""
    return _row_document(
        key=escape_surrogates(show_source(ended.row.key)),
        place=escape_surrogates(ended.row.location),
        state=str(ended.state),
        asset_id=ended.asset_id,
        playback_id=ended.playback_id,
        **_links(ended.player_url),
        bytes=ended.length,
        seconds=round(ended.seconds, 3),
        attempts=ended.attempts,
        verified=ended.verified,
        error=_error_document(ended.error, message) if ended.error else None,
        is_earlier=ended.is_earlier,
    )


def bad_row_document(bad: BadRow) -> dict[str, Any]:
    """Return the document of a row that can't be used, with the fields of `row_document`."""
    return _row_document(
        key=escape_surrogates(show_source(bad.key)) if bad.key is not None else None,
        place=escape_surrogates(bad.location),
        state=BAD,
        attempts=0,
        error=_error_document(bad.error or bad, bad.message),
        is_earlier=False,
    )


def print_results(batch: BatchProgress, options: Mapping[str, Any]) -> None:
    """Print a table of successful uploads; the columns depend on the options of `upload_many`."""
    extra: list[str] = []
    if not options["wait"]:
        extra = ["state"]
    elif options["verify"]:
        extra = ["SHA-256", "verified"] if options["verify"] == "hash" else ["verified"]
    headers = ["name", "asset ID", "playback ID", "size", *extra[::-1], "time", LINK]
    rows: list[list[str]] = []
    for file in batch.files:
        result = file.result
        if result is None or result.error is not None:
            continue
        asset, sha256 = result.asset, result.sha256
        cells = {
            "name": file.name,
            "asset ID": asset.id if asset else "",
            "playback ID": (asset.playback_id if asset else None) or "",
            "size": format_size(result.length or 0),
            "state": str(file.outcome or ""),
            "verified": str(result.verified or "no"),
            "SHA-256": f"{sha256[:SHOWN_DIGITS]}…" if sha256 else "",
            "time": format_elapsed(result.seconds),
            LINK: (link_to(asset.player_url) if asset else None) or "",
        }
        rows.append([cells[header] for header in headers])
    if not rows:
        return
    shown = print_table(headers, rows, order=[LINK, PLAYBACK_ID, *extra, "size", "time"])
    links = [row[-1] for row in rows if row[-1]]
    if links and LINK not in shown:
        # Nothing follows the link, which a terminal may open.
        print_note(f"play {'it' if len(rows) == 1 else 'the first'}: {links[0]}")
        if len(links) > 1:
            print_note("--json and wider terminals show the link of each file")


def print_failures(batch: BatchProgress, scope: Scope) -> None:
    """Print a message for each upload that failed."""
    labels = label_files(batch.files)
    names = shorten_names(labels.values(), MAX_NAME_WIDTH)
    for file, label in labels.items():
        error = file.result.error if file.result else None
        if error is not None:
            # The message of a SourceError names the source.
            name = "" if isinstance(error, SourceError) else f"{names[label]}: "
            print_error(f"{name}{format_error(error, scope)}")


def print_summary(batch: BatchProgress, seconds: float) -> None:
    """Print a summary to standard error."""
    sent = f", {format_size(batch.acknowledged)} sent" if batch.acknowledged else ""
    print_note(f"{batch.summarize()}{sent} in {format_elapsed(seconds)}")
    earlier = sum(file.was_uploaded_before for file in batch.files)
    if earlier:
        files = pluralize(earlier, "file")
        print_note(f"{files} uploaded by an earlier run; use --force to upload again")


def _links(player_url: str | None) -> dict[str, str | None]:
    """Return the page that plays an asset, by the name that all documents have, and by its first.

    In documents of assets, `playbackUrl` is the API's HLS URL.
    """
    return {"playerUrl": player_url, "playbackUrl": player_url}


def _error_document(error: LivepeerError | BadRow, message: str) -> dict[str, str]:
    return {"type": type(error).__name__, "message": escape_surrogates(message)}


def _row_document(**fields: Any) -> dict[str, Any]:
    return dict.fromkeys(ROW_FIELDS) | fields
