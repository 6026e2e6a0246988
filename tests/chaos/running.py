"""Runs one case: a client with little patience against a sandbox of its own, over real sockets."""

import time
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import httpx

from chaos.cases import Case, Source
from chaos.judge import judge
from chaos.kinds import PATIENCE
from livepeer_async import AsyncLivepeer, UploadJob, errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import KEEPALIVE_SECONDS
from livepeer_async.sandbox import Sandbox
from support.sandbox import SMALL_S3

# What takes longer never ends; the longest ones, stalls of PATIENCE in a row, take 10 s.
BOUND = 60.0
# Three kinds of fault, each at most twice, may strike before the offset moves, or cost a ticket.
# A server that asks for an hour is left alone for the longest time that is obeyed, by all uploads.
RETRY = RetryPolicy(attempts=10, first_delay=0.01, max_delay=0.05, max_retry_after=2.0, restarts=6)
TIMEOUTS = Timeouts(connect=5.0, stall=PATIENCE, answer=2.0, chunk_response=PATIENCE)
READY_TIMEOUT = 8.0
# Of these the caller is to blame, or the library; no server can cause them.
NEVER_RIGHT = (errors.ConfigurationError, errors.IllegalMove, errors.SourceError)
READY = "ready"


class Outcome(NamedTuple):
    """How a case ended."""

    ends: list[str]
    problems: list[str]
    struck: dict[str, int]
    seconds: float


async def run_case(
    case: Case, folder, *, retry=RETRY, timeouts=TIMEOUTS, bound: float = BOUND
) -> Outcome:
    """Run a case and judge it."""
    started = time.monotonic()
    contents = {source.name: source.content for source in case.sources}
    options = SMALL_S3 if case.storage == "s3" else {"storage": "file"}
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0, "seed": case.seed}
    async with Sandbox(faults=case.faults, **options, **quick) as sandbox:
        async with client(sandbox, case, retry, timeouts) as livepeer:
            results = await upload_all(livepeer, case, contents, folder, bound)
        problems = judge(sandbox, case, contents)
        for source in case.sources:
            problems += judge_result(sandbox, case, source, results.get(source.name))
    return Outcome(
        ends=[name_end(results.get(source.name)) for source in case.sources],
        problems=problems,
        struck={strike.kind.name: strike.fault.fired for strike in case.strikes},
        seconds=time.monotonic() - started,
    )


@asynccontextmanager
async def client(sandbox, case: Case, retry, timeouts):
    # The library's own client, but for the certificates: loading them takes as long as the rest.
    limits = httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
    async with (
        httpx.AsyncClient(limits=limits, verify=False) as http_client,
        AsyncLivepeer(
            sandbox.api_key,
            base_url=sandbox.base_url,
            http_client=http_client,
            timeout=timeouts,
            retry=retry,
            upload_limits=case.limits,
        ) as livepeer,
    ):
        yield livepeer


async def upload_all(livepeer, case: Case, contents, folder, bound):
    """Upload everything; an exception that no upload may raise stands for the result."""
    results = {}
    options = {"verify": case.verify, "ready_timeout": READY_TIMEOUT}
    with anyio.move_on_after(bound):
        try:
            if len(case.sources) == 1:
                (source,) = case.sources
                job = make_job(source, contents[source.name], folder)
                results[source.name] = await upload_one(livepeer, job, options)
                return results
            jobs = [make_job(source, contents[source.name], folder) for source in case.sources]
            names = {id(job.source): job.new_asset for job in jobs}
            async with livepeer.upload_many(jobs, **options) as ended:
                async for result in ended:
                    results[names[id(result.source)]] = result.error or result.asset
        except Exception as error:  # noqa: BLE001 - judged: which one it is decides the case
            for source in case.sources:
                results.setdefault(source.name, error)
    return results


async def upload_one(livepeer, job, options):
    try:
        return await livepeer.upload(job.source, job.new_asset, length=job.length, **options)
    except errors.LivepeerError as error:
        return error


def make_job(source: Source, data: bytes, folder) -> UploadJob:
    if source.form == "path":
        path = folder / source.name
        path.write_bytes(data)
        return UploadJob(path, source.name)
    if source.form == "bytes":
        return UploadJob(data, source.name)
    return UploadJob(
        pieces_of(data), source.name, length=len(data) if source.form == "stream" else None
    )


async def pieces_of(data: bytes, size: int = 10_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def judge_result(sandbox, case: Case, source: Source, result):
    """Judge one upload: ready and exact, or one typed error where that may be."""
    if result is None:
        yield f"{source.name} took longer than the bound"
    elif isinstance(result, Exception):
        yield from judge_error(sandbox, case, source, result)
    else:
        yield from judge_success(sandbox, source, result)


def judge_success(sandbox, source: Source, asset):
    """The asset is ready and exact; no other is left but those whose tickets nobody has seen."""
    mine = [seen for seen in sandbox.assets if seen.name == source.name and not seen.is_deleted]
    (became,) = [seen for seen in sandbox.assets if seen.id == asset.id]
    path = sandbox.stored(asset.playback_id)
    if became.phase != READY or path is None or path.read_bytes() != source.content:
        yield f"success with wrong bytes: {source.name}, whose asset is {became.phase}"
    if became not in mine:
        yield f"{source.name} succeeded with an asset that is deleted"
    asked = [seen for seen in sandbox.requests if seen.path.endswith("/request-upload")]
    unseen = sum(seen.fault is not None for seen in asked)
    if len(mine) > 1 + unseen:
        yield f"{source.name} left {len(mine)} assets; {unseen} answers to tickets were struck"


def judge_error(sandbox, case: Case, source: Source, error: Exception):
    said = f"{type(error).__name__}: {error}"
    if not isinstance(error, errors.LivepeerError):
        yield f"{source.name} ended with an untyped error: {said}"
    elif isinstance(error, NEVER_RIGHT):
        yield f"{source.name} ended with an error that no server can cause: {said}"
    elif case.must_survive and not (isinstance(error, errors.UploadGone) and case.may_lose(source)):
        yield f"{source.name} should have become ready: {said}"
    if sandbox.api_key in str(error):
        yield f"the key stands in an error of {source.name}"


def name_end(result) -> str:
    if result is None:
        return "hang"
    return type(result).__name__ if isinstance(result, Exception) else READY
