"""What an ingestion came to: a small table, the failures by kind, and what to do next.

In comes its standing; the table goes to standard output, all else to standard error.
"""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from livepeer_async.cli.output.console import output, say, say_error
from livepeer_async.cli.output.formatting import count, show_seconds, show_size
from livepeer_async.cli.output.ingest_status import Standing
from livepeer_async.cli.output.report_file import ReportFile
from livepeer_async.ingest.events import Checked, RowState
from livepeer_async.ingest.manifest import JSONL_SUFFIXES, TABLE_SUFFIXES

GAP = 2
_STYLES = {"ready": "green", "failed": "red", "bad rows": "red"}


def print_table(standing: Standing, now: float) -> None:
    """Print how many rows ended how, and what went over the line."""
    rows = [*_rows(standing), _sent(standing, now)]
    names = max(len(name) for name, _, _ in rows) + GAP
    numbers = max(len(number) for _, number, _ in rows)
    for name, number, remark in rows:
        line = Text(name.ljust(names))
        line.append(number.rjust(numbers), style=_STYLES.get(name, "") if number != "0" else "")
        line.append(f"{' ' * GAP}{remark}" if remark else "", style="dim")
        output().print(line)


def print_check(checked: Checked, bad: int, place: str) -> None:
    """Print what a manifest came to, where nothing more was wanted."""
    said = count(checked.rows, "good row")
    if checked.urls:
        said += f" ({count(checked.urls, 'URL')})"
    said += f", {show_size(checked.length)}; {count(bad, 'bad row')}"
    if checked.skipped:
        said += f"; {count(checked.skipped, 'other file')} in the folders, not wanted or no video"
    output().print(Text(f"{place}: {said}"))


def tell_failures(standing: Standing) -> None:
    """Tell what failed: first what needs somebody, then what the same command tries again.

    Each kind of error has a line, with the first row that met it; what a single one says stands
    above, where it ended.
    """
    others = "" if standing.is_remembered else ", and uploads the others once more"
    for is_again in (False, True):
        kinds = [
            (name, kind)
            for (name, _), kind in standing.tally.kinds.items()
            if kind.comes_again is is_again
        ]
        if kinds:
            number = sum(kind.number for _, kind in kinds)
            needs, are = ("needs", "is") if number == 1 else ("need", "are")
            turn = f"{are} tried again by the same command{others}" if is_again else f"{needs} you"
            say_error(f"{count(number, 'row')} failed that {turn}:")
        for name, kind in sorted(kinds, key=lambda it: it[1].number, reverse=True):
            said = f"; the first is {kind.place}: {kind.sentence}"
            say(f"  {kind.number:,} {name}{said if kind.number > 1 else f', {kind.place}'}")


def tell_next(standing: Standing, place: str) -> None:
    """Tell what to do about rows that aren't ready."""
    tally = standing.tally
    if tally.bad:
        what = "mend the manifest" if _is_list(place) else "mend what is said of each above"
        say(f"{count(tally.bad, 'bad row')}: {what} and run the same command again")
    if tally.in_use:
        are = "is" if tally.in_use == 1 else "are"
        say(f"{count(tally.in_use, 'row')} {are} carried by another run")
    if standing.leftovers:
        say(
            f"up to {count(standing.leftovers, 'asset')} without bytes may be left over: "
            f"livepeer-async journal orphans{standing.journal or ''}"
        )
    arrived = tally.count(RowState.ARRIVED)
    if arrived:
        say(f"{count(arrived, 'row')} arrived and will become ready: livepeer-async assets list")


def tell_empty(place: str) -> None:
    """Tell that there was nothing to do, which nobody starts a command for."""
    say_error(f"{place} {'names' if _is_list(place) else 'has'} no videos")


def tell_interruption(standing: Standing) -> str:
    """Say what is left after an interruption, and how to go on."""
    tally = standing.tally
    if tally.checked is None or not tally.has_rows:
        return "interrupted before anything was uploaded"
    said = f"interrupted: {standing.board.summary()}"
    left = tally.count(RowState.UNFINISHED)
    if left and standing.is_remembered:
        said += f"; {count(left, 'row')} left: the same command goes on from there"
    elif left:
        said += f"; {count(left, 'row')} left"
    return said


def tell_report(report: ReportFile, *, has_run: bool) -> None:
    """Tell where a line about each row stands, or how many are missing there.

    Args:
        report: the place.
        has_run: whether rows were run, and not only looked through.
    """
    if not report.missing:
        say(f"{report.name} has a line for each {'row that ended' if has_run else 'bad row'}")
        return
    say_error(
        f"{report.name} lacks {count(report.missing, 'row')}; make room, and the same command "
        "writes it anew"
    )


def _rows(standing: Standing) -> list[tuple[str, str, str]]:
    tally = standing.tally
    ready, arrived = tally.count(RowState.READY), tally.count(RowState.ARRIVED)
    of_them = "" if arrived else " of them"
    earlier = f"{tally.earlier:,}{of_them} by an earlier run" if tally.earlier else ""
    rows = [
        ("ready", ready, "" if arrived else earlier),
        ("arrived", arrived, earlier if arrived else ""),
        ("failed", tally.count(RowState.FAILED), ""),
        ("unfinished", tally.count(RowState.UNFINISHED), ""),
        ("bad rows", tally.bad, ""),
    ]
    return [(name, f"{number:,}", it) for name, number, it in rows if number or name == "ready"]


def _is_list(place: str) -> bool:
    """Whether a manifest is a file with a row for each video, which can be mended."""
    return place.lower().endswith((*JSONL_SUFFIXES, *TABLE_SUFFIXES)) and not Path(place).is_dir()


def _sent(standing: Standing, now: float) -> tuple[str, str, str]:
    moved, seconds = standing.board.moved, now - standing.board.started
    if standing.had_nothing_to_send:
        return "sent", "0 B", "nothing was left to send"
    if not moved or seconds <= 0:
        return "time", show_seconds(seconds), ""
    rate = show_size(int(moved / seconds))
    return "sent", show_size(moved), f"in {show_seconds(seconds)}, {rate}/s"
