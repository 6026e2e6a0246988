"""`ingest`: checks its options and runs an ingestion beside the caller's block."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from livepeer_async.client import AsyncLivepeer
from livepeer_async.defaults import READY_TIMEOUT
from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.ingestion import Ingestion, run_ingestion
from livepeer_async.ingest.manifest import Manifest, open_manifest
from livepeer_async.ingest.row_worker import RemoteRows, RowOptions
from livepeer_async.ingest.rows import Row
from livepeer_async.probing.probe import Probe, as_probe
from livepeer_async.uploads.options import Method, OnMismatch, UploadOptions, Verify
from livepeer_async.uploads.progress import Progress

# Seconds after which an outage ends the run. After a day it has been noticed.
OUTAGE_TIMEOUT = 24 * 3600.0
# How often the server is asked to process a failed asset again.
REPROCESS = 2


@asynccontextmanager
async def ingest(  # noqa: PLR0913 - the options of an ingestion, all with a default
    livepeer: AsyncLivepeer,
    manifest: Manifest | str | os.PathLike[str],
    *,
    strict: bool = False,
    relay: bool = False,
    concurrency: int | None = None,
    max_rate: float | None = None,
    wait: bool = True,
    verify: Verify = "size",
    on_mismatch: OnMismatch = "reupload",
    on_progress: Callable[[Row, Progress], None] | None = None,
    ready_timeout: float = READY_TIMEOUT,
    reprocess: int = REPROCESS,
    ignore_mtime: bool = False,
    outage_timeout: float = OUTAGE_TIMEOUT,
    probe: Probe | bool = False,
    method: Method = "tus",
    cluster: Any = None,
) -> AsyncGenerator[Ingestion, None]:
    """Upload all videos of a manifest; yields an async iterator over the events.

    With a journal, a later run of the same manifest sends no request for finished rows, resumes
    unfinished uploads, and has the server process failed assets again if that may help. Leaving the
    block early cancels running rows; `Ingestion.stop` finishes the chunks in flight first.

    Args:
        livepeer: a client. For unattended work, set `RetryPolicy(busy_timeout=...)` to hours.
        manifest: a file of JSON lines or CSV, a folder, a glob, or the result of `open_manifest`.
        strict: start nothing if any row is bad.
        relay: stream URLs through this machine instead of having the server fetch them.
        concurrency: as for `AsyncLivepeer.upload_many`.
        max_rate: bytes per second.
        wait: whether to wait for `ready`.
        verify: "size", "hash" or `None`, as for `AsyncLivepeer.upload`.
        on_mismatch: "reupload" replaces an asset with wrong bytes once; "raise" fails the row.
        on_progress: called with a row and its progress; must not block.
        ready_timeout: seconds to wait for `ready`.
        reprocess: how often the server is asked to process a failed asset again, if that may help.
        ignore_mtime: as for `AsyncLivepeer.upload`.
        outage_timeout: seconds without a response of the server after which the run ends.
        probe: whether a file that Livepeer's pipeline would refuse is a bad row; as for
            `AsyncLivepeer.upload`. It is looked at when its row comes up; with `strict`, before.
        method: "tus" or "direct", as for `AsyncLivepeer.upload`.
        cluster: a `distributed.Client` of a Dask cluster, whose workers upload the rows; this
            process only hands them out. See `livepeer_async.ingest.cluster`.

    Raises:
        ConfigurationError: the manifest or an option is invalid, or the extra `cluster` isn't
            installed.
    """
    if not isinstance(manifest, Manifest):
        manifest = open_manifest(manifest)
    if not outage_timeout > 0:
        raise ConfigurationError(f"outage_timeout is {outage_timeout!r}; wanted seconds above 0")
    upload = UploadOptions(
        wait=wait,
        verify=verify,
        on_mismatch=on_mismatch,
        ready_timeout=ready_timeout,
        reprocess=reprocess,
        ignore_mtime=ignore_mtime,
        method=method,
    )
    livepeer.throttle.set_limits(concurrency, max_rate)
    rules = as_probe(probe)
    options = RowOptions(relay=relay, upload=upload, on_progress=on_progress, probe=rules)
    remote = _make_remote(livepeer, cluster, options, outage_timeout)
    ingestion = Ingestion(
        livepeer, manifest, options, strict=strict, outage_timeout=outage_timeout, cluster=remote
    )
    async with run_ingestion(ingestion):
        yield ingestion


def _make_remote(
    livepeer: AsyncLivepeer, cluster: Any, options: RowOptions, outage_timeout: float
) -> RemoteRows | None:
    if cluster is None:
        return None
    try:
        # Needs the extra `cluster`.
        coordinator: Any = import_module("livepeer_async.ingest.cluster.coordinator")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"ingest(cluster=...) needs {error.name}, which isn't installed; "
            "install livepeer-async[cluster]"
        ) from error
    remote: RemoteRows = coordinator.ClusterRun(
        livepeer, cluster, options, outage_timeout=outage_timeout
    )
    return remote
