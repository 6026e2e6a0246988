"""Many uploads at once over cables that fail, and what is stored of each.

In come a seed and the limits; out comes an `Outcome` for each upload, and a summary of them all.

An upload that the client calls lost begins again on a new token, as `AsyncLivepeer` begins again on
a new ticket: a server that works on a chunk for longer than the client waits after a cut stores it
twice when it comes again, and no client can help that but by seeing it and leaving that upload.
"""

import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from random import Random

import anyio

from livepeer_async import RetryPolicy
from livepeer_async.errors import LivepeerError, UploadGone
from livepeer_async.tus import TusClient
from support.proxy import FaultKind, RequestFault, RequestFaultProxy, run_proxy

KIB = 1024
MIB = 1024 * KIB
PART = 8 * MIB
AT_ONCE = 16
# Round every edge: of a part, of the 5 MiB below which the store puts a rest aside, of two and of
# many parts, where the chunks grow.
LENGTHS = (
    1,
    *(PART - 1, PART, PART + 1, PART + 64 * KIB),
    *(12 * MIB - 1, 12 * MIB, 12 * MIB + 1),
    *(20 * MIB - 1, 20 * MIB, 20 * MIB + 1),
    *(40 * MIB - 1, 40 * MIB, 40 * MIB + 1),
)
# Most faults of one upload; each costs two seconds of settling.
MOST_FAULTS = 3
RESTARTS = RetryPolicy().restarts


def seed():
    """Give the seed of the faults, which the environment may name.

    By default it is the same in each run, so that a change is judged by itself.
    """
    return int(os.environ.get("LIVEPEER_ASYNC_WIRING_SEED", "1"))


@dataclass(frozen=True)
class Case:
    """One upload, and what happens to its PATCHes."""

    name: str
    length: int
    faults: tuple[RequestFault | None, ...]

    def content(self):
        return Random(self.name).randbytes(self.length)


@dataclass(frozen=True)
class Outcome:
    """What became of an upload.

    `error` is the client's last word, "" for success, `is_exact` the storage's; `lost` has the
    reason for each time that it began again.
    """

    case: Case
    error: str
    lost: list[str]
    is_exact: bool
    sent: int
    applied: Counter[FaultKind]
    requests: list[str]

    @property
    def is_false_success(self):
        return not self.error and not self.is_exact


def plan_cases(run, *, rounds):
    """Plan uploads of each length, with one fault or more that are sure to find their PATCH.

    `run` keeps the names apart from those of other runs: the server remembers them.
    """
    chance = Random(seed())
    kinds = list(FaultKind)
    cases = []
    for number in range(rounds):
        for length in LENGTHS:
            # More than a part takes at least two PATCHes, so that the first may get through.
            passed = chance.randrange(2) if length > PART else 0
            faults = [None] * passed
            for _ in range(chance.randint(1, MOST_FAULTS)):
                faults.append(RequestFault(chance.choice(kinds), chance.random()))
                faults.extend([None] * chance.randrange(2))
            cases.append(Case(f"{run}-{seed()}-{number}-{length}", length, tuple(faults)))
    return cases


async def upload_all(production, cases, limits_of, *, most_seconds, **options):
    """Upload each case through a cable of its own, so many at once; give the outcomes.

    Args:
        production: Where to.
        cases: What.
        limits_of: Gives the limits for a length.
        most_seconds: After which an upload is given up.
        options: Those of `TusClient`.
    """
    outcomes = []
    slots = anyio.Semaphore(AT_ONCE)

    async def one(case):
        async with slots:
            limits = limits_of(case.length)
            outcomes.append(await upload_one(production, case, limits, most_seconds, **options))

    async with anyio.create_task_group() as tasks:
        for case in cases:
            tasks.start_soon(one, case)
    return outcomes


async def upload_one(production, case, limits, most_seconds, *, method="PATCH", **options):
    error = f"not over after {most_seconds} s"
    cable = RequestFaultProxy(production.port, case.faults, method=method)
    upload = Restarting(production, case)
    async with run_proxy(cable), TusClient(limits=limits, **options) as tus:
        with anyio.move_on_after(most_seconds):
            error = await error_of(upload.run(tus, cable.port))
    stored = await production.sha256(upload.token)
    await production.forget(upload.token)
    return Outcome(
        case=case,
        error=error,
        lost=upload.lost,
        is_exact=stored == hashlib.sha256(upload.content).hexdigest(),
        sent=cable.sent,
        applied=cable.applied,
        requests=cable.requests,
    )


class Restarting:
    """One upload that begins again where the client calls it lost, for the reasons in `lost`."""

    def __init__(self, production, case):
        self.production = production
        self.name = case.name
        self.content = case.content()
        self.lost = []

    @property
    def token(self):
        return f"{self.name}.{len(self.lost)}"

    async def run(self, tus, port):
        while True:
            try:
                return await tus.upload(
                    self.content, self.production.creation_url(self.token, port=port)
                )
            except UploadGone as gone:
                if len(self.lost) == RESTARTS:
                    raise
                await self.production.forget(self.token)
                self.lost.append(str(gone))


async def error_of(uploading):
    """Wait for an upload; give the client's error as text, "" where there is none."""
    try:
        await uploading
    except LivepeerError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def summarise(outcomes, *, started):
    """Say in a few lines what a run did and what came of it."""
    applied = sum((outcome.applied for outcome in outcomes), Counter())
    lost = [reason for outcome in outcomes for reason in outcome.lost]
    lengths = [outcome.case.length for outcome in outcomes]
    sent = sum(outcome.sent for outcome in outcomes)
    failed = sum(bool(outcome.error) for outcome in outcomes)
    wrong = sum(outcome.is_false_success for outcome in outcomes)
    exact = len(outcomes) - failed - wrong
    seconds = time.monotonic() - started
    return [
        f"seed {seed()}, {AT_ONCE} at once, {seconds:.0f} s",
        f"{len(outcomes)} uploads of {len(set(lengths))} lengths from 1 to {max(lengths)} bytes",
        *(f"{applied[kind]:5} x {kind}" for kind in FaultKind),
        f"{exact} exact, {wrong} wrong and reported as success, {failed} with an error",
        f"{len(lost)} begun again on a new token",
        *(f"    {reason}" for reason in lost),
        f"{sent} bytes sent for {sum(lengths)} bytes of files: {sent / sum(lengths):.3f}",
    ]
