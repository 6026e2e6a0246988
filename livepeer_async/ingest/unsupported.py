"""Rows whose file Livepeer's pipeline would refuse, as the option `probe` finds."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from livepeer_async.concurrency import plain_task_group
from livepeer_async.errors import SourceUnsupported
from livepeer_async.ingest.rows import BadRow, CheckedRow, Row, add_sheet_row
from livepeer_async.probing.probe import MAX_CONCURRENT, Probe, probe_path


async def probe_row(probe: Probe, row: Row) -> BadRow | None:
    """Check the file of a row; return a bad row if the pipeline would refuse it."""
    if row.is_url:
        return None
    try:
        await probe_path(probe, row.source)
    except SourceUnsupported as error:
        return unsupported_row(row, error)
    return None


def unsupported_row(row: Row, error: SourceUnsupported) -> BadRow:
    """Return the bad row for a file that the pipeline would refuse."""
    message = add_sheet_row(str(error), row.line, row.sheet_row)
    return BadRow(row.location, message, error=error, length=row.length)


async def probe_rows(
    probe: Probe,
    rows: list[CheckedRow],
    *,
    finished: Container[str],
    on_probed: Callable[[], None] | None,
) -> None:
    """Check the files of rows, several at a time; replace those that would be refused by bad rows.

    Args:
        probe: the rules.
        rows: the rows.
        finished: keys of rows that aren't checked, because an earlier run finished them.
        on_probed: called after each file.
    """

    async def check(remaining: Iterator[tuple[int, CheckedRow]]) -> None:
        for index, row in remaining:
            if isinstance(row, Row) and not row.is_url and row.key not in finished:
                rows[index] = await probe_row(probe, row) or row
                if on_probed is not None:
                    on_probed()

    remaining = iter(list(enumerate(rows)))
    async with plain_task_group() as tasks:
        for _ in range(MAX_CONCURRENT):
            tasks.start_soon(check, remaining)
