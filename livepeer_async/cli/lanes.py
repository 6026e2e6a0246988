"""Which of the running items are drawn, and where: each keeps its line as long as it is drawn.

In comes what is on the board; out come lines, a few empty ones included, so that the picture keeps
still while items come and go.
"""

from __future__ import annotations

from collections.abc import Iterable

from livepeer_async.cli.item import MOVING, Item, Stage

# Up to so many lines are filled with items whose bytes don't move.
FEW = 8
# More empty lines than these are closed up.
MOST_EMPTY = 2


class Lanes:
    """Lines of a picture that items take as they start, and leave as they end."""

    def __init__(self) -> None:
        self._lanes: list[Item | None] = []

    def arrange(
        self, items: Iterable[Item], room: int, *, is_growing: bool = False
    ) -> list[Item | None]:
        """Give the item of each line, `None` for an empty one.

        Args:
            items: all that are on the board.
            room: lines at the most.
            is_growing: whether more are to come, so that empty lines at the end are kept.
        """
        wanted = dict.fromkeys(_choose(items, room))
        lanes: list[Item | None] = [item if item in wanted else None for item in self._lanes[:room]]
        for item in lanes:
            wanted.pop(item, None)
        new = iter(wanted)
        lanes = [next(new, None) if item is None else item for item in lanes]
        lanes += new
        while lanes and lanes[-1] is None and not (is_growing and any(lanes)):
            lanes.pop()
        if lanes.count(None) > MOST_EMPTY:
            lanes = [item for item in lanes if item is not None]
        self._lanes = lanes
        return lanes


def _choose(items: Iterable[Item], room: int) -> list[Item | None]:
    """Choose those that move, and fill up with others that run."""
    moving: list[Item | None] = []
    others: list[Item | None] = []
    for item in items:
        if item.stage in MOVING:
            moving.append(item)
        elif item.stage is Stage.PROCESSING:
            others.append(item)
    return (moving + others[: max(0, FEW - len(moving))])[:room]
