"""Faults as values: when one strikes, and what it does.

    Fault(On(method="PATCH", nth=2), CutConnection(after_bytes=100_000, how="rst"))
    Fault(On(method="PATCH", probability=0.05), LoseAnswer())
    Fault(On(path=r"/asset/[^/]+$", every=3), Answer(503, headers={"Retry-After": "1"}))
    Fault(On(asset="broken"), FailProcessing("Video is not supported: no video track"))

A request meets at most one fault: the first in the list that matches and is due. `FailProcessing`
and `WrongSize` are drawn when a source has arrived, for the asset and not for a request.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

Cut = Literal["fin", "rst"]


class On(Struct, frozen=True, kw_only=True):
    """Which requests a fault strikes; what is not given does not matter.

    Attributes:
        method: The method, X-HTTP-Method-Override obeyed.
        path: A regular expression, searched in the path as it was sent (no query).
        asset: A regular expression, searched in the name of the asset that is meant.
        nth: Only this one of the requests that match, counted from 1.
        every: Each request whose count is a multiple of this.
        probability: Drawn from the sandbox's seeded generator for each that matches.
        times: At most so often.
    """

    method: str | None = None
    path: str | None = None
    asset: str | None = None
    nth: int | None = None
    every: int | None = None
    probability: float | None = None
    times: int | None = None


class CutConnection(Struct, frozen=True):
    """Break the connection once this much of the body was taken in; 0 leaves no trace at all.

    `fin` closes in order and goes on reading for a moment, as a proxy does; `rst` resets.
    """

    after_bytes: int = 0
    how: Cut = "rst"


class LoseAnswer(Struct, frozen=True):
    """Act on the request in full, then break the connection instead of answering."""

    how: Cut = "fin"


class CutAnswer(Struct, frozen=True):
    """Act, answer the first bytes (status line and headers count), then break the connection.

    Attributes:
        seconds: How long the rest is awaited in vain before the connection breaks.
    """

    after_bytes: int = 20
    how: Cut = "fin"
    seconds: float = 0.0


class HangUp(Struct, frozen=True):
    """Answer as ever, keep-alive promised, and break the connection so long after the answer.

    Without a pause the next request finds it closed; after one it may be closed under the request.
    """

    seconds: float = 0.0
    how: Cut = "fin"


class Garbage(Struct, frozen=True):
    """Answer with bytes that are no HTTP, without acting, then close."""

    raw: bytes = b"\x16\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n"


class Answer(Struct, frozen=True):
    """Answer something else.

    Attributes:
        when: `before` anything was read, once the body was `read` and dropped, or `after` the
            server acted in full.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    when: Literal["before", "read", "after"] = "before"


class Redirect(Struct, frozen=True):
    """Send the client elsewhere without acting."""

    location: str
    status: int = 307


class Stall(Struct, frozen=True):
    """Read nothing more after so many bytes of body, or withhold the answer, then go on."""

    seconds: float
    after_bytes: int = 0


class Slow(Struct, frozen=True):
    """Read the body and write the answer's body at this rate."""

    bytes_per_second: float


class ChangeHeaders(Struct, frozen=True):
    """Change the headers of the true answer: first `remove`, then `put`."""

    put: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()


class ShiftOffset(Struct, frozen=True):
    """Change the Upload-Offset of the true answer by so many bytes, down to 0 at the least."""

    by: int


class ChangeBody(Struct, frozen=True):
    """Replace the body of the true answer, and its type where one is given."""

    body: bytes
    content_type: str | None = None


class FailProcessing(Struct, frozen=True):
    """Let processing fail: for good, or (retriable) once with the task back in the queue."""

    message: str = "Video is not supported: no video track"
    retriable: bool = False


class WrongSize(Struct, frozen=True):
    """Describe the stored source as so many bytes longer (or shorter) than it is."""

    by: int = -1


RequestAction = (
    CutConnection
    | LoseAnswer
    | CutAnswer
    | HangUp
    | Garbage
    | Answer
    | Redirect
    | Stall
    | Slow
    | ChangeHeaders
    | ShiftOffset
    | ChangeBody
)
SourceAction = FailProcessing | WrongSize
Action = RequestAction | SourceAction


class Fault:
    """A fault and how often it struck.

    Attributes:
        on: Which requests.
        do: What happens to them.
        seen: How many requests matched `method`, `path` and `asset`.
        fired: How many of them were struck.
    """

    def __init__(self, on: On, do: Action) -> None:
        self.on = on
        self.do = do
        self.seen = 0
        self.fired = 0

    def __repr__(self) -> str:
        return f"Fault({self.on!r}, {self.do!r}, seen={self.seen}, fired={self.fired})"


class FaultBook:
    """The faults of one sandbox; the list may be changed while the server runs."""

    def __init__(self, faults: Iterable[Fault], rng: random.Random) -> None:
        self.faults = list(faults)
        self._rng = rng

    def draw_for_request(
        self, method: str, path: str, find_asset_name: Callable[[], str | None]
    ) -> RequestAction | None:
        """Return what happens to this request, if anything."""
        for fault in list(self.faults):
            if isinstance(fault.do, SourceAction) or not _is_about(fault.on, method, path):
                continue
            if fault.on.asset is not None and not _is_named(fault.on, find_asset_name()):
                continue
            if self._strikes(fault):
                return fault.do
        return None

    def draw_for_source(self, asset_name: str) -> SourceAction | None:
        """Return what happens to the source of an asset that has arrived, if anything."""
        for fault in list(self.faults):
            if isinstance(fault.do, SourceAction) and _is_named(fault.on, asset_name):  # noqa: SIM102 - what counts as seen stands on a line of its own
                if self._strikes(fault):
                    return fault.do
        return None

    def _strikes(self, fault: Fault) -> bool:
        fault.seen += 1
        on = fault.on
        strikes = (
            (on.times is None or fault.fired < on.times)
            and (on.nth is None or fault.seen == on.nth)
            and (on.every is None or fault.seen % on.every == 0)
            and (on.probability is None or self._rng.random() < on.probability)
        )
        fault.fired += strikes
        return strikes


def _is_about(on: On, method: str, path: str) -> bool:
    if on.method is not None and on.method.upper() != method:
        return False
    return on.path is None or re.search(on.path, path) is not None


def _is_named(on: On, name: str | None) -> bool:
    return on.asset is None or (name is not None and re.search(on.asset, name) is not None)
