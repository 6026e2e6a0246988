import pytest


@pytest.fixture
def anyio_backend():
    """The sandbox needs asyncio, because uvicorn's protocol does."""
    return "asyncio"
