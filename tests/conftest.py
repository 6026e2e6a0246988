"""Fixtures and hypothesis profiles of all tests.

The default profile, `quick`, tries few examples, the same in each run; the environment variable
`HYPOTHESIS_PROFILE=thorough` selects many random ones.
"""

import functools
import os
import signal
import ssl

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=30, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "thorough", max_examples=5_000, deadline=None, database=None, suppress_health_check=SLOW
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture
def anyio_backend():
    """Run on asyncio alone, which aiofiles needs."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def shared_certificates():
    """Load each file of certificates once: every client would need 46 ms of CPU for it."""
    create = ssl.create_default_context
    load = functools.cache(lambda cafile: create(cafile=cafile))

    def create_default_context(*args, **options):
        if args or set(options) != {"cafile"} or "SSLKEYLOGFILE" in os.environ:
            return create(*args, **options)
        return load(options["cafile"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", create_default_context)
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Let child processes receive SIGINT, even if it is ignored here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory):
    """Keep the journals of commands out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def portal():
    """An event loop for synchronous tests."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def open_umask():
    """Make new files accessible to all users, unless the package restricts them."""
    umask = os.umask(0)
    yield
    os.umask(umask)


@pytest.fixture
def clean_env(monkeypatch):
    """Remove the environment's proxies and certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server, one for each process of pytest."""
    from support.postgres import PostgresServer  # noqa: PLC0415 - few tests need its extra

    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres(postgres_server):
    """A `Database` of this test's own; the test may restart its server."""
    from support.postgres import Database  # noqa: PLC0415

    database = Database(postgres_server)
    yield database
    database.drop()


@pytest.fixture(scope="session")
def shared_database(postgres_server):
    """One `Database` for many tests: creating one takes 0.1 s of CPU."""
    from support.postgres import Database  # noqa: PLC0415

    database = Database(postgres_server)
    yield database
    database.drop()


@pytest.fixture
def empty_database(shared_database):
    """A `Database` without tables and sessions of other tests, for those that don't change it."""
    yield shared_database
    shared_database.terminate_all()
    shared_database.execute("DROP SCHEMA IF EXISTS livepeer_async CASCADE")


@pytest.fixture
def postgres_proxy(postgres_server):
    """A `CutProxy` in front of PostgreSQL: `postgres.url_of(port=postgres_proxy.port)`."""
    from support.cut_proxy import CutProxy  # noqa: PLC0415

    with CutProxy(postgres_server.port) as proxy:
        yield proxy
