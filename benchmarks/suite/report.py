"""Tables of figures, for the terminal and for the README. Pure."""

import re

from suite.figures import OURS

BEGIN = "<!-- measurements: written by `python benchmarks --readme` -->"
END = "<!-- end of measurements -->"
SMALLEST = 0.01
# Numbers below a bound have so many decimals.
DIGITS = ((0.1, 3), (10, 2), (100, 1))
# Rows of the README, by (bench, figure).
README = (
    ("decode", "cpu"),
    ("upload-plain", "cpu"),
    ("upload-tls", "cpu"),
    ("small-files", "cpu"),
    ("small-files", "wall"),
    ("small-files", "ingest"),
    ("long-link", "rate"),
    ("loop", "ticker-p99"),
    ("memory", "uploads"),
    ("memory", "visitors"),
    ("polling", "calls"),
    ("import", "package"),
    ("journal", "again"),
)


def print_figures(figures):
    """Return a table of the median and the spread of each side, and of our ratio to it."""
    lines = []
    for figure in figures:
        unit = f" ({figure.unit})" if figure.unit else ""
        runs = len(figure.sides[OURS])
        lines.append(f"{figure.bench}: {figure.title}{unit}, medians of {runs} runs")
        for side in figure.sides:
            spread = " to ".join(map(number, figure.spread(side)))
            line = f"  {side:16} {number(figure.median(side)):>8}  ({spread})"
            if side != OURS and (ratios := figure.ratios(side)):
                bounds = f"{number(min(ratios))} to {number(max(ratios))}"
                line += f"   ours / this {number(figure.ratio(side))} ({bounds})"
            lines.append(line)
        lines.append("")
    return "\n".join(lines)


def readme_table(figures):
    """Return the rows of the README.

    Args:
        figures: By (bench, name); rows without a figure are left out.
    """
    lines = ["| what | ours | ours divided by that of | bench |", "|---|---|---|---|"]
    for key in README:
        figure = figures.get(key)
        if figure is None:
            continue
        ratios = [
            f"{peer} {number(ratio)}"
            for peer in figure.peers
            if (ratio := figure.ratio(peer)) is not None
        ]
        value = f"{number(figure.median())} {figure.unit}".strip()
        lines.append(f"| {figure.title} | {value} | {', '.join(ratios)} | `{figure.bench}` |")
    return "\n".join(lines)


def readme_section(figures, documents):
    """Return the text between the markers of the README.

    Args:
        figures: By (bench, name).
        documents: The result files with these figures, the newest first: it has the machine.
    """
    machine, versions = documents[0]["machine"], documents[0]["versions"]
    days = sorted({document["date"][:10] for document in documents})
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    names = ("livepeer", "tuspy", "aiotus", "tus-js-client")
    peers = ", ".join(f"{name} {versions[name]}" for name in names)
    place = f"{machine['cores']} cores of an {machine['cpu']}"
    introduction = (
        f"Measured {when} by `nox -s bench` on {place} with CPython {versions['ours']['python']}: "
        f"medians of {documents[0]['runs']} alternating runs, without the start-up. Compared with "
        f"{peers}, curl {versions['curl'].split()[1]} and httpx {versions['ours']['httpx']}."
    )
    return f"{introduction}\n\n{readme_table(figures)}"


def replace_section(readme, section):
    """Replace the text between the markers.

    Raises:
        ValueError: A marker is missing, or twice there.
    """
    parts = re.split(f"({re.escape(BEGIN)}|{re.escape(END)})", readme)
    if parts[1::2] != [BEGIN, END]:
        raise ValueError(f"the README has {parts[1::2]}; wanted {[BEGIN, END]}")
    return f"{parts[0]}{BEGIN}\n{section}\n{END}{parts[4]}"


def number(value):
    """Format a number with two or three significant digits; tiny ones as a fraction."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    size = abs(value)
    if 0 < size < SMALLEST:
        return f"1/{1 / value:,.0f}"
    digits = next((digits for bound, digits in DIGITS if size < bound), 0)
    return f"{value:,.{digits}f}"
