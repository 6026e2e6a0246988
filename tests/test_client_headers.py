"""Headers of `AsyncLivepeer.request`: names have no case, and each is sent once."""

import pytest

from answering import OK, saying, serving
from livepeer_async import AsyncLivepeer

pytestmark = pytest.mark.anyio


async def sent(headers, **options):
    """Send a request; give the headers that arrived as (name in lower case, value)."""
    async with (
        serving(saying(OK)) as (url, heads),
        AsyncLivepeer("key-1", base_url=url) as livepeer,
    ):
        await livepeer.request("POST", "/stream", headers=headers, **options)
    lines = heads[0].decode().strip().split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines)]


@pytest.mark.parametrize("spell", [str.lower, str.title, str.upper])
async def test_header_replaces_the_clients_own(spell):
    names = ["accept", "authorization", "user-agent", "x-request-id", "content-type", "x-mine"]
    found = await sent({spell(name): "mine" for name in names})
    assert [[v for n, v in found if n == name] for name in names] == [["mine"]] * len(names)


@pytest.mark.parametrize("spell", [str.lower, str.title, str.upper])
async def test_headers_of_the_body_and_host_are_the_clients(spell):
    wrong = {
        "content-type": "text/plain",
        "content-length": "1",
        "transfer-encoding": "chunked",
        "host": "other.example",
    }
    found = await sent({spell(name): value for name, value in wrong.items()}, json={"name": "x"})
    names = [name for name, _ in found if name in wrong]
    assert sorted(names) == ["content-length", "content-type", "host"]
    assert not set(wrong.items()) & set(found)
