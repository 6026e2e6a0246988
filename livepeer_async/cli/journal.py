"""`livepeer-async journal`: lists and cleans up what the journal knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from livepeer_async.cli.output.console import emit, output, print_rows, say, say_error
from livepeer_async.cli.output.error_messages import Status, describe, status_of
from livepeer_async.cli.output.formatting import count, show_time
from livepeer_async.cli.output.report import document_line
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import JournalError, LivepeerError
from livepeer_async.redaction import show_source
from livepeer_async.sources.source import source_key
from livepeer_async.uploads.leftovers import Leftover

UNKNOWN = "-"


async def list_records(path: str | None, *, is_json: bool) -> Status:
    """Show what the journal remembers."""
    _check_there(path)
    async with open_client(journal=path, is_remembered=True, is_knocking=False) as client:
        records = await client.journal.records() if client.journal else []
    if is_json:
        for record in records:
            facts = {
                "key": show_source(record.key),
                "state": str(record.state),
                "name": record.name,
            }
            ids = {"asset_id": record.asset_id, "playback_id": record.playback_id}
            emit(document_line({**facts, **ids, "size": record.identity.length}))
    elif records:
        rows = [
            [
                record.name,
                record.asset_id or UNKNOWN,
                record.playback_id or UNKNOWN,
                record.state,
                show_time(record.requested_at),
                show_source(record.key),
            ]
            for record in records
        ]
        print_rows(output(), ["name", "asset ID", "playback ID", "state", "asked for", "key"], rows)
    else:
        say("the journal is empty")
    return Status.OK


async def show_orphans(path: str | None, *, is_deleting: bool, is_json: bool) -> Status:
    """Show what uploads left on the server, and delete what is certainly ours if that is wanted."""
    _check_there(path)
    async with open_client(journal=path, is_remembered=True) as client:
        left = await client.leftovers()
        errors = await _delete(client, left) if is_deleting else {}
    for leftover in left if is_json else ():
        emit(_line(leftover, is_deleted=_is_deleted(leftover, errors, is_deleting=is_deleting)))
    if not is_json:
        _show(left, errors, is_deleting=is_deleting)
    return status_of(errors.values())


async def forget(keys: Sequence[str], path: str | None) -> Status:
    """Let the journal forget uploads; nothing is deleted on the server."""
    _check_there(path)
    status = Status.OK
    async with open_client(journal=path, is_remembered=True, is_knocking=False) as client:
        for key in dict.fromkeys(keys):
            if client.journal is not None and await _forget(client, key):
                output().print(f"forgot {key}")
            else:
                say_error(f"the journal knows no {key!r}; see livepeer-async journal list")
                status = Status.FAILED
    return status


def _check_there(path: str | None) -> None:
    """Look for a journal that was named: these commands make none."""
    if path is not None and not Path(path).exists():
        raise JournalError(f"there is no journal {path}", path=path)


async def _forget(client: AsyncLivepeer, key: str) -> bool:
    """Forget a key, the file whose path it is, or the one record whose key is shown so."""
    journal = client.journal
    if journal is None:
        return False
    path = source_key(key) or key
    if await journal.forget(key) or await journal.forget(path):
        return True
    shown = [it.key for it in await journal.records() if show_source(it.key) == key]
    if len(shown) > 1:
        say_error(f"{len(shown)} records are shown as {key!r}: name the whole URL")
    return len(shown) == 1 and await journal.forget(shown[0])


async def _delete(client: AsyncLivepeer, left: Sequence[Leftover]) -> dict[str, LivepeerError]:
    errors: dict[str, LivepeerError] = {}
    for leftover in left:
        if not leftover.is_ours:
            continue
        try:
            await client.delete_leftover(leftover.asset.id)
        except LivepeerError as error:
            errors[leftover.asset.id] = error
            say_error(f"{leftover.asset.id}: {describe(error)}")
    return errors


def _is_deleted(leftover: Leftover, errors: dict[str, LivepeerError], *, is_deleting: bool) -> bool:
    return is_deleting and leftover.is_ours and leftover.asset.id not in errors


def _show(left: Sequence[Leftover], errors: dict[str, LivepeerError], *, is_deleting: bool) -> None:
    ours = [leftover for leftover in left if leftover.is_ours]
    doubtful = [leftover for leftover in left if not leftover.is_ours]
    if not left:
        say("nothing is left over")
    headers = ["name", "asset ID", "phase", "created", "certainly ours"]
    if left:
        print_rows(output(), headers, [_row(leftover) for leftover in left])
    if is_deleting and ours:
        say(f"deleted {count(len(ours) - len(errors), 'asset')}")
    elif ours:
        say("--delete deletes those that are certainly ours")
    if doubtful:
        say(
            "the others fit a request whose answer was lost by name and time alone, and may be "
            "somebody else's: look at each, then livepeer-async assets delete ID"
        )


def _row(leftover: Leftover) -> list[str]:
    asset = leftover.asset
    created = show_time(asset.created_at / 1000) if asset.created_at else UNKNOWN
    answer = "yes" if leftover.is_ours else "perhaps"
    return [
        show_source(asset.name or leftover.key),
        asset.id,
        asset.phase or UNKNOWN,
        created,
        answer,
    ]


def _line(leftover: Leftover, *, is_deleted: bool) -> str:
    asset = leftover.asset
    facts = {"asset_id": asset.id, "name": asset.name, "phase": asset.phase}
    facts["key"] = show_source(leftover.key)
    return document_line({**facts, "is_ours": leftover.is_ours, "is_deleted": is_deleted})
