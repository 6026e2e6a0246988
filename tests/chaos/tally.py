"""Counts what became of the cases, kind by kind, and lays the counts out as a table.

The counts travel as plain lists through pytest's reports, so that they also come together where
the cases ran in several processes.
"""

from collections import Counter
from collections.abc import Iterable

from chaos.cases import Case
from chaos.kinds import KINDS
from chaos.running import READY, Outcome

HEAD = ("kind of fault", "cases", "struck", "strikes", "ready of owed", "ready", "typed errors")
# Kind, how often it struck, whether readiness was owed, ends, seed and seconds of the case. A list,
# because that is what a report can carry.
Row = list


def rows_of(case: Case, outcome: Outcome) -> list[Row]:
    """Give a row for each kind of fault in a case."""
    owed = case.must_survive and not any(map(case.may_lose, case.sources))
    return [
        [kind, struck, owed, outcome.ends, case.seed, outcome.seconds]
        for kind, struck in outcome.struck.items()
    ]


def lay_out(rows: Iterable[Row]) -> list[str]:
    """Make the table: a line for each kind, in the order of the kinds, and the sums."""
    rows = list(rows)
    table = [HEAD]
    for kind in KINDS:
        found = [row for row in rows if row[0] == kind.name]
        if found:
            table.append(count(kind.name, found))
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD) - 1)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:]), line[-1]])
        for line in table
    ]


def sum_up(rows: Iterable[Row]) -> str:
    """Say how many cases there were, and for how long they ran."""
    spent = {seed: seconds for *_, seed, seconds in rows}
    longest = max(spent.values())
    return (
        f"{len(spent)} cases; {sum(spent.values()):.0f} s in them, {longest:.1f} s in one at most"
    )


def count(name: str, rows: list[Row]) -> tuple[str, ...]:
    ends = Counter(map(end_of, rows))
    ready = ends.pop(READY, 0)
    owed = [row for row in rows if row[2]]
    owed_ready = sum(end_of(row) == READY for row in owed)
    errors = ", ".join(f"{error} {times}" for error, times in ends.most_common())
    numbers = (
        len(rows),
        sum(row[1] > 0 for row in rows),
        sum(row[1] for row in rows),
        f"{owed_ready} of {len(owed)}",
        ready,
    )
    return (name, *map(str, numbers), errors)


def end_of(row: Row) -> str:
    """Name the end of a case: its first error, where not all of its uploads became ready."""
    return next((end for end in row[3] if end != READY), READY)
