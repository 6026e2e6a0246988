"""Uploads many sources concurrently."""

from __future__ import annotations

import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread

from livepeer_async.errors import ConfigurationError
from livepeer_async.scheduling.jobs import run_jobs
from livepeer_async.scheduling.slots import Slot, SlotQueue
from livepeer_async.sources.source import SourceLike
from livepeer_async.uploads.options import UploadJob, UploadOutcome


def run_uploads(
    sources: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
    run_one: Callable[[UploadJob, Slot], Awaitable[UploadOutcome]],
    *,
    slot_queue: SlotQueue,
) -> AbstractAsyncContextManager[AsyncIterator[UploadOutcome]]:
    """Run uploads concurrently, as `run_jobs` does.

    Args:
        sources: sources, or jobs.
        run_one: runs one job.
        slot_queue: decides when a job may start.

    Raises:
        ConfigurationError: `sources` is one source, or can't be iterated.
    """
    given: Any = sources
    if isinstance(given, str | bytes) or not isinstance(given, AsyncIterable | Iterable):
        raise ConfigurationError(
            f"sources is a {type(given).__name__}, which is one source; wanted an iterable of them"
        )
    return run_jobs(_jobs(sources), run_one, length_of=measure_length, slot_queue=slot_queue)


async def measure_length(job: UploadJob) -> int | None:
    """Return the length of a source if it is cheap to get, for scheduling alone."""
    source: Any = job.source
    try:
        if not isinstance(source, str | os.PathLike):
            return memoryview(source).nbytes
        if job.length is not None:
            return job.length
        path = Path(cast("str", source))
        return (await anyio.to_thread.run_sync(path.stat)).st_size
    except TypeError:  # a stream or a file object
        return job.length
    except (BufferError, OSError, ValueError):
        return 0


async def _jobs(
    sources: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
) -> AsyncGenerator[UploadJob, None]:
    if isinstance(sources, AsyncIterable):
        async for source in sources:
            yield _as_job(source)
        return
    for source in sources:
        yield _as_job(source)


def _as_job(source: UploadJob | SourceLike) -> UploadJob:
    return source if isinstance(source, UploadJob) else UploadJob(source)
