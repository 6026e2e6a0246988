"""Random cases; a seed determines everything about a case."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from chaos.fault_kinds import KINDS, TARGETS, Kind
from livepeer_async.sandbox import Fault, LoseAnswer, On
from livepeer_async.tus import ServerLimits
from support.sandbox import PART, SMALL_LIMITS, make_bytes

# Limits for a plain tus server; the sandbox still creates each upload only once.
PLAIN_LIMITS = ServerLimits(first_chunk=PART, max_chunk=4 * PART, creates_once=True)
FORMS = ("bytes", "bytes", "path", "path", "stream", "stream of unknown length")
TIMES = (1, 1, 2)
MAX_PARTS = 14


class Source(NamedTuple):
    """A source of an upload."""

    name: str
    length: int
    form: str
    content_seed: int

    @property
    def content(self) -> bytes:
        return make_bytes(self.length, self.content_seed)


class Injection(NamedTuple):
    """A fault of a kind, and the requests that it targets."""

    kind: Kind
    target: str
    fault: Fault

    @property
    def must_recover(self) -> bool:
        return self.target in self.kind.recovers_at

    @property
    def may_lose_url(self) -> bool:
        return self.kind.may_lose_url or self.target == "creation"


class Case(NamedTuple):
    """A run: the uploads, their options, and the faults."""

    seed: int
    storage: str
    limits: ServerLimits
    verify: str | None
    sources: Sequence[Source]
    injections: Sequence[Injection]
    companions: Sequence[Fault]

    @property
    def faults(self) -> list[Fault]:
        return [*(injection.fault for injection in self.injections), *self.companions]

    @property
    def must_recover(self) -> bool:
        """Whether every upload must become ready in spite of the faults."""
        return all(injection.must_recover for injection in self.injections)

    def may_lose(self, source: Source) -> bool:
        """Whether the upload URL may be lost of a source that can be read only once."""
        return source.form == "stream" and any(
            injection.may_lose_url for injection in self.injections
        )

    def __repr__(self) -> str:
        sources = ", ".join(f"{source.length} bytes as {source.form}" for source in self.sources)
        fired = "\n  ".join(
            f"{injection.kind.name} at {injection.target}: {injection.fault!r}"
            for injection in self.injections
        )
        return (
            f"case {self.seed}: {self.storage}, verify={self.verify!r}, align={self.limits.align},"
            f" {sources}\n  {fired}\n  companions: {list(self.companions)}"
        )


def draw_case(seed: int) -> Case:
    """Draw a case; consecutive seeds cycle through the kinds of faults."""
    rng = Random(seed)
    injections = draw_injections(rng, KINDS[seed % len(KINDS)])
    targets = {injection.target for injection in injections}
    storage = rng.choice(["file", "s3"])
    limits = SMALL_LIMITS if storage == "s3" or rng.random() < 0.5 else PLAIN_LIMITS
    if rng.random() < 0.1:
        limits = replace(limits, override_patch=True)
    count = rng.choice([1, 1, 1, 1, 1, 1, 2, 4])
    return Case(
        seed=seed,
        storage=storage,
        limits=limits,
        verify=draw_verify(rng, injections),
        sources=[draw_source(rng, f"clip {seed} {i}", targets) for i in range(count)],
        injections=injections,
        companions=draw_companions(rng, targets),
    )


def draw_injections(rng: Random, first: Kind) -> list[Injection]:
    """Draw one to three faults, mostly of kinds from which the client must recover."""
    must_recover = bool(first.recovers_at) and rng.random() < 0.8
    others = [kind for kind in KINDS if kind.recovers_at] if must_recover else KINDS
    kinds = [first, *rng.choices(others, k=rng.choice([0, 0, 0, 1, 2]))]
    return [
        draw_injection(rng, kind, kind.recovers_at if must_recover else kind.targets)
        for kind in dict.fromkeys(kinds)
    ]


def draw_injection(rng: Random, kind: Kind, targets: Sequence[str]) -> Injection:
    target = rng.choice(targets)
    on = TARGETS[target]
    if not kind.is_permanent:
        on = draw_moment(rng, replace(on, times=rng.choice(TIMES)), target)
    return Injection(kind, target, Fault(on, kind.draw(rng)))


def draw_moment(rng: Random, on: On, target: str) -> On:
    """Draw when a fault fires; only PATCH and HEAD requests are frequent enough to choose."""
    if target not in {"patch", "head"} or rng.random() < 0.5:
        return on
    if rng.random() < 0.5:
        return replace(on, every=2)
    return replace(on, nth=rng.randint(1, 3))


def draw_verify(rng: Random, injections: Sequence[Injection]) -> str | None:
    """Draw the option `verify`, mostly None: the engine alone must be right.

    What a server stores after its client has given up is only detected by a hash.
    """
    is_detectable = all(
        injection.kind.name != "stall that ends too late" for injection in injections
    )
    return rng.choice([None, None, "size", "hash"]) if is_detectable else "hash"


def draw_source(rng: Random, name: str, targets: set[str]) -> Source:
    """Draw a length near a multiple of the part, above one part if a fault targets a PATCH."""
    least = 1 if targets & {"patch", "head"} else 0
    parts = rng.randint(least, MAX_PARTS)
    length = parts * PART + rng.choice([-1, 0, 1, 1, rng.randrange(PART), 777])
    length = max(length, PART + 1 if least else 1)
    return Source(name, length, rng.choice(FORMS), rng.randrange(256))


def draw_companions(rng: Random, targets: set[str]) -> list[Fault]:
    """Add a fault that makes the client send HEAD, if a fault targets HEAD."""
    if "head" not in targets:
        return []
    return [Fault(replace(TARGETS["patch"], nth=rng.randint(1, 2)), LoseAnswer("fin"))]
