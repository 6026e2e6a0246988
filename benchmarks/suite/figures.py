"""Figures: the values of each side in alternating runs, their medians, ratios and spread. Pure."""

import statistics
from dataclasses import dataclass, field

OURS = "ours"


@dataclass
class Figure:
    """One quantity, measured on our side and on others.

    Attributes:
        bench: The benchmark.
        name: The name within the benchmark.
        title: What it is, for tables.
        unit: Unit of the values.
        sides: The values by side. Those of one round have the same index on all sides.
    """

    bench: str
    name: str
    title: str
    unit: str
    sides: dict[str, list[float]] = field(default_factory=dict)

    def add(self, side, value):
        """Add the value of one run."""
        self.sides.setdefault(side, []).append(value)

    @property
    def peers(self):
        """The other sides."""
        return [side for side in self.sides if side != OURS]

    def median(self, side=OURS):
        """Return the median of a side."""
        return statistics.median(self.sides[side])

    def spread(self, side=OURS):
        """Return the least and the greatest value of a side."""
        return min(self.sides[side]), max(self.sides[side])

    def ratios(self, peer):
        """Return our value divided by the peer's, round by round."""
        pairs = zip(self.sides[OURS], self.sides[peer], strict=True)
        return [ours / theirs for ours, theirs in pairs if theirs > 0]

    def ratio(self, peer):
        """Return the median of the ratios, or None if the peer's values are no divisors."""
        ratios = self.ratios(peer)
        return statistics.median(ratios) if ratios else None

    def value(self, peer=None):
        """Return the ratio to a peer, or without a peer our median."""
        return self.median() if peer is None else self.ratio(peer)


def to_document(figure):
    """Convert a figure to JSON, with the derived values for readers."""
    document = {
        "name": figure.name,
        "title": figure.title,
        "unit": figure.unit,
        "sides": {
            side: {
                "median": rounded(figure.median(side)),
                "spread": [rounded(bound) for bound in figure.spread(side)],
                "values": [rounded(value) for value in values],
            }
            for side, values in figure.sides.items()
        },
    }
    document["ratios"] = {
        peer: {
            "median": rounded(figure.ratio(peer)),
            "spread": [rounded(bound) for bound in (min(ratios), max(ratios))],
        }
        for peer in figure.peers
        if (ratios := figure.ratios(peer))
    }
    return document


def from_document(bench, document):
    """Convert JSON to a figure."""
    sides = {side: list(values["values"]) for side, values in document["sides"].items()}
    return Figure(bench, document["name"], document["title"], document["unit"], sides)


def rounded(value):
    """Round to four significant digits."""
    return float(f"{value:.4g}")


def percentile(values, part):
    """Return the value that a part of all values, from 0 to 1, doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
