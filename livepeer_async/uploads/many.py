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
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, cast

import anyio
import anyio.to_thread
import msgspec

from livepeer_async.errors import ConfigurationError, SourceError
from livepeer_async.models import NewAsset
from livepeer_async.scheduling.jobs import run_jobs
from livepeer_async.scheduling.slots import Slot, SlotQueue
from livepeer_async.sources.source import SourceLike, source_key
from livepeer_async.telemetry.events import SOURCE_REPEATED, log_event
from livepeer_async.uploads.options import UploadJob, UploadOutcome, UploadResult

# Files that one call remembers; each takes about 200 bytes.
MAX_REMEMBERED = 100_000


def run_uploads(
    sources: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
    run_one: Callable[[UploadJob, Slot], Awaitable[UploadOutcome]],
    *,
    slot_queue: SlotQueue,
    has_journal: bool = False,
) -> AbstractAsyncContextManager[AsyncIterator[UploadOutcome]]:
    """Run uploads concurrently, as `run_jobs` does; a file that is named again is skipped.

    Args:
        sources: sources, or jobs.
        run_one: runs one job.
        slot_queue: decides when a job may start.
        has_journal: whether two jobs with one key are the same upload.

    Raises:
        ConfigurationError: `sources` is one source, or can't be iterated.
    """
    given: Any = sources
    if isinstance(given, str | bytes) or not isinstance(given, AsyncIterable | Iterable):
        raise ConfigurationError(
            f"sources is a {type(given).__name__}, which is one source; wanted an iterable of them"
        )
    files = NamedFiles(has_journal=has_journal)

    async def run(job: UploadJob, slot: Slot) -> UploadOutcome:
        error = files.pop_error(job)
        return (
            await run_one(job, slot)
            if error is None
            else UploadResult(source=job.source, error=error)
        )

    return run_jobs(_jobs(sources, files), run, length_of=files.length_of, slot_queue=slot_queue)


class NamedFiles:
    """The files that one call has named: an unchanged file that is named again is the same upload.

    The journal's key decides: an explicit key, or the absolute path. Links aren't resolved. The
    number of files that are remembered is limited.

    Args:
        has_journal: whether jobs of one key exclude each other.
    """

    def __init__(self, *, has_journal: bool) -> None:
        self._has_journal = has_journal
        # The hash of the file's identity and the asset's fields, by the hash of the key.
        self._named: dict[int, tuple[int, int]] = {}
        # Of jobs that are waiting, by their `id`.
        self._lengths: dict[int, int] = {}
        self._errors: dict[int, ConfigurationError] = {}

    async def is_repeated(self, job: UploadJob) -> bool:
        """Whether an equal job was named before, and its file hasn't been changed since."""
        path = _path_of(job)
        if path is None:
            return False
        # A job with a length is queued at once, as the order of large and small files needs it.
        status = await _find_status(path) if job.length is None else None
        size = status.st_size if status else 0
        self._lengths[id(job)] = size if job.length is None else job.length
        version = status and (status.st_size, status.st_mtime_ns, status.st_ino)
        fields = "" if job.new_asset is None else _encode(job.new_asset)
        # Without a journal, one file can become several assets with different fields.
        key = hash((path, job.key, None if self._has_journal else fields))
        named = hash(version), hash(fields)
        before = self._named.get(key)
        if before == named:
            del self._lengths[id(job)]
            log_event(SOURCE_REPEATED, "%r is named again, and uploaded once", path, source=path)
            return True
        if before is not None and before[0] == named[0]:
            self._errors[id(job)] = _different_fields(path)
        self._named[key] = named
        if len(self._named) > MAX_REMEMBERED:
            del self._named[next(iter(self._named))]
        return False

    async def length_of(self, job: UploadJob) -> int | None:
        """Return the length of a job's source if it is cheap to get."""
        length = self._lengths.pop(id(job), None)
        length = await measure_length(job) if length is None else length
        # An invalid length is reported when the job runs.
        return length if isinstance(length, int) else None

    def pop_error(self, job: UploadJob) -> ConfigurationError | None:
        """Return the error of a job that can't run, if it has one."""
        return self._errors.pop(id(job), None)


async def measure_length(job: UploadJob) -> int | None:
    """Return the length of a source if it is cheap to get, for scheduling alone."""
    source: Any = job.source
    try:
        if not isinstance(source, str | os.PathLike):
            return memoryview(source).nbytes
        if job.length is not None:
            return job.length
        return (await anyio.to_thread.run_sync(os.stat, cast("str", source))).st_size
    except TypeError:  # a stream or a file object
        return job.length
    except (BufferError, OSError, ValueError):
        return 0


async def _jobs(
    sources: Iterable[UploadJob | SourceLike] | AsyncIterable[UploadJob | SourceLike],
    files: NamedFiles,
) -> AsyncGenerator[UploadJob, None]:
    if isinstance(sources, AsyncIterable):
        async for source in sources:
            if not await files.is_repeated(job := _as_job(source)):
                yield job
        return
    for source in sources:
        if not await files.is_repeated(job := _as_job(source)):
            yield job


def _path_of(job: UploadJob) -> str | None:
    """Return the absolute path of a job's file, as far as it has one."""
    with suppress(SourceError, TypeError, ValueError):
        return source_key(job.source)
    return None


async def _find_status(path: str) -> os.stat_result | None:
    with suppress(OSError, ValueError):
        return await anyio.to_thread.run_sync(os.stat, path)
    return None


def _encode(fields: object) -> bytes:
    # Invalid fields are reported when the job runs.
    with suppress(TypeError, ValueError):
        fields = NewAsset(fields) if isinstance(fields, str) else fields
        return msgspec.json.encode(fields, order="deterministic")
    return repr(fields).encode()


def _different_fields(path: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path!r} is named twice, with different fields for its asset; pass a key= of its own for "
        "each asset"
    )


def _as_job(source: UploadJob | SourceLike) -> UploadJob:
    return source if isinstance(source, UploadJob) else UploadJob(source)
