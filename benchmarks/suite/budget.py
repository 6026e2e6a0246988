"""Budgets: the ratios to reach, and their comparison with measured figures. Pure."""

from dataclasses import dataclass

# A median that is worse by more than this part of the one before is reported.
TOLERANCE = 0.1


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of one figure.

    Attributes:
        bench: The benchmark.
        figure: The figure within it.
        against: The side that our median is divided by; None for the median itself.
        at_most: The greatest value allowed.
        at_least: The least value allowed.
        or_ours_at_most: A value of ours that is good enough, whatever the ratio.
    """

    bench: str
    figure: str
    against: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    or_ours_at_most: float | None = None

    def is_met(self, value, ours):
        """Return whether a value is within the limit, or ours is good enough."""
        if self.or_ours_at_most is not None and ours <= self.or_ours_at_most:
            return True
        return not self.is_beyond(value, self.at_most, self.at_least)

    @staticmethod
    def is_beyond(value, at_most, at_least):
        """Return whether a value is above or below what is allowed."""
        return (at_most is not None and value > at_most) or (
            at_least is not None and value < at_least
        )

    @property
    def wanted(self):
        """The limit in words."""
        bound = f"<= {self.at_most}" if self.at_most is not None else f">= {self.at_least}"
        other = f" or ours <= {self.or_ours_at_most}" if self.or_ours_at_most is not None else ""
        return bound + other

    def is_worse(self, value, earlier):
        """Return whether a value is worse than an earlier one by more than the tolerance."""
        if self.at_most is not None:
            return value > earlier * (1 + TOLERANCE)
        return value < earlier * (1 - TOLERANCE)


@dataclass(frozen=True)
class Verdict:
    """A limit and what was measured.

    Attributes:
        limit: The limit.
        value: The ratio or the median; None if it wasn't measured.
        earlier: The same of the run before, if there is one.
        is_met: Whether the value is within the limit.
    """

    limit: Limit
    value: float | None
    earlier: float | None
    is_met: bool

    @property
    def is_worse(self):
        """Whether the value is worse than that of the run before."""
        if self.value is None or self.earlier is None:
            return False
        return self.limit.is_worse(self.value, self.earlier)

    def __str__(self):
        limit = self.limit
        what = f"{limit.bench} {limit.figure}" + (f" / {limit.against}" if limit.against else "")
        if self.value is None:
            return f"{what}: not measured; wanted {limit.wanted}"
        text = f"{what}: {self.value:.3g}; wanted {limit.wanted}"
        earlier = f", {self.earlier:.3g} in the run before" if self.earlier is not None else ""
        state = "" if self.is_met else ", OVER BUDGET"
        return text + earlier + (", WORSE" if self.is_worse else "") + state


def read_limits(document):
    """Convert a parsed budget.toml to limits.

    Raises:
        TypeError: A limit has an unknown field.
        ValueError: A limit has not exactly one of `at_most` and `at_least`.
    """
    limits = [Limit(**fields) for fields in document["limit"]]
    for limit in limits:
        if (limit.at_most is None) == (limit.at_least is None):
            raise ValueError(f"{limit} has both or no bounds; wanted at_most or at_least")
    return limits


def compare(limits, figures, earlier):
    """Compare limits with the newest figures.

    Args:
        limits: The limits.
        figures: The newest figures by (bench, name).
        earlier: Those of the run before.

    Returns:
        A verdict for each limit.
    """
    verdicts = []
    for limit in limits:
        figure, before = (each.get((limit.bench, limit.figure)) for each in (figures, earlier))
        value = measured(figure, limit.against)
        is_met = value is not None and limit.is_met(value, figure.median())
        verdicts.append(Verdict(limit, value, measured(before, limit.against), is_met))
    return verdicts


def measured(figure, peer):
    """Return the ratio to a peer or our median, or None if it wasn't measured."""
    if figure is None or (peer is not None and peer not in figure.sides):
        return None
    return figure.value(peer)
