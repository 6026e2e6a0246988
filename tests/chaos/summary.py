"""Counts the results of the cases by kind of fault, as rows that pytest's reports can transport."""

from collections import Counter
from collections.abc import Iterable

from chaos.cases import Case
from chaos.fault_kinds import KINDS
from chaos.runner import READY, Outcome

HEAD = (
    "kind of fault",
    "cases",
    "fired",
    "injections",
    "ready of required",
    "ready",
    "typed errors",
)
# Kind, faults fired, whether readiness was required, results, seed and seconds of the case.
Row = list


def make_rows(case: Case, outcome: Outcome) -> list[Row]:
    """Create a row for each kind of fault in a case."""
    required = case.must_recover and not any(map(case.may_lose, case.sources))
    return [
        [kind, fired, required, outcome.results, case.seed, outcome.seconds]
        for kind, fired in outcome.fired.items()
    ]


def format_table(rows: Iterable[Row]) -> list[str]:
    """Format a line for each kind."""
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


def format_totals(rows: Iterable[Row]) -> str:
    """Format the number of cases and their time."""
    seconds_by_seed = {seed: seconds for *_, seed, seconds in rows}
    longest = max(seconds_by_seed.values())
    total = sum(seconds_by_seed.values())
    return f"{len(seconds_by_seed)} cases; {total:.0f} s in total, {longest:.1f} s the longest"


def count(name: str, rows: list[Row]) -> tuple[str, ...]:
    results = Counter(map(result_of, rows))
    ready = results.pop(READY, 0)
    required = [row for row in rows if row[2]]
    owed_ready = sum(result_of(row) == READY for row in required)
    errors = ", ".join(f"{error} {times}" for error, times in results.most_common())
    numbers = (
        len(rows),
        sum(row[1] > 0 for row in rows),
        sum(row[1] for row in rows),
        f"{owed_ready} of {len(required)}",
        ready,
    )
    return (name, *map(str, numbers), errors)


def result_of(row: Row) -> str:
    """Return the result of a case: its first error, or ready."""
    return next((end for end in row[3] if end != READY), READY)
