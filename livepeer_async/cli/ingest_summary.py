"""What an ingestion came to: a small table, the failures by kind, and what to do next.

In comes its standing; the table goes to standard output, all else to standard error.
"""

from __future__ import annotations

from rich.text import Text

from livepeer_async.cli.report_file import ReportFile
from livepeer_async.cli.screen import output, say, say_error
from livepeer_async.cli.standing import Standing
from livepeer_async.cli.text import count, show_seconds, show_size
from livepeer_async.ingest.events import Checked, RowState

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
        said += f"; {count(checked.skipped, 'other file')} in the folders, taken for no video"
    output().print(Text(f"{place}: {said}"))


def tell_failures(standing: Standing) -> None:
    """Tell what failed: a line for each kind of error, with the first row that met it."""
    kinds = standing.tally.kinds.items()
    for name, kind in sorted(kinds, key=lambda it: it[1].number, reverse=True):
        first = f"{kind.place}: {kind.sentence}"
        example = first if kind.number == 1 else f"the first is {first}"
        say_error(f"{count(kind.number, 'row')} failed with {name}; {example}")


def tell_next(standing: Standing) -> None:
    """Tell what to do about rows that aren't ready."""
    tally = standing.tally
    bad, failed = tally.bad, tally.count(RowState.FAILED)
    if bad:
        say(f"{count(bad, 'bad row')}: mend the manifest and run the same command again")
    if failed:
        others = "" if standing.is_remembered else ", and uploads the others once more"
        say(f"{count(failed, 'row')} failed: the same command tries again{others}")
    arrived = tally.count(RowState.ARRIVED)
    if arrived:
        say(f"{count(arrived, 'row')} arrived and will become ready: livepeer-async assets list")


def tell_interruption(standing: Standing) -> str:
    """Say what is left after an interruption, and how to go on."""
    tally = standing.tally
    if tally.checked is None:
        return "interrupted before anything was uploaded"
    said = f"interrupted: {standing.board.summary()}"
    left = tally.count(RowState.UNFINISHED)
    if left and standing.is_remembered:
        said += f"; {count(left, 'row')} left: the same command goes on from there"
    elif left:
        said += f"; {count(left, 'row')} left"
    return said


def tell_report(report: ReportFile) -> None:
    """Tell where a line about each row stands, or how many are missing there."""
    if not report.missing:
        say(f"{report.name} has a line for each row that ended")
        return
    say_error(
        f"{report.name} lacks {count(report.missing, 'row')}; make room, and the same command "
        "writes it anew"
    )


def _rows(standing: Standing) -> list[tuple[str, str, str]]:
    tally = standing.tally
    earlier = f"{tally.earlier:,} of them by an earlier run" if tally.earlier else ""
    rows = [
        ("ready", tally.count(RowState.READY), earlier),
        ("arrived", tally.count(RowState.ARRIVED), ""),
        ("failed", tally.count(RowState.FAILED), ""),
        ("unfinished", tally.count(RowState.UNFINISHED), ""),
        ("bad rows", tally.bad, ""),
    ]
    return [(name, f"{number:,}", it) for name, number, it in rows if number or name == "ready"]


def _sent(standing: Standing, now: float) -> tuple[str, str, str]:
    moved, seconds = standing.board.moved, now - standing.board.started
    if not moved or seconds <= 0:
        return "time", show_seconds(seconds), ""
    rate = show_size(int(moved / seconds))
    return "sent", show_size(moved), f"in {show_seconds(seconds)}, {rate}/s"
