"""Schedulers and workers in this process, for the command line.

Neither has a dashboard, or files.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from dask import config
from distributed import Scheduler, Security, Worker

from livepeer_async.errors import ClusterError, LivepeerError
from livepeer_async.ingest.cluster.messages import TOPIC
from livepeer_async.ingest.cluster.worker import RunProcesses
from livepeer_async.ingest.cluster.workers import connect, not_responding

__all__ = ["connect", "join", "listen", "make_security", "silence"]

# Seconds for a scheduler's first response.
JOIN_TIMEOUT = 15.0
CLOSE_TIMEOUT = 5.0
# Files of mutual TLS, in PEM format: certificates of the authorities, the certificate of this
# process, and its private key.
Tls = tuple[str, str, str]
_scheduler: Any = Scheduler
_worker: Any = Worker
_security: Any = Security


def make_security(tls: Tls | None) -> Any:
    """Return Dask's settings for TLS; None without it."""
    if tls is None:
        return None
    ca, cert, key = tls
    names = ("scheduler", "worker", "client")
    certs = {f"tls_{name}_cert": cert for name in names}
    keys = {f"tls_{name}_key": key for name in names}
    return _security(tls_ca_file=ca, require_encryption=True, **certs, **keys)


@asynccontextmanager
async def listen(host: str, port: int, tls: Tls | None) -> AsyncGenerator[str, None]:
    """Run a scheduler beside a block, which gets its address.

    Raises:
        ClusterError: the port or the certificates can't be used.
    """
    with _own_settings():
        scheduler = _scheduler(
            host=_bracketed(host),
            port=port,
            protocol="tls://" if tls else "tcp://",
            security=make_security(tls),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
        try:
            await scheduler
        except (OSError, RuntimeError) as error:
            cause = error.__cause__ or error
            reason = getattr(cause, "strerror", None) or cause
            raise ClusterError(f"{host}:{port} can't be used: {reason}") from error
    try:
        yield scheduler.address
    finally:
        # It has tasks of its own, which would outlive the block.
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_TIMEOUT):
            await scheduler.close()


@asynccontextmanager
async def join(
    address: str,
    host: str,
    threads: int,
    tls: Tls | None,
    *,
    on_refusal: Callable[[LivepeerError], None] | None = None,
) -> AsyncGenerator[Any, None]:
    """Run a worker beside a block, which gets it; it ends with its scheduler.

    Args:
        address: the scheduler's address.
        host: the address of this machine on which the worker listens.
        threads: how many batches run at once.
        tls: the files of TLS.
        on_refusal: called with the reason for which the worker runs no rows of an ingestion.

    Raises:
        ClusterError: no scheduler responds, or its certificates don't match.
    """
    with _own_settings():
        worker = _worker(
            address,
            host=_bracketed(host),
            nthreads=threads,
            security=make_security(tls),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            death_timeout=JOIN_TIMEOUT,
        )
    worker.plugins[TOPIC] = RunProcesses(on_refusal)
    try:
        try:
            await worker
        except (OSError, RuntimeError) as error:
            raise not_responding(address) from error
        yield worker
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_TIMEOUT):
            await worker.close(nanny=False, executor_wait=False)


def silence() -> None:
    """Discard the log output of Dask and tornado: our messages say what matters."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"distributed", "tornado", "asyncio"}:
            log = logging.getLogger(name)
            log.handlers = [logging.NullHandler()]
            log.propagate = False
    warnings.filterwarnings("ignore", module="distributed")


def _bracketed(host: str) -> str:
    """Return a host as Dask expects it, which takes an IPv6 address without brackets for a port."""
    return f"[{host}]" if ":" in host else host


@contextmanager
def _own_settings() -> Generator[None]:
    """Start HTTP servers, which can't be switched off, without pages, and keep no files.

    Nothing is written to the folder, which is deleted at once: a killed process would leave it.
    """
    # It reports that the folder is gone.
    logging.getLogger("distributed.diskutils").disabled = True
    settings: dict[str, Any] = {
        f"distributed.{name}.http.routes": [] for name in ("scheduler", "worker")
    }
    with (
        TemporaryDirectory(prefix="livepeer-async-", ignore_cleanup_errors=True) as folder,
        config.set({**settings, "temporary-directory": folder}),
    ):
        yield
