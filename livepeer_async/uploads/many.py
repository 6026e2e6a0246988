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
from msgspec import Struct

from livepeer_async.errors import ConfigurationError
from livepeer_async.models import NewAsset
from livepeer_async.scheduling.jobs import run_jobs
from livepeer_async.scheduling.slots import Slot, SlotQueue
from livepeer_async.sources.source import SourceLike
from livepeer_async.uploads.options import UploadResult


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


def run_many(
    jobs: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
    run_one: Callable[[UploadJob, Slot], Awaitable[UploadResult]],
    *,
    slot_queue: SlotQueue,
) -> AbstractAsyncContextManager[AsyncIterator[UploadResult]]:
    """Run uploads side by side, as `run_jobs` does.

    Args:
        jobs: sources, or jobs.
        run_one: runs a job.
        slot_queue: says when one may start.

    Raises:
        ConfigurationError: `jobs` can't be iterated.
    """
    given: Any = jobs
    if isinstance(given, str | bytes) or not isinstance(given, AsyncIterable | Iterable):
        raise ConfigurationError(
            f"upload_many takes an iterable of sources; a {type(jobs).__name__} is one source"
        )
    return run_jobs(_pending(jobs), run_one, length_of=length_of, slot_queue=slot_queue)


async def length_of(job: UploadJob) -> int | None:
    """Look how long a source is, where that costs nothing; its upload will look again."""
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
