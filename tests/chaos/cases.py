"""A case: all that is random about one run, drawn from its seed and from nothing else."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from chaos.kinds import KINDS, TARGETS, Kind
from livepeer_async.sandbox import Fault, LoseAnswer, On
from livepeer_async.tus import ServerLimits
from support.sandbox import PART, SMALL_LIMITS, make_bytes

# What a plain tus server takes; the creation happens once here as well, the server being Studio.
PLAIN_LIMITS = ServerLimits(first_chunk=PART, max_chunk=4 * PART, creates_once=True)
FORMS = ("bytes", "bytes", "path", "path", "stream", "stream of unknown length")
TIMES = (1, 1, 2)
MOST_PARTS = 14


class Source(NamedTuple):
    """What is uploaded under one name."""

    name: str
    length: int
    form: str
    content_seed: int

    @property
    def content(self) -> bytes:
        return make_bytes(self.length, self.content_seed)


class Strike(NamedTuple):
    """A kind of fault, what it strikes, and the one fault that came of it."""

    kind: Kind
    target: str
    fault: Fault

    @property
    def must_survive(self) -> bool:
        return self.target in self.kind.survives

    @property
    def is_costly(self) -> bool:
        return self.kind.is_costly or self.target == "creation"


class Case(NamedTuple):
    """One run."""

    seed: int
    storage: str
    limits: ServerLimits
    verify: str | None
    sources: Sequence[Source]
    strikes: Sequence[Strike]
    companions: Sequence[Fault]

    @property
    def faults(self) -> list[Fault]:
        return [*(strike.fault for strike in self.strikes), *self.companions]

    @property
    def must_survive(self) -> bool:
        """Whether nothing strikes here by which an upload may end."""
        return all(strike.must_survive for strike in self.strikes)

    def may_lose(self, source: Source) -> bool:
        """Whether the upload URL may be lost of what can't be read a second time."""
        return source.form == "stream" and any(strike.is_costly for strike in self.strikes)

    def __repr__(self) -> str:
        sources = ", ".join(f"{source.length} bytes as {source.form}" for source in self.sources)
        struck = "\n  ".join(
            f"{strike.kind.name} at {strike.target}: {strike.fault!r}" for strike in self.strikes
        )
        return (
            f"case {self.seed}: {self.storage}, verify={self.verify!r}, align={self.limits.align},"
            f" {sources}\n  {struck}\n  companions: {list(self.companions)}"
        )


def draw_case(seed: int) -> Case:
    """Draw a case. Seeds in a row go round the table, so that few of them meet each kind."""
    rng = Random(seed)
    strikes = draw_strikes(rng, KINDS[seed % len(KINDS)])
    targets = {strike.target for strike in strikes}
    storage = rng.choice(["file", "s3"])
    limits = SMALL_LIMITS if storage == "s3" or rng.random() < 0.5 else PLAIN_LIMITS
    if rng.random() < 0.1:
        limits = replace(limits, override_patch=True)
    count = rng.choice([1, 1, 1, 1, 1, 1, 2, 4])
    return Case(
        seed=seed,
        storage=storage,
        limits=limits,
        verify=draw_verify(rng, strikes),
        sources=[draw_source(rng, f"clip {seed} {i}", targets) for i in range(count)],
        strikes=strikes,
        companions=draw_companions(rng, targets),
    )


def draw_strikes(rng: Random, first: Kind) -> list[Strike]:
    """Draw one to three kinds; mostly such that a client owes a ready asset in the end."""
    owes = bool(first.survives) and rng.random() < 0.8
    others = [kind for kind in KINDS if kind.survives] if owes else KINDS
    kinds = [first, *rng.choices(others, k=rng.choice([0, 0, 0, 1, 2]))]
    return [
        draw_strike(rng, kind, kind.survives if owes else kind.targets)
        for kind in dict.fromkeys(kinds)
    ]


def draw_strike(rng: Random, kind: Kind, targets: Sequence[str]) -> Strike:
    target = rng.choice(targets)
    on = TARGETS[target]
    if not kind.is_lasting:
        on = draw_moment(rng, replace(on, times=rng.choice(TIMES)), target)
    return Strike(kind, target, Fault(on, kind.draw(rng)))


def draw_moment(rng: Random, on: On, target: str) -> On:
    """Let a fault come at once or later; of other requests than these two there are few."""
    if target not in {"patch", "head"} or rng.random() < 0.5:
        return on
    if rng.random() < 0.5:
        return replace(on, every=2)
    return replace(on, nth=rng.randint(1, 3))


def draw_verify(rng: Random, strikes: Sequence[Strike]) -> str | None:
    """Ask mostly for no proof, so that the engine alone has to be right.

    What a server stores after its client has given up, no client can know without looking.
    """
    is_knowable = all(strike.kind.name != "stall that ends too late" for strike in strikes)
    return rng.choice([None, None, "size", "hash"]) if is_knowable else "hash"


def draw_source(rng: Random, name: str, targets: set[str]) -> Source:
    """Draw a length round the edges of the parts; above one part where a PATCH is wanted."""
    least = 1 if targets & {"patch", "head"} else 0
    parts = rng.randint(least, MOST_PARTS)
    length = parts * PART + rng.choice([-1, 0, 1, 1, rng.randrange(PART), 777])
    length = max(length, PART + 1 if least else 1)
    return Source(name, length, rng.choice(FORMS), rng.randrange(256))


def draw_companions(rng: Random, targets: set[str]) -> list[Fault]:
    """Give a client a reason to send HEAD, where that is what shall be struck."""
    if "head" not in targets:
        return []
    return [Fault(replace(TARGETS["patch"], nth=rng.randint(1, 2)), LoseAnswer("fin"))]
