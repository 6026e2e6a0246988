"""The Python blocks of the package's docstring work unchanged."""

import re

import anyio.to_thread
import pytest

from livepeer_async import tus
from tus.faulty_server import run_server

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(200))


@pytest.fixture
def blocks():
    namespaces = []
    for code in re.findall(r"```python\n(.*?)```", tus.__doc__, re.DOTALL):
        namespaces.append({"__name__": "example"})
        exec(code, namespaces[-1])
    return namespaces


async def test_client_example_uploads(blocks, capsys):
    async with run_server() as server:
        await blocks[0]["main"](server.endpoint, CONTENT)
        assert server.stored(capsys.readouterr().out.strip()) == CONTENT


@pytest.mark.parametrize(
    "script", [{}, {"PATCH": [(423, {}), (None, {})]}], ids=["plain", "faults"]
)
async def test_core_example_uploads(blocks, script):
    async with run_server(script=script) as server:
        state, url = await anyio.to_thread.run_sync(blocks[1]["upload"], server.endpoint, CONTENT)
        assert state is tus.State.COMPLETE
        assert server.stored(url) == CONTENT


async def test_core_example_raises_a_refusal(blocks):
    async with run_server(script={"POST": [(403, {})]}) as server:
        with pytest.raises(RuntimeError, match="403"):
            await anyio.to_thread.run_sync(blocks[1]["upload"], server.endpoint, CONTENT)
