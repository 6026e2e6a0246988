"""The production server itself: it has the known faults, wrong bytes included."""

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
    """A tus client without any rules."""

    def __init__(self, http, token):
        self.http = http
        self.token = token
        self.content = Case(token, LENGTH, ()).content()
        self.url = ""

    async def create(self, creation_url):
        headers = {**VERSION, "Upload-Length": str(LENGTH)}
        response = await self.http.post(creation_url, headers=headers)
        self.url = response.headers["Location"]
        return self.url

    async def patch(self, start, stop):
        """Send a chunk; return the status and the offset of the response."""
        headers = {**VERSION, "Upload-Offset": str(start)}
        headers["Content-Type"] = "application/offset+octet-stream"
        chunk = self.content[start:stop]
        response = await self.http.patch(self.url, headers=headers, content=chunk)
        return response.status_code, int(response.headers.get("Upload-Offset", -1))

    async def request_offset(self):
        """Request the offset."""
        response = await self.http.head(self.url, headers=VERSION)
        return int(response.headers["Upload-Offset"])


@pytest.fixture
async def sender(production):
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        sender = Sender(http, uuid.uuid4().hex)
        await sender.create(production.creation_url(sender.token))
        yield sender
    await production.delete(sender.token)


async def test_token_becomes_the_object_name(production, sender):
    assert sender.url == f"{production.base_url}/directUpload%2F{sender.token}"
    assert await production.sha256(sender.token) is None


async def test_whole_parts_and_a_separate_rest_are_exact(production, sender):
    assert await sender.patch(0, 16 * MIB) == (NO_CONTENT, 16 * MIB)
    assert await sender.request_offset() == 16 * MIB
    assert await sender.patch(16 * MIB, LENGTH) == (NO_CONTENT, LENGTH)
    expected = hashlib.sha256(sender.content).hexdigest()
    assert await production.sha256(sender.token) == expected


async def test_rest_within_a_chunk_is_acknowledged_and_discarded(sender):
    assert await sender.patch(0, 10 * MIB) == (NO_CONTENT, 10 * MIB)
    assert await sender.request_offset() == 8 * MIB
    assert await sender.patch(10 * MIB, LENGTH) == (CONFLICT, -1)


async def test_resuming_after_a_rest_stores_wrong_bytes(production, sender):
    """Mostly with repeated bytes; a race in the store may also lose the last part."""
    await sender.patch(0, 10 * MIB)
    assert await sender.patch(8 * MIB, 18 * MIB) == (NO_CONTENT, 18 * MIB)
    assert await sender.request_offset() == 18 * MIB
    assert await sender.patch(18 * MIB, LENGTH) == (NO_CONTENT, LENGTH)
    right = hashlib.sha256(sender.content).hexdigest()
    assert await production.sha256(sender.token) not in {None, right}
