"""Headers of `AsyncLivepeer.request`: names are case-insensitive, and each is sent once."""

import pytest

from livepeer_async import AsyncLivepeer
from support.servers import OK, respond_with, serve_raw

pytestmark = pytest.mark.anyio


async def sent(headers, **options):
    """Send a request; return the headers that arrived as (name in lower case, value)."""
    async with (
        serve_raw(respond_with(OK)) as (url, heads),
        AsyncLivepeer("key-1", base_url=url) as livepeer,
    ):
        await livepeer.request("POST", "/stream", headers=headers, **options)
    lines = heads[0].decode().strip().split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines)]


@pytest.mark.parametrize("spell", [str.lower, str.title, str.upper])
async def test_given_header_overrides_the_client_header(spell):
    names = ["accept", "authorization", "user-agent", "x-request-id", "content-type", "x-mine"]
    found = await sent({spell(name): "mine" for name in names})
    assert [[v for n, v in found if n == name] for name in names] == [["mine"]] * len(names)


@pytest.mark.parametrize("spell", [str.lower, str.title, str.upper])
async def test_framing_and_host_headers_cannot_be_overridden(spell):
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
