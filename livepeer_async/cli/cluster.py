"""Opens the cluster of an ingestion: an existing one, one that listens here, or processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import Process

from livepeer_async.cli.cluster_options import ClusterOptions, is_loopback
from livepeer_async.cli.output.verbosity import VERBOSITY, Verbosity
from livepeer_async.concurrency import plain_task_group
from livepeer_async.deferred import deferred_module
from livepeer_async.errors import ClusterError

if TYPE_CHECKING:
    from livepeer_async.ingest.cluster import nodes
else:
    # Needs the extra `cluster`.
    nodes = deferred_module("livepeer_async.ingest.cluster.nodes")

# Seconds for worker processes to end after a signal; chunks in flight are cancelled.
STOP_TIMEOUT = 5.0


@asynccontextmanager
async def open_cluster(
    options: ClusterOptions, environment: Mapping[str, str], notify: Callable[[str], None]
) -> AsyncGenerator[Any, None]:
    """Open a cluster beside a block, which gets a client of it.

    Args:
        options: which cluster.
        environment: variables for worker processes, beside those of this process.
        notify: prints a sentence.

    Raises:
        ClusterError: the cluster can't be used, or all worker processes have ended.
    """
    if VERBOSITY.get() is not Verbosity.VERBOSE:
        nodes.silence()
    async with AsyncExitStack() as stack:
        address = options.address
        if options.listen:
            listening = nodes.listen(options.host, options.port, options.tls)
            address = await stack.enter_async_context(listening)
        place = urlsplit(address).netloc
        if options.workers is not None:
            starting = _run_workers(place, options.workers, environment)
            await stack.enter_async_context(starting)
        elif options.listen:
            needs = " --insecure" * (options.tls is None and not is_loopback(options.host))
            needs += ", and its --tls-ca, --tls-cert and --tls-key" * (options.tls is not None)
            notify(f"workers join with: livepeer-async worker {place}{needs}")
        connecting = nodes.connect(address, nodes.make_security(options.tls))
        yield await stack.enter_async_context(connecting)


@asynccontextmanager
async def _run_workers(
    place: str, count: int, environment: Mapping[str, str]
) -> AsyncGenerator[None, None]:
    """Run worker processes beside a block."""
    command = [sys.executable, "-m", "livepeer_async", "worker", place, "--once"]
    # A journal of the environment is that of other clusters' workers.
    env = {key: value for key, value in os.environ.items() if key != "LIVEPEER_JOURNAL"}
    processes: list[Process] = []
    try:
        for _ in range(count):
            # In a session of its own, a worker gets no Ctrl-C: this process stops it.
            process = await anyio.open_process(
                command,
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=None if VERBOSITY.get() is Verbosity.VERBOSE else DEVNULL,
                env={**env, **environment},
                start_new_session=True,
            )
            processes.append(process)
        async with plain_task_group() as tasks:
            tasks.start_soon(_watch, processes)
            yield
            tasks.cancel_scope.cancel()
    finally:
        # They would outlive the command.
        with anyio.CancelScope(shield=True):
            await _end(processes)


async def _watch(processes: list[Process]) -> None:
    statuses = [await process.wait() for process in processes]
    raise ClusterError(
        f"all worker processes have ended (exit status {statuses[-1]}); the same command goes on"
    )


async def _end(processes: list[Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
    with anyio.move_on_after(STOP_TIMEOUT):
        for process in processes:
            await process.wait()
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()
