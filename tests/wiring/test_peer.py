"""The peer itself: it does what production's wiring is known to do, wrong bytes included."""

import hashlib
import uuid

import httpx
import pytest

from wiring.run import MIB, Case

pytestmark = [pytest.mark.wiring, pytest.mark.anyio]

LENGTH = 20 * MIB
NO_CONTENT, CONFLICT = httpx.codes.NO_CONTENT, httpx.codes.CONFLICT
VERSION = {"Tus-Resumable": "1.0.0"}


class Sender:
    """Sends bytes as it is told, where the client would know better."""

    def __init__(self, http, token):
        self.http = http
        self.token = token
        self.content = Case(token, LENGTH, ()).content()
        self.url = ""

    async def create(self, creation_url):
        headers = {**VERSION, "Upload-Length": str(LENGTH)}
        answer = await self.http.post(creation_url, headers=headers)
        self.url = answer.headers["Location"]
        return self.url

    async def patch(self, start, stop):
        """Send a chunk; give the status and the offset that the answer names."""
        headers = {**VERSION, "Upload-Offset": str(start)}
        headers["Content-Type"] = "application/offset+octet-stream"
        chunk = self.content[start:stop]
        answer = await self.http.patch(self.url, headers=headers, content=chunk)
        return answer.status_code, int(answer.headers.get("Upload-Offset", -1))

    async def ask(self):
        """Give the offset that the server holds."""
        answer = await self.http.head(self.url, headers=VERSION)
        return int(answer.headers["Upload-Offset"])


@pytest.fixture
async def sender(production):
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        sender = Sender(http, uuid.uuid4().hex)
        await sender.create(production.creation_url(sender.token))
        yield sender
    await production.forget(sender.token)


async def test_the_token_decides_the_object(production, sender):
    assert sender.url == f"{production.base_url}/directUpload%2F{sender.token}"
    assert await production.sha256(sender.token) is None


async def test_whole_parts_and_the_rest_alone_are_stored_exactly(production, sender):
    assert await sender.patch(0, 16 * MIB) == (NO_CONTENT, 16 * MIB)
    assert await sender.ask() == 16 * MIB
    assert await sender.patch(16 * MIB, LENGTH) == (NO_CONTENT, LENGTH)
    expected = hashlib.sha256(sender.content).hexdigest()
    assert await production.sha256(sender.token) == expected


async def test_a_rest_within_a_chunk_is_acknowledged_and_forgotten(sender):
    assert await sender.patch(0, 10 * MIB) == (NO_CONTENT, 10 * MIB)
    assert await sender.ask() == 8 * MIB
    assert await sender.patch(10 * MIB, LENGTH) == (CONFLICT, -1)


async def test_resuming_from_there_stores_wrong_bytes_as_success(production, sender):
    """Mostly the forgotten bytes twice; a race in the store may lose the last piece as well."""
    await sender.patch(0, 10 * MIB)
    assert await sender.patch(8 * MIB, 18 * MIB) == (NO_CONTENT, 18 * MIB)
    assert await sender.ask() == 18 * MIB
    assert await sender.patch(18 * MIB, LENGTH) == (NO_CONTENT, LENGTH)
    right = hashlib.sha256(sender.content).hexdigest()
    assert await production.sha256(sender.token) not in {None, right}
