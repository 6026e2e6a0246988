"""Registry of scenarios: functions that use a client, each with the error that it ends in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """A scenario and its expected end.

    Attributes:
        run: takes a `ScenarioContext`.
        error: class of the expected error; None if it succeeds.
        both_libraries: whether it runs with httpx2 too, which logs and raises on its own.
    """

    name: str
    run: Callable[[Any], Awaitable[None]]
    error: type[BaseException] | None
    both_libraries: bool


SCENARIOS: list[Scenario] = []


def scenario(error=None, *, both_libraries=False):
    """Register a function as a scenario."""

    def register(function):
        SCENARIOS.append(Scenario(function.__name__, function, error, both_libraries))
        return function

    return register
