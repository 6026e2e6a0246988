"""Many uploads side by side: who starts when, and how the results come back.

In come sources, from any iterable, endless and async ones included; out come `UploadResult`s in
the order in which the uploads end. A failure ends one upload and stops no other.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from msgspec import Struct

from livepeer_async.errors import ConfigurationError
from livepeer_async.models import NewAsset
from livepeer_async.taskgroups import plain_task_group
from livepeer_async.uploads.source import SourceLike
from livepeer_async.uploads.upload import UploadResult

# Measured limits of one connection differ by link; four fill most of them, and each holds 2 MiB.
CONCURRENCY = 4


class UploadJob(Struct, frozen=True):
    """A source with the asset that it shall become, for `upload_many`.

    Attributes:
        source: as for `upload`.
        new_asset: as for `upload`.
        length: bytes, for a stream that knows them.
        key: as for `upload`.
    """

    source: SourceLike
    new_asset: NewAsset | str | None = None
    length: int | None = None
    key: str | None = None


@asynccontextmanager
async def run_many(
    jobs: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
    run_one: Callable[[UploadJob], Awaitable[UploadResult]],
    *,
    concurrency: int = CONCURRENCY,
) -> AsyncGenerator[AsyncIterator[UploadResult], None]:
    """Run jobs side by side; results come as they end, and wait until they are taken.

    Args:
        jobs: sources, or jobs; the next is taken only when there is room for it.
        run_one: runs a job; it must not raise but for cancellation.
        concurrency: uploads at the same time.

    Raises:
        ConfigurationError: `concurrency` is below 1, or `jobs` can't be iterated.
    """
    if concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}; wanted at least 1")
    given: Any = jobs
    if isinstance(given, str | bytes) or not isinstance(given, AsyncIterable | Iterable):
        raise ConfigurationError(
            f"upload_many takes an iterable of sources; a {type(jobs).__name__} is one source"
        )
    pending = _pending(jobs)
    turn = anyio.Lock()
    put, results = anyio.create_memory_object_stream[UploadResult](0)

    async def work(put: MemoryObjectSendStream[UploadResult]) -> None:
        async with put:
            while True:
                async with turn:
                    job = await anext(pending, None)
                if job is None:
                    return
                await put.send(await run_one(job))

    async with aclosing(pending), results, plain_task_group() as tasks:
        async with put:
            for _ in range(concurrency):
                tasks.start_soon(work, put.clone())
        yield results
        tasks.cancel_scope.cancel()


async def _pending(
    jobs: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
) -> AsyncGenerator[UploadJob, None]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield _as_job(job)
        return
    for job in jobs:
        yield _as_job(job)


def _as_job(job: UploadJob | SourceLike) -> UploadJob:
    return job if isinstance(job, UploadJob) else UploadJob(job)
