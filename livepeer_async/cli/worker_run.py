"""Runs a worker that joins one scheduler after the other."""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute

from livepeer_async.cli.cluster_certificates import Tls
from livepeer_async.cli.output.console import print_note, print_problem
from livepeer_async.cli.output.error_messages import ExitStatus
from livepeer_async.cli.output.formatting import pluralize
from livepeer_async.cli.output.verbosity import VERBOSITY, Verbosity
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import ClusterError, LivepeerError
from livepeer_async.ingest.cluster import nodes

# Seconds between two attempts to reach a scheduler.
RETRY_DELAY = 1.0
# Seconds of an attempt.
CONNECT_TIMEOUT = 5.0


async def run_worker(address: str, *, threads: int, tls: Tls | None, once: bool) -> ExitStatus:
    """Join schedulers at an address until the process is interrupted.

    Args:
        address: the address, with a scheme.
        threads: how many batches run at once.
        tls: the files of TLS.
        once: whether to end with the first scheduler.

    Raises:
        ConfigurationError: there is no API key, or the base URL is invalid.
    """
    # Raises for an environment that no ingestion can use.
    AsyncLivepeer()
    if VERBOSITY.get() is not Verbosity.VERBOSE:
        nodes.silence()
    place = urlsplit(address).netloc
    failure = ""
    while True:
        host = await _wait_for_scheduler(address)
        try:
            async with nodes.join(address, host, threads, tls, on_refusal=_refuse) as worker:
                failure = ""
                print_note(f"joined {place} with {pluralize(threads, 'thread')}")
                await worker.finished()
        except ClusterError as error:
            # Each further attempt fails for the same reason.
            if str(error) != failure:
                failure = str(error)
                print_problem(failure)
        else:
            print_note(f"left {place}: the scheduler has ended")
        if once:
            return ExitStatus.FAILED if failure else ExitStatus.OK


def _refuse(error: LivepeerError) -> None:
    print_problem(f"this worker can't be used: {error}")


async def _wait_for_scheduler(address: str) -> str:
    """Wait until something listens; return the address of this machine that reaches it."""
    parts = urlsplit(address)
    has_waited = False
    while True:
        try:
            with anyio.fail_after(CONNECT_TIMEOUT):
                stream = await anyio.connect_tcp(parts.hostname or "", parts.port or 0)
            async with stream:
                local = stream.extra_attributes[SocketAttribute.local_address]()
                return str(local[0])
        except OSError:
            if not has_waited:
                has_waited = True
                print_note(f"waiting for a scheduler at {parts.netloc}")
        await anyio.sleep(RETRY_DELAY)
