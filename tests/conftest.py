import pytest


@pytest.fixture
def anyio_backend():
    """Everything here is asyncio's: aiofiles binds the package to it."""
    return "asyncio"
