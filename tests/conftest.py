"""What all tests share: the event loop, and how many examples hypothesis tries.

`HYPOTHESIS_PROFILE=thorough`, or `--hypothesis-profile=thorough`, tries many and other ones in each
run; by default they are few and the same, so that a change is judged by itself.
"""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=30, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "thorough", max_examples=5_000, deadline=None, database=None, suppress_health_check=SLOW
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture
def anyio_backend():
    """Everything here is asyncio's: aiofiles binds the package to it."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Let processes that are started here hear Ctrl-C, also where the tests don't."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory):
    """Keep the journals of commands that are run here out of the home of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def bare(monkeypatch):
    """Take out what the machine that runs the tests says of proxies and certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch
