"""pytest plugin with the fixtures `livepeer_sandbox` and `livepeer`.

An installed `livepeer-async` registers it. Nothing but pytest is imported before a test uses one of
the fixtures, which need the packages of the extra `sandbox`. Fixtures of the same names in a test
module or a `conftest.py` replace these.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from livepeer_async import AsyncLivepeer
    from livepeer_async.sandbox import Sandbox

# Processing ends 3 ms after an upload, and a client polls every 3 ms.
SPEED = 100.0


@pytest.fixture(scope="session")
def livepeer_sandbox() -> Generator[Sandbox, None, None]:
    """An embedded Livepeer on a loopback port, 100 times as fast; `reset` after each test.

    It runs in a thread with its own event loop and serves tests of any kind.
    """
    from livepeer_async.sandbox import Sandbox  # noqa: PLC0415 - it needs an extra

    with Sandbox(speed=SPEED) as sandbox:
        yield sandbox


@pytest.fixture
def livepeer(livepeer_sandbox: Sandbox) -> Generator[AsyncLivepeer, None, None]:
    """A client of the sandbox, for tests in any event loop of asyncio; closed after the test."""
    from livepeer_async import AsyncLivepeer  # noqa: PLC0415 - takes time to import

    client = AsyncLivepeer(
        livepeer_sandbox.api_key, base_url=livepeer_sandbox.base_url, speed=livepeer_sandbox.speed
    )
    yield client
    client.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Reset the sandbox after the fixtures of a test have ended."""
    try:
        yield
    finally:
        # Only items of functions have fixtures, and a fixture of the user may be anything.
        values: dict[str, Any] = getattr(item, "funcargs", None) or {}
        sandbox = values.get("livepeer_sandbox")
        if getattr(sandbox, "is_running", False):
            cast("Sandbox", sandbox).reset()
