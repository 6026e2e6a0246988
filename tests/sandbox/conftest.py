import pytest


@pytest.fixture
def anyio_backend():
    """The sandbox is asyncio's: uvicorn's protocol is."""
    return "asyncio"
