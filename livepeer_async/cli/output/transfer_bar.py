"""Progress bar that tells acknowledged bytes from those in flight."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

# Narrower bars say nothing.
MIN_WIDTH = 4


class TransferBar:
    """A bar with a part that is acknowledged, and one that is in flight.

    Args:
        acknowledged: the part of the bytes that the server has.
        in_flight: the part that was sent, and that it hasn't acknowledged.
    """

    def __init__(self, acknowledged: float, in_flight: float) -> None:
        self._acknowledged = acknowledged
        self._in_flight = in_flight

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the bar over the whole width."""
        width = options.max_width
        solid, light, rest = "#=-" if options.ascii_only else "━╍─"
        # Rounded down: the bar is full only if the upload is.
        done = int(width * min(1.0, self._acknowledged))
        sent = int(width * min(1.0, self._acknowledged + self._in_flight))
        yield Segment(solid * done, Style.parse("green" if done == width else "cyan"))
        yield Segment(light * (sent - done), Style.parse("cyan"))
        yield Segment(rest * (width - sent), Style.parse("bright_black"))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Use all of the width."""
        return Measurement(MIN_WIDTH, options.max_width)
