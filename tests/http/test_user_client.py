"""HTTP clients that can't be used as `http_client`."""

import urllib.request

import anyio
import anyio.lowlevel
import httpx
import pytest

from livepeer_async import AsyncLivepeer, errors
from livepeer_async.http.transport import Transport
from livepeer_async.tus import TusClient
from support.constants import SHORT_TIMEOUTS
from support.libraries import LIBRARIES

pytestmark = pytest.mark.anyio


class Session:
    """As that of requests and aiohttp."""

    def __repr__(self):
        return "<Session with eyJsecret>"

    def get(self):
        raise NotImplementedError

    send = get


WRONG = {
    "an instance of Session, which is synchronous": Session,
    "an instance of str": lambda: "eyJsecret",
    "an instance of int": lambda: 0,
    "the class httpx.AsyncClient, not an instance": lambda: httpx.AsyncClient,
    "an instance of httpx.Limits": httpx.Limits,
    "an instance of urllib.OpenerDirector": urllib.request.build_opener,
}


@pytest.mark.parametrize("found", WRONG)
@pytest.mark.parametrize("create", [lambda it: AsyncLivepeer("key", http_client=it), None])
def test_wrong_client_is_named_with_the_wanted_one(found, create):
    create = create or (lambda it: TusClient(http_client=it))
    with pytest.raises(errors.ConfigurationError) as caught:
        create(WRONG[found]())
    message = str(caught.value)
    assert message.replace("tests.", "").startswith(f"http_client is {found}")
    assert "wanted an httpx.AsyncClient or httpx2.AsyncClient" in message
    assert "secret" not in message


@pytest.mark.parametrize("library", LIBRARIES)
async def test_synchronous_client_is_rejected(library):
    with library.Client() as client, pytest.raises(errors.ConfigurationError) as caught:
        AsyncLivepeer("key", http_client=client)
    assert f"{library.__name__}.Client, which is synchronous" in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_transport_is_rejected_with_the_call_that_works(library):
    async with library.AsyncHTTPTransport() as transport:
        with pytest.raises(errors.ConfigurationError, match=r"AsyncClient\(transport=\.\.\.\)"):
            AsyncLivepeer("key", http_client=transport)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_closed_client_is_rejected(library):
    client = library.AsyncClient()
    await client.aclose()
    with pytest.raises(errors.ConfigurationError, match=r"closed .*; wanted an open one"):
        Transport(http_client=client, timeouts=SHORT_TIMEOUTS)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_subclass_of_a_client_is_accepted(library):
    class Own(library.AsyncClient):
        pass

    async with Own() as client, AsyncLivepeer("key", http_client=client):
        await anyio.lowlevel.checkpoint()
