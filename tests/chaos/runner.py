"""Runs a case: a client with short timeouts against its own sandbox, over real sockets."""

import time
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import httpx

from chaos.cases import Case, Source
from chaos.checks import check_case
from chaos.fault_kinds import STALL_SECONDS
from livepeer_async import AsyncLivepeer, UploadJob, errors
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import KEEPALIVE_SECONDS
from livepeer_async.sandbox import Sandbox
from support.sandbox import SMALL_S3
from support.streams import split

# The longest cases, repeated stalls, take 10 s.
MAX_CASE_SECONDS = 60.0
# Three faults, each at most twice, may fire before the offset moves, or cost a ticket.
RETRY = RetryPolicy(attempts=10, first_delay=0.01, max_delay=0.05, max_retry_after=2.0, restarts=6)
TIMEOUTS = Timeouts(connect=5.0, stall=STALL_SECONDS, answer=2.0, chunk_response=STALL_SECONDS)
READY_TIMEOUT = 8.0
# Errors that no server can cause.
CALLER_ERRORS = (errors.ConfigurationError, errors.IllegalMove, errors.SourceError)
READY = "ready"


class Outcome(NamedTuple):
    """The result of a case."""

    results: list[str]
    problems: list[str]
    fired: dict[str, int]
    seconds: float


async def run_case(
    case: Case, folder, *, retry=RETRY, timeouts=TIMEOUTS, max_seconds: float = MAX_CASE_SECONDS
) -> Outcome:
    """Run a case, and check it."""
    started = time.monotonic()
    contents = {source.name: source.content for source in case.sources}
    options = SMALL_S3 if case.storage == "s3" else {"storage": "file"}
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0, "seed": case.seed}
    async with Sandbox(faults=case.faults, **options, **quick) as sandbox:
        async with client(sandbox, case, retry, timeouts) as livepeer:
            results = await upload_all(livepeer, case, contents, folder, max_seconds)
        problems = check_case(sandbox, case, contents)
        for source in case.sources:
            problems += check_result(sandbox, case, source, results.get(source.name))
    return Outcome(
        results=[name_result(results.get(source.name)) for source in case.sources],
        problems=problems,
        fired={injection.kind.name: injection.fault.fired for injection in case.injections},
        seconds=time.monotonic() - started,
    )


@asynccontextmanager
async def client(sandbox, case: Case, retry, timeouts):
    # Like the package's own client, without certificates: loading them takes as long as a case.
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


async def upload_all(livepeer, case: Case, contents, folder, max_seconds):
    """Upload all sources; return an asset or an exception for each."""
    results = {}
    options = {"verify": case.verify, "ready_timeout": READY_TIMEOUT}
    with anyio.move_on_after(max_seconds):
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
        except Exception as error:  # noqa: BLE001 - its type is checked
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
        split(data, 10_000), source.name, length=len(data) if source.form == "stream" else None
    )


def check_result(sandbox, case: Case, source: Source, result):
    """Check an upload: ready and exact, or a typed error if the case allows one."""
    if result is None:
        yield f"{source.name} exceeded the time limit"
    elif isinstance(result, Exception):
        yield from check_error(sandbox, case, source, result)
    else:
        yield from check_success(sandbox, source, result)


def check_success(sandbox, source: Source, asset):
    """The asset is ready and exact; others are left only if their ticket was lost."""
    existing = [seen for seen in sandbox.assets if seen.name == source.name and not seen.is_deleted]
    (stored,) = [seen for seen in sandbox.assets if seen.id == asset.id]
    path = sandbox.stored(asset.playback_id)
    if stored.phase != READY or path is None or path.read_bytes() != source.content:
        yield f"success with wrong bytes: {source.name}, whose asset is {stored.phase}"
    if stored not in existing:
        yield f"{source.name} succeeded with an asset that is deleted"
    tickets = [seen for seen in sandbox.requests if seen.path.endswith("/request-upload")]
    lost = sum(seen.fault is not None for seen in tickets)
    if len(existing) > 1 + lost:
        yield f"{source.name} left {len(existing)} assets; {lost} tickets had a fault"


def check_error(sandbox, case: Case, source: Source, error: Exception):
    text = f"{type(error).__name__}: {error}"
    if not isinstance(error, errors.LivepeerError):
        yield f"{source.name} ended with an untyped error: {text}"
    elif isinstance(error, CALLER_ERRORS):
        yield f"{source.name} ended with an error that no server can cause: {text}"
    elif case.must_recover and not (isinstance(error, errors.UploadGone) and case.may_lose(source)):
        yield f"{source.name} should have become ready: {text}"
    if sandbox.api_key in str(error):
        yield f"the API key is in the error of {source.name}"


def name_result(result) -> str:
    if result is None:
        return "hang"
    return type(result).__name__ if isinstance(result, Exception) else READY
