"""Runs concurrent uploads over connections that fail, and compares what is stored.

An upload that raises `UploadGone` starts again on a new token, as `AsyncLivepeer` requests a new
ticket: a server that still processes a chunk when the client resumes stores it twice, and a client
can only detect that and abandon the upload.
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
from support.constants import KIB, MIB
from support.proxy import FaultKind, RequestFault, RequestFaultProxy, run_proxy

PART = 8 * MIB
CONCURRENCY = 16
# Around each limit: one part, the 5 MiB below which the store buffers a rest, two parts, and many
# parts, at which chunks grow.
LENGTHS = (
    1,
    *(PART - 1, PART, PART + 1, PART + 64 * KIB),
    *(12 * MIB - 1, 12 * MIB, 12 * MIB + 1),
    *(20 * MIB - 1, 20 * MIB, 20 * MIB + 1),
    *(40 * MIB - 1, 40 * MIB, 40 * MIB + 1),
)
# Each fault of an upload costs two seconds of settling.
MAX_FAULTS = 3
RESTARTS = RetryPolicy().restarts


def seed():
    """Return the seed of the faults; by default it is the same in each run."""
    return int(os.environ.get("LIVEPEER_ASYNC_WIRING_SEED", "1"))


@dataclass(frozen=True)
class Case:
    """An upload, and the faults of its PATCHes."""

    name: str
    length: int
    faults: tuple[RequestFault | None, ...]

    def content(self):
        rng = Random(self.name)
        # `randbytes` accepts fewer than 256 MiB.
        sizes = (min(PART, self.length - start) for start in range(0, self.length, PART))
        return b"".join(rng.randbytes(size) for size in sizes)


@dataclass(frozen=True)
class Outcome:
    """The result of an upload.

    Attributes:
        error: The client's error, "" for success.
        lost: The reason of each restart.
        is_exact: Whether exactly the file's bytes are stored, if the client reports success.
        sent: Bytes of all bodies.
        longest: Bytes of the longest body that was announced.
    """

    case: Case
    error: str
    lost: list[str]
    is_exact: bool
    sent: int
    longest: int
    applied: Counter[FaultKind]
    requests: list[str]

    @property
    def is_false_success(self):
        return not self.error and not self.is_exact


def plan_cases(run, *, rounds, lengths=LENGTHS, first_chunk=PART):
    """Plan uploads of each length with at least one fault; `run` makes their names unique."""
    rng = Random(seed())
    kinds = list(FaultKind)
    cases = []
    for number in range(rounds):
        for length in lengths:
            # Longer uploads take at least two PATCHes: the first may succeed.
            passed = rng.randrange(2) if length > first_chunk else 0
            faults = [None] * passed
            for _ in range(rng.randint(1, MAX_FAULTS)):
                faults.append(RequestFault(rng.choice(kinds), rng.random()))
                faults.extend([None] * rng.randrange(2))
            cases.append(Case(f"{run}-{seed()}-{number}-{length}", length, tuple(faults)))
    return cases


async def upload_all(
    production, cases, limits_of, *, max_seconds, concurrency=CONCURRENCY, **options
):
    """Upload the cases concurrently, each through a proxy of its own.

    Args:
        production: The servers.
        cases: The uploads.
        limits_of: A function from length to limits.
        max_seconds: The time limit of an upload.
        concurrency: The number of concurrent uploads.
        options: Options of `TusClient`.
    """
    outcomes = []
    slots = anyio.Semaphore(concurrency)

    async def one(case):
        async with slots:
            limits = limits_of(case.length)
            outcomes.append(await upload_one(production, case, limits, max_seconds, **options))

    async with anyio.create_task_group() as tasks:
        for case in cases:
            tasks.start_soon(one, case)
    return outcomes


async def upload_one(production, case, limits, max_seconds, *, method="PATCH", **options):
    error = f"not finished after {max_seconds} s"
    proxy = RequestFaultProxy(production.port, case.faults, method=method)
    upload = RestartingUpload(production, case)
    async with run_proxy(proxy), TusClient(limits=limits, **options) as tus:
        with anyio.move_on_after(max_seconds):
            error = await error_of(upload.run(tus, proxy.port))
    stored = None
    if not error:
        stored = await production.sha256_when_complete(upload.token, case.length)
    await production.delete(upload.token)
    return Outcome(
        case=case,
        error=error,
        lost=upload.lost,
        is_exact=stored == hashlib.sha256(upload.content).hexdigest(),
        sent=proxy.sent,
        longest=max(proxy.bodies, default=0),
        applied=proxy.applied,
        requests=proxy.requests,
    )


class RestartingUpload:
    """An upload that restarts after `UploadGone`, for the reasons in `lost`."""

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
                await self.production.delete(self.token)
                self.lost.append(str(gone))


async def error_of(upload):
    """Wait for an upload; return the client's error as text, "" for success."""
    try:
        await upload
    except LivepeerError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def summarise(outcomes, *, started, concurrency=CONCURRENCY):
    """Summarise a run in a few lines."""
    applied = sum((outcome.applied for outcome in outcomes), Counter())
    lost = [reason for outcome in outcomes for reason in outcome.lost]
    lengths = [outcome.case.length for outcome in outcomes]
    span = f"from {min(lengths)} to {max(lengths)} bytes"
    sent = sum(outcome.sent for outcome in outcomes)
    failed = sum(bool(outcome.error) for outcome in outcomes)
    wrong = sum(outcome.is_false_success for outcome in outcomes)
    exact = len(outcomes) - failed - wrong
    seconds = time.monotonic() - started
    return [
        f"seed {seed()}, {concurrency} concurrent, {seconds:.0f} s",
        f"{len(outcomes)} uploads of {len(set(lengths))} lengths {span}",
        *(f"{applied[kind]:5} x {kind}" for kind in FaultKind),
        f"{exact} exact, {wrong} wrong and reported as success, {failed} with an error",
        f"{len(lost)} restarted on a new token",
        *(f"    {reason}" for reason in lost),
        f"{sent} bytes sent for {sum(lengths)} bytes of files: {sent / sum(lengths):.3f}",
    ]
