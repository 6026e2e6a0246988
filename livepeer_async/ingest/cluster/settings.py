"""What a run tells its workers: the account, the journal, and the options of its rows."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import uuid4

from msgspec.structs import replace

from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest.cluster.messages import Run
from livepeer_async.ingest.cluster.worker import machine_id
from livepeer_async.ingest.row_worker import RowOptions
from livepeer_async.journal.location import is_postgres_url
from livepeer_async.scheduling.adaptive import MIN_UPLOAD_RATE

_SECRETS = ("password", "sslpassword")


def describe_run(livepeer: AsyncLivepeer, options: RowOptions, outage_timeout: float) -> Run:
    """Return what the workers of a new run must know.

    Raises:
        ConfigurationError: the client has no journal.
    """
    if livepeer.journal is None:
        raise ConfigurationError(
            "ingest(cluster=...) needs a journal that all workers can use; pass journal= to "
            "AsyncLivepeer"
        )
    url = livepeer.journal.location.value
    is_shared = is_postgres_url(url)
    return Run(
        id=uuid4().hex,
        account=livepeer.account_fingerprint,
        journal=without_password(url) if is_postgres_url(url) else str(livepeer.journal.path),
        journal_id="",
        machine=None if is_shared else machine_id(),
        retry=livepeer.retry,
        timeouts=livepeer.timeouts,
        concurrency=livepeer.throttle.concurrency,
        max_rate=livepeer.throttle.max_rate,
        options=replace(options, on_progress=None),
        outage_timeout=outage_timeout,
    )


def share_rate(run: Run, processes: int) -> Run:
    """Return a run with the rate of each process; a shared journal divides the rate itself."""
    if run.max_rate is None or run.machine is None:
        return run
    return replace(run, max_rate=max(MIN_UPLOAD_RATE, run.max_rate / max(processes, 1)))


def without_password(url: str) -> str:
    """Return the URL of a database without its password.

    The password of a worker comes from its environment, as `PGPASSWORD` or `~/.pgpass`.
    """
    parts = urlsplit(url)
    userinfo, at, place = parts.netloc.rpartition("@")
    user = userinfo.partition(":")[0]
    given = parse_qsl(parts.query, keep_blank_values=True)
    query = [(name, value) for name, value in given if name not in _SECRETS]
    server = f"{user}{at}{place}" if user else place
    # `geturl` would drop the slashes of an empty server.
    url = f"{parts.scheme}://{server}{parts.path}"
    return f"{url}?{urlencode(query, quote_via=quote)}" if query else url
