"""Summary of an ingestion: a table, failures by kind, and what to do next.

The table goes to standard output, everything else to standard error.
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from livepeer_async.cli.output.console import (
    GAP,
    LINK,
    PLAYBACK_ID,
    output,
    print_error,
    print_note,
    print_problem,
    print_table,
)
from livepeer_async.cli.output.formatting import clean, format_elapsed, format_size, pluralize
from livepeer_async.cli.output.ingest_status import IngestStatus
from livepeer_async.cli.output.leftovers import print_leftovers
from livepeer_async.cli.output.links import link_to
from livepeer_async.cli.output.report_file import ReportFile
from livepeer_async.ingest.events import Checked, RowState
from livepeer_async.ingest.manifest import JSONL_SUFFIXES, TABLE_SUFFIXES
from livepeer_async.ingest.rows import Row
from livepeer_async.sources.source import source_name

_STYLES = {"ready": "green", "failed": "red", "bad rows": "red"}


def print_counts(status: IngestStatus, seconds: float) -> None:
    """Print the number of rows in each state, and the bytes sent."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    # Only the remarks wrap in a narrow terminal.
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    for name, number, remark in [*_count_rows(status), _transfer_row(status, seconds)]:
        style = _STYLES.get(name, "") if number != "0" else ""
        table.add_row(name, Text(number, style=style), Text(remark, style="dim"))
    output().print(table)


def print_ready(status: IngestStatus, *, has_report: bool) -> None:
    """Print the assets of the first rows that this run has finished."""
    stats = status.stats
    if not stats.finished:
        return
    headers = ["name", "asset ID", PLAYBACK_ID, LINK]
    rows = [
        [
            ended.row.asset_name or source_name(ended.row.source),
            *(text or "" for text in (ended.asset_id, ended.playback_id)),
            link_to(ended.player_url) or "",
        ]
        for ended in stats.finished
    ]
    print_table(headers, rows, order=[LINK, PLAYBACK_ID])
    more = status.batch.succeeded - stats.earlier - len(rows)
    if more > 0:
        where = ": the report lists them all" if has_report else ""
        print_note(f"and {pluralize(more, 'more row')}{where}")


def print_check(checked: Checked, bad: int, manifest: str) -> None:
    """Print the result of checking a manifest."""
    line = pluralize(checked.rows, "good row")
    if checked.urls:
        line += f" ({pluralize(checked.urls, 'URL')})"
    line += f", {format_size(checked.length)}; {pluralize(bad, 'bad row')}"
    if checked.repeated:
        line += f"; {pluralize(checked.repeated, 'repeated row')}"
    if checked.skipped:
        line += f"; {pluralize(checked.skipped, 'other file')} skipped"
    output().print(Text(f"{manifest}: {line}"))


def print_name(row: Row) -> None:
    """Print the location of a row and the name of its asset."""
    name = row.asset_name or source_name(row.source)
    output().print(Text(clean(f"{row.location}  {name}")), soft_wrap=True)


def print_failure_kinds(status: IngestStatus) -> None:
    """Print the number of failures of each kind, with the first of each.

    Failures that need attention come before those that the same command retries.
    """
    restart = "" if status.journal_option is not None else " (and upload the others again)"
    for will_retry in (False, True):
        failures = status.stats.failures.items()
        kinds = [(name, kind) for (name, retried), kind in failures if retried is will_retry]
        number = sum(kind.number for _, kind in kinds)
        if not number:
            continue
        need = "needs" if number == 1 else "need"
        attention = f"failed and {need} your attention"
        retry = f"failed; run the same command to retry{restart}"
        print_error(f"{pluralize(number, 'row')} {retry if will_retry else attention}:")
        for name, kind in sorted(kinds, key=lambda it: it[1].number, reverse=True):
            first = f"; the first is {kind.location}: {kind.message}"
            print_problem(
                f"  {kind.number:,} {name}{first if kind.number > 1 else f', {kind.location}'}"
            )


def print_next_steps(status: IngestStatus, manifest: str) -> None:
    """Print what to do about rows that aren't ready."""
    stats = status.stats
    if stats.unsupported:
        it = "it" if stats.unsupported == 1 else "them"
        print_note(
            f"{pluralize(stats.unsupported, 'file')} can't be processed by Livepeer: convert {it}, "
            "or switch rules off with --probe-ignore"
        )
    bad = stats.bad - stats.unsupported
    if bad:
        what = "fix the manifest" if _is_list(manifest) else "fix the files"
        print_note(f"{pluralize(bad, 'bad row')}: {what} and run the same command again")
    if stats.in_use:
        are = "is" if stats.in_use == 1 else "are"
        print_problem(f"{pluralize(stats.in_use, 'row')} {are} in use by another run")
    print_leftovers(status.leftovers, status.journal_option or "")
    arrived = stats.count(RowState.UPLOADED)
    if arrived:
        rows = pluralize(arrived, "row")
        print_note(f"{rows} arrived and will become ready: livepeer-async assets list")


def print_empty(manifest: str) -> None:
    """Print that a manifest names no videos."""
    print_error(f"{manifest} {'names' if _is_list(manifest) else 'has'} no videos")


def describe_interruption(status: IngestStatus) -> str:
    """Describe what is unfinished after an interruption, and how to continue."""
    stats = status.stats
    if stats.checked is None or not stats.has_rows:
        return "interrupted before anything was uploaded"
    message = f"interrupted: {status.batch.summarize()}"
    unfinished = stats.count(RowState.UNFINISHED)
    if unfinished:
        message += f"; {pluralize(unfinished, 'row')} unfinished"
        resume = "run the same command to resume"
        restart = "without a journal, the same command uploads all rows again"
        message += f": {resume if status.journal_option is not None else restart}"
    return message


def print_report_state(report: ReportFile, *, has_run: bool, has_errors: bool = False) -> None:
    """Print the path of the report, or the number of missing lines.

    With errors, which the report lists, the path is printed also if the command is quiet.
    """
    if not report.missing:
        rows = "row that ended" if has_run else "bad row"
        printing = print_problem if has_errors else print_note
        printing(f"{report.name} has a line for each {rows}")
        return
    rows = pluralize(report.missing, "row")
    print_error(f"{report.name} lacks {rows}; free disk space and run the same command again")


def _count_rows(status: IngestStatus) -> list[tuple[str, str, str]]:
    stats = status.stats
    ready, arrived = stats.count(RowState.READY), stats.count(RowState.UPLOADED)
    of_them = "" if arrived else " of them"
    earlier = f"{stats.earlier:,}{of_them} by other runs" if stats.earlier else ""
    rows = [
        ("ready", ready, "" if arrived else earlier),
        ("arrived", arrived, earlier if arrived else ""),
        ("failed", stats.count(RowState.FAILED), ""),
        ("unfinished", stats.count(RowState.UNFINISHED), ""),
        ("bad rows", stats.bad, ""),
    ]
    return [(name, f"{number:,}", it) for name, number, it in rows if number or name == "ready"]


def _is_list(manifest: str) -> bool:
    """Whether a manifest is a file that lists the videos, and can be fixed."""
    is_list = manifest.lower().endswith((*JSONL_SUFFIXES, *TABLE_SUFFIXES))
    return is_list and not Path(manifest).is_dir()


def _transfer_row(status: IngestStatus, seconds: float) -> tuple[str, str, str]:
    acknowledged = status.batch.acknowledged
    if not acknowledged or seconds <= 0:
        return "time", format_elapsed(seconds), ""
    rate = format_size(acknowledged / seconds)
    return "sent", format_size(acknowledged), f"in {format_elapsed(seconds)}, {rate}/s"
