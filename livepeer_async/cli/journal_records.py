"""`livepeer-async journal list`, `forget` and `orphans --dismiss`, which need no API key."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from livepeer_async.cli.journal_places import JournalPlace, find_journals
from livepeer_async.cli.output.console import (
    output,
    print_error,
    print_json,
    print_note,
    print_table,
)
from livepeer_async.cli.output.error_messages import ExitStatus, format_error
from livepeer_async.cli.output.formatting import clean, format_timestamp, json_line, pluralize
from livepeer_async.cli.output.names import label_names
from livepeer_async.cli.session import journal_path
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import JournalError, LivepeerError
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.records import FULLY_UPLOADED, Record
from livepeer_async.redaction import show_source
from livepeer_async.sources.source import source_key
from livepeer_async.uploads.leftovers import dismiss

UNKNOWN = "-"


async def list_records(path: str | None, *, json: bool) -> ExitStatus:
    """Print the records of the journal at a path, or of the default journals."""
    status = ExitStatus.OK
    for place in await find_journals(path):
        try:
            async with place.open() as journal:
                records = await journal.records()
        except JournalError as error:
            print_error(format_error(error))
            status = ExitStatus.FAILED
            continue
        for record in records if json else ():
            print_json(_document(record, journal.path))
        if not json:
            print_note(f"journal: {place}" + ("" if records else " (empty)"))
            _print_records(records)
    return status


async def forget_records(keys: Sequence[str], path: str | None) -> ExitStatus:
    """Delete records from the journal at a path, or from the default journals."""
    places = await find_journals(path)
    status = ExitStatus.OK
    for key in dict.fromkeys(keys):
        found = [(place, it) for place in places for it in await _find_records(place, key)]
        if len(found) == 1:
            ((place, record),) = found
            async with place.open() as journal:
                await journal.forget(record.key)
            output().print(f"forgot {key}")
            _print_left(record)
            continue
        status = ExitStatus.FAILED
        if not found:
            where = "the journal has" if len(places) == 1 else "the journals have"
            print_error(
                f"{where} no {key!r}; wanted a key, the path of a file or an asset ID, as "
                "livepeer-async journal list shows them"
            )
        elif len({place for place, _ in found}) > 1:
            print_error(f"several journals have {key!r}: name one of them with --journal")
        else:
            print_error(
                f"{len(found)} records are shown as {key!r}: use the asset ID, or the whole URL"
            )
    return status


async def note_change(livepeer: AsyncLivepeer, asset_id: str, *, name: str | None) -> None:
    """Update the default journal after an asset was renamed; `None` if it was deleted.

    A failure is only reported: a later run looks at the asset.
    """
    fingerprint = livepeer.account_fingerprint
    try:
        file = journal_path(fingerprint)
        if not file.exists():
            return
        async with aclosing(Journal(file, account=fingerprint)) as journal:
            keys = [it.key for it in await journal.records() if it.asset_id == asset_id]
            for key in keys:
                if name is None:
                    await journal.forget(key)
                    await journal.drop_orphan(asset_id)
                else:
                    await journal.rename(key, name)
    except (LivepeerError, RuntimeError) as error:
        print_note(f"the journal isn't up to date: {error}")


async def dismiss_requests(path: str | None) -> ExitStatus:
    """Forget requests whose responses were lost, of the same journals as `forget_records`."""
    count = 0
    for place in await find_journals(path):
        async with place.open() as journal:
            count += await dismiss(journal, None)
    print_dismissed(count)
    return ExitStatus.OK


def print_dismissed(count: int) -> None:
    """Print how many possible leftovers were forgotten."""
    print_note(f"dismissed {pluralize(count, 'possible leftover')}; nothing was deleted")


def _print_left(record: Record) -> None:
    """Print what a forgotten upload leaves on the server."""
    if record.state in FULLY_UPLOADED:
        print_note(
            f"its asset stays on the server; to delete it: livepeer-async assets delete "
            f"{record.asset_id}"
        )
    else:
        print_note("it may leave an asset on the server: livepeer-async journal orphans")


async def _find_records(place: JournalPlace, key: str) -> list[Record]:
    """Return records by key, by the path of their file, or as `journal list` shows."""
    async with place.open() as journal:
        records = {record.key: record for record in await journal.records()}
    for exact in (key, source_key(key) or key):
        if exact in records:
            return [records[exact]]
    return [record for record in records.values() if key in _shown_forms(record)]


def _shown_forms(record: Record) -> set[str]:
    """Return what `journal list` shows of a record, apart from its name.

    No command line can contain the NUL of the keys that older versions wrote for a file that was
    named twice.
    """
    key = show_source(record.key)
    ids = {it for it in (record.asset_id, record.playback_id) if it is not None}
    return ids | {key, clean(key), json_line(key)[1:-1]}


def _document(record: Record, journal: str) -> dict[str, object]:
    return {
        "key": show_source(record.key),
        "state": str(record.state),
        "name": record.name,
        "asset_id": record.asset_id,
        "playback_id": record.playback_id,
        "size": record.identity.length,
        "journal": journal,
    }


def _print_records(records: Sequence[Record]) -> None:
    if not records:
        return
    headers = ["name", "asset ID", "playback ID", "state", "requested", "key"]
    names = label_names({show_source(it.key): it.name for it in records})
    rows = [
        [
            names[show_source(record.key)],
            record.asset_id or UNKNOWN,
            record.playback_id or UNKNOWN,
            record.state,
            format_timestamp(record.requested_at),
            show_source(record.key),
        ]
        for record in records
    ]
    shown = print_table(headers, rows, order=["key", "playback ID", "requested"], state="state")
    if "key" not in shown:
        print_note(
            "the keys don't fit: use --json or a wider terminal to see them; journal forget also "
            "takes asset IDs"
        )
