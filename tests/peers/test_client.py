"""Our tus engine against the servers that others wrote: exact bytes, whatever the cable does."""

import uuid
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from livepeer_async import RetryPolicy, Timeouts, errors
from livepeer_async.tus import ServerLimits, TusClient
from support.proxy import CuttingProxy, run_proxy
from support.sandbox import cancel_when, make_bytes

pytestmark = [pytest.mark.peers, pytest.mark.anyio]
MIB = 1024 * 1024
QUICK = RetryPolicy(attempts=8, first_delay=0.02, max_delay=0.2)
SMALL = ServerLimits(first_chunk=256 * 1024, max_chunk=MIB)
LENGTHS = [1, 65_536, MIB - 1, MIB, MIB + 1, 5 * MIB + 777]


def port_of(peer):
    return urlsplit(peer.base_url).port


async def pieces_of(data, size=100_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("length", LENGTHS)
async def test_an_upload_is_exact(peer, length):
    token, data = uuid.uuid4().hex, make_bytes(length)
    async with TusClient(retry=QUICK) as tus:
        url = await tus.upload(data, peer.creation_url(token), metadata={"filename": "🎬.mp4"})
    assert url == f"{peer.base_url}/{token}"
    assert peer.stored(token) == data


@pytest.mark.parametrize("length", LENGTHS)
async def test_chunks_add_up(peer, length):
    token, data = uuid.uuid4().hex, make_bytes(length)
    async with TusClient(retry=QUICK, limits=SMALL) as tus:
        await tus.upload(data, peer.creation_url(token))
    assert peer.stored(token) == data


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("cut", [500, 100_000, 3 * MIB + 17])
async def test_a_cable_that_is_pulled_costs_no_byte(peer, cut, reset):
    token, data = uuid.uuid4().hex, make_bytes(5 * MIB + 777)
    limits = ServerLimits(first_chunk=4 * MIB)
    cuts = [cut, cut // 2 + 300, None, 200_000]
    async with run_proxy(CuttingProxy(port_of(peer), cuts, reset=reset)) as proxy:
        endpoint = peer.creation_url(token).replace(str(port_of(peer)), str(proxy.port))
        async with TusClient(
            retry=QUICK, timeouts=Timeouts(stall=5, chunk_response=5), limits=limits
        ) as tus:
            await tus.upload(data, endpoint)
        assert proxy.connections >= 3
    assert peer.stored(token) == data


async def test_an_upload_goes_on_where_another_process_left_it(peer):
    token, data = uuid.uuid4().hex, make_bytes(5 * MIB)
    async with TusClient(retry=QUICK, limits=SMALL) as tus:
        with pytest.raises(errors.SourceNotReadable) as caught:
            stream = broken_after(data, 2 * MIB)
            await tus.upload(stream, peer.creation_url(token), length=len(data))
        assert "the tape tore" in str(caught.value)
    held = len(peer.stored(token))
    assert 0 < held < len(data)
    sent = []
    async with TusClient(retry=QUICK, limits=SMALL) as tus:
        await tus.upload(data, upload_url=f"{peer.base_url}/{token}", on_sent=sent.append)
    assert sent[0] >= held
    assert peer.stored(token) == data


async def broken_after(data, stop):
    yield data[:stop]
    raise RuntimeError("the tape tore")


@pytest.mark.parametrize("length", [1, MIB, 3 * MIB + 5])
async def test_a_length_may_be_named_at_the_end(peer, length):
    token, data = uuid.uuid4().hex, make_bytes(length)
    async with TusClient(retry=QUICK, limits=SMALL) as tus:
        features = await tus.discover(peer.creation_url(token))
        assert "creation-defer-length" in features.extensions
        await tus.upload(pieces_of(data), peer.creation_url(token), defer_length=True)
    assert peer.stored(token) == data


async def test_a_deferred_upload_is_proven_by_head(peer):
    token, methods = uuid.uuid4().hex, []

    async def note(request):
        methods.append(request.method)

    async with (
        httpx.AsyncClient(trust_env=False, event_hooks={"request": [note]}) as http,
        TusClient(retry=QUICK, http_client=http) as tus,
    ):
        await tus.upload(pieces_of(b"x"), peer.creation_url(token), defer_length=True)
    assert methods == ["OPTIONS", "POST", "PATCH", "HEAD"]


async def test_a_cancelled_upload_goes_on_from_the_told_url(peer):
    token, data, told = uuid.uuid4().hex, make_bytes(2 * MIB), []
    async with TusClient(retry=QUICK, limits=SMALL) as tus:

        async def upload():
            stream = halting_after(data, MIB)
            creation_url = peer.creation_url(token)
            await tus.upload(stream, creation_url, length=len(data), on_created=told.append)

        await cancel_when(lambda: told and len(peer.stored(token)) >= MIB // 2, upload)
        await tus.upload(data, upload_url=told[0])
    assert peer.stored(token) == data


async def halting_after(data, stop):
    yield data[:stop]
    await anyio.sleep_forever()


async def test_headers_that_mislead_change_no_upload(peer):
    token, data = uuid.uuid4().hex, make_bytes(MIB + 1)
    headers = {"tus-resumable": "0.2", "content-type": "text/plain", "upload-length": "7"}
    headers |= {"transfer-encoding": "chunked", "content-length": "3", "host": "other.example"}
    async with TusClient(retry=QUICK, limits=SMALL, headers=headers) as tus:
        url = await tus.upload(data, peer.creation_url(token))
        assert peer.stored(token) == data
        await tus.terminate(url)


async def test_a_terminated_upload_is_gone(peer):
    token, data = uuid.uuid4().hex, make_bytes(1000)
    async with TusClient(retry=QUICK) as tus:
        url = await tus.upload(data, peer.creation_url(token))
        await tus.terminate(url)
        await tus.terminate(url)
        with pytest.raises(errors.UploadGone):
            await tus.upload(data, upload_url=url)


async def test_what_the_server_refuses_is_said(peer):
    async with TusClient(retry=QUICK, limits=SMALL) as tus:
        with pytest.raises(errors.UploadRefused, match="401"):
            await tus.upload(b"x", peer.base_url)
        with pytest.raises(errors.UploadGone, match="404"):
            await tus.upload(b"x", upload_url=f"{peer.base_url}/unknown")


async def test_many_uploads_at_once_are_all_exact(peer):
    tokens = {uuid.uuid4().hex: make_bytes(MIB + number, seed=number) for number in range(16)}
    async with TusClient(retry=QUICK, limits=SMALL) as tus, anyio.create_task_group() as tasks:
        for token, data in tokens.items():
            tasks.start_soon(tus.upload, data, peer.creation_url(token))
    assert all(peer.stored(token) == data for token, data in tokens.items())
