"""Leftovers of uploads: what a run reports of them, and the table of `journal orphans`."""

from __future__ import annotations

from collections.abc import Iterable

from livepeer_async.cli.output.console import print_note, print_table
from livepeer_async.cli.output.formatting import format_timestamp, pluralize
from livepeer_async.redaction import show_source
from livepeer_async.uploads.leftovers import Leftover, LeftoverReport

COMMAND = "livepeer-async journal orphans"
UNKNOWN = "-"


def print_leftovers(report: LeftoverReport, journal_option: str) -> None:
    """Print what a run has left behind, with the command that ends it; each is reported once.

    Args:
        report: the leftovers.
        journal_option: the option that names the journal in the command.
    """
    owned = [leftover for leftover in report.found if leftover.is_ours]
    unsure = [leftover for leftover in report.found if not leftover.is_ours]
    if owned:
        print_note(
            f"{_list(owned)} left over by a failed upload, and not deleted: to delete, use "
            f"{COMMAND}{journal_option} --delete"
        )
    if unsure:
        print_note(
            f"{_list(unsure)} perhaps left over by a request whose response was lost, judging by "
            f"name and time: to look, delete or dismiss, use {COMMAND}{journal_option}"
        )
    if report.unsearchable:
        requests = pluralize(report.unsearchable, "request")
        print_note(
            f"{requests} for uploads got no response and may have left assets without bytes, which "
            f"this API key can't list: to dismiss, use {COMMAND}{journal_option} --dismiss"
        )


def print_leftover_table(leftovers: Iterable[Leftover]) -> None:
    """Print a table of leftovers; "known by" says how certain they are."""
    headers = ["name", "asset ID", "phase", "created", "known by"]
    rows = [_table_row(leftover) for leftover in leftovers]
    print_table(headers, rows, order=["phase", "created"], state="known by")


def _table_row(leftover: Leftover) -> list[str]:
    asset = leftover.asset
    return [
        show_source(asset.name or leftover.key),
        asset.id,
        asset.phase or UNKNOWN,
        format_timestamp(asset.created_at / 1000 if asset.created_at else None),
        "its ID" if leftover.is_ours else "name and time",
    ]


def _list(leftovers: list[Leftover]) -> str:
    """Return the number of leftovers, with the first one."""
    asset = leftovers[0].asset
    first = f"{show_source(asset.name or leftovers[0].key)}, {asset.id}"
    if len(leftovers) == 1:
        return f"1 asset ({first}) was"
    return f"{pluralize(len(leftovers), 'asset')} (the first is {first}) were"
