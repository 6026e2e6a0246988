"""Faults as values: a condition and an action.

    Fault(On(method="PATCH", nth=2), CutConnection(after_bytes=100_000, how="rst"))
    Fault(On(method="PATCH", probability=0.05), LoseAnswer())
    Fault(On(path=r"/asset/[^/]+$", every=3), Answer(503, headers={"Retry-After": "1"}))
    Fault(On(asset="broken"), FailProcessing("Video is not supported: no video track"))

At most one fault fires for a request: the first in the list that matches and is due.
`FailProcessing` and `WrongSize` fire when the source of an asset has arrived, not for a request.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

Cut = Literal["fin", "rst"]


class On(Struct, frozen=True, kw_only=True):
    """The requests for which a fault fires; conditions that are None always hold.

    Attributes:
        method: the method, after X-HTTP-Method-Override.
        path: a regular expression, searched in the path as sent (without the query).
        asset: a regular expression, searched in the name of the asset.
        nth: only this one of the matching requests, counted from 1.
        every: each matching request whose count is a multiple of this.
        probability: the chance of each matching request, from the sandbox's seeded generator.
        times: how often the fault fires at most.
    """

    method: str | None = None
    path: str | None = None
    asset: str | None = None
    nth: int | None = None
    every: int | None = None
    probability: float | None = None
    times: int | None = None


class CutConnection(Struct, frozen=True):
    """Break the connection inside the request body.

    Attributes:
        after_bytes: bytes of the body that the server still processes; with 0 it does not see the
            request at all. A shorter body is processed, but gets no response.
        how: `fin` closes in order and reads on for two seconds, as a proxy does; `rst` resets.
    """

    after_bytes: int = 0
    how: Cut = "rst"


class LoseAnswer(Struct, frozen=True):
    """Process the request, then break the connection instead of sending the response."""

    how: Cut = "fin"


class CutAnswer(Struct, frozen=True):
    """Process the request, send the beginning of the response, then break the connection.

    Attributes:
        after_bytes: bytes of the response to send, status line and headers included.
        seconds: pause before the connection breaks.
    """

    after_bytes: int = 20
    how: Cut = "fin"
    seconds: float = 0.0


class HangUp(Struct, frozen=True):
    """Respond with `keep-alive`, then break the connection.

    Attributes:
        seconds: pause after the response. Without one, the next request finds the connection
            closed; with one, the connection may close during the next request.
    """

    seconds: float = 0.0
    how: Cut = "fin"


class Garbage(Struct, frozen=True):
    """Respond with bytes that are not HTTP, without processing the request, then close."""

    raw: bytes = b"\x16\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n"


class Answer(Struct, frozen=True):
    """Send another response.

    Attributes:
        when: `before` the body is read, when it is `read` and discarded, or `after` the request
            was processed.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    when: Literal["before", "read", "after"] = "before"


class Redirect(Struct, frozen=True):
    """Redirect the client without processing the request."""

    location: str
    status: int = 307


class Stall(Struct, frozen=True):
    """Pause for some seconds, then continue.

    Attributes:
        after_bytes: bytes of the body to read before the pause. If the body is shorter, the pause
            precedes the response.
    """

    seconds: float
    after_bytes: int = 0


class Slow(Struct, frozen=True):
    """Read the request body and send the response body at this rate."""

    bytes_per_second: float


class ChangeHeaders(Struct, frozen=True):
    """Change the headers of the response: first `remove`, then `put`."""

    put: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()


class ShiftOffset(Struct, frozen=True):
    """Add this many bytes to the response's Upload-Offset; the result is never below 0."""

    by: int


class ChangeBody(Struct, frozen=True):
    """Replace the body of the response, and its content type unless that is None."""

    body: bytes
    content_type: str | None = None


class FailProcessing(Struct, frozen=True):
    """Make processing fail.

    Attributes:
        message: the `errorMessage` to show.
        retriable: the task returns to the queue once and then succeeds.
    """

    message: str = "Video is not supported: no video track"
    retriable: bool = False


class WrongSize(Struct, frozen=True):
    """Report the stored source as this many bytes longer than it is, or shorter if negative."""

    by: int = -1


ResponseAction = CutAnswer | Garbage | Answer | Redirect | ChangeHeaders | ShiftOffset | ChangeBody
RequestAction = CutConnection | LoseAnswer | HangUp | Stall | Slow | ResponseAction
SourceAction = FailProcessing | WrongSize
Action = RequestAction | SourceAction


class Fault:
    """A condition, an action, and two counters.

    Attributes:
        on: when the fault fires.
        do: the action.
        seen: how many requests matched `method`, `path` and `asset`.
        fired: for how many of them the fault fired.
    """

    def __init__(self, on: On, do: Action) -> None:
        self.on = on
        self.do = do
        self.seen = 0
        self.fired = 0

    def __repr__(self) -> str:
        return f"Fault({self.on!r}, {self.do!r}, seen={self.seen}, fired={self.fired})"


class FaultSelector:
    """Selects the fault that fires; `faults` may be changed while the server runs."""

    def __init__(self, faults: Iterable[Fault], rng: random.Random) -> None:
        self.faults = list(faults)
        self._rng = rng

    def select_for_request(
        self, method: str, path: str, find_asset_name: Callable[[], str | None]
    ) -> RequestAction | None:
        """Return the action for a request, None without a fault."""
        for fault in list(self.faults):
            on, action = fault.on, fault.do
            if isinstance(action, SourceAction) or not _matches_request(on, method, path):
                continue
            # The lookup decodes tokens, so it is left to the faults that need it.
            if on.asset is not None and not _matches_name(on, find_asset_name()):
                continue
            if self._fires(fault):
                return action
        return None

    def select_for_source(self, asset_name: str) -> SourceAction | None:
        """Return the action for a source that has arrived, None without a fault."""
        for fault in list(self.faults):
            action = fault.do
            if not isinstance(action, SourceAction) or not _matches_name(fault.on, asset_name):
                continue
            if self._fires(fault):
                return action
        return None

    def _fires(self, fault: Fault) -> bool:
        fault.seen += 1
        on = fault.on
        fires = (
            (on.times is None or fault.fired < on.times)
            and (on.nth is None or fault.seen == on.nth)
            and (on.every is None or fault.seen % on.every == 0)
            and (on.probability is None or self._rng.random() < on.probability)
        )
        fault.fired += fires
        return fires


def _matches_request(on: On, method: str, path: str) -> bool:
    if on.method is not None and on.method.upper() != method:
        return False
    return on.path is None or re.search(on.path, path) is not None


def _matches_name(on: On, name: str | None) -> bool:
    return on.asset is None or (name is not None and re.search(on.asset, name) is not None)
