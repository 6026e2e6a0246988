"""The tus engine against servers of other projects: exact bytes despite broken connections."""

import uuid
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from livepeer_async import RetryPolicy, Timeouts, errors
from livepeer_async.tus import ServerLimits, TusClient
from support.constants import KIB, MIB
from support.proxy import CuttingProxy, run_proxy
from support.sandbox import cancel_when, make_bytes
from support.streams import split, stream

pytestmark = [pytest.mark.peers, pytest.mark.anyio]
RETRY = RetryPolicy(attempts=8, first_delay=0.02, max_delay=0.2)
SMALL = ServerLimits(first_chunk=256 * KIB, max_chunk=MIB)
LENGTHS = [1, 65_536, MIB - 1, MIB, MIB + 1, 5 * MIB + 777]


def port_of(peer):
    return urlsplit(peer.base_url).port


@pytest.mark.parametrize("length", LENGTHS)
async def test_upload_is_exact(peer, length):
    token, data = uuid.uuid4().hex, make_bytes(length)
    async with TusClient(retry=RETRY) as tus:
        url = await tus.upload(data, peer.creation_url(token), metadata={"filename": "🎬.mp4"})
    assert url == f"{peer.base_url}/{token}"
    assert peer.stored(token) == data


@pytest.mark.parametrize("length", LENGTHS)
async def test_upload_in_chunks_is_exact(peer, length):
    token, data = uuid.uuid4().hex, make_bytes(length)
    async with TusClient(retry=RETRY, limits=SMALL) as tus:
        await tus.upload(data, peer.creation_url(token))
    assert peer.stored(token) == data


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("cut", [500, 100_000, 3 * MIB + 17])
async def test_upload_over_cut_connections_is_exact(peer, cut, reset):
    token, data = uuid.uuid4().hex, make_bytes(5 * MIB + 777)
    limits = ServerLimits(first_chunk=4 * MIB)
    cuts = [cut, cut // 2 + 300, None, 200_000]
    async with run_proxy(CuttingProxy(port_of(peer), cuts, reset=reset)) as proxy:
        endpoint = peer.creation_url(token).replace(str(port_of(peer)), str(proxy.port))
        async with TusClient(
            retry=RETRY, timeouts=Timeouts(stall=5, chunk_response=5), limits=limits
        ) as tus:
            await tus.upload(data, endpoint)
        assert proxy.connections >= 3
    assert peer.stored(token) == data


async def test_upload_resumes_from_the_stored_offset(peer):
    token, data = uuid.uuid4().hex, make_bytes(5 * MIB)
    async with TusClient(retry=RETRY, limits=SMALL) as tus:
        with pytest.raises(errors.SourceNotReadable) as caught:
            stream = fail_after(data, 2 * MIB)
            await tus.upload(stream, peer.creation_url(token), length=len(data))
        assert "disk error" in str(caught.value)
    held = len(peer.stored(token))
    assert 0 < held < len(data)
    sent = []
    async with TusClient(retry=RETRY, limits=SMALL) as tus:
        await tus.upload(data, upload_url=f"{peer.base_url}/{token}", on_sent=sent.append)
    assert sent[0] >= held
    assert peer.stored(token) == data


async def fail_after(data, stop):
    yield data[:stop]
    raise RuntimeError("disk error")


@pytest.mark.parametrize("length", [1, MIB, 3 * MIB + 5])
async def test_deferred_length_is_declared_at_the_end(peer, length):
    token, data = uuid.uuid4().hex, make_bytes(length)
    async with TusClient(retry=RETRY, limits=SMALL) as tus:
        features = await tus.discover(peer.creation_url(token))
        assert "creation-defer-length" in features.extensions
        await tus.upload(split(data, 100_000), peer.creation_url(token), defer_length=True)
    assert peer.stored(token) == data


async def test_deferred_upload_is_confirmed_by_head(peer):
    token, methods = uuid.uuid4().hex, []

    async def record(request):
        methods.append(request.method)

    async with (
        httpx.AsyncClient(trust_env=False, event_hooks={"request": [record]}) as http,
        TusClient(retry=RETRY, http_client=http) as tus,
    ):
        await tus.upload(stream(b"x"), peer.creation_url(token), defer_length=True)
    assert methods == ["OPTIONS", "POST", "PATCH", "HEAD"]


async def test_cancelled_upload_resumes_from_its_url(peer):
    token, data, urls = uuid.uuid4().hex, make_bytes(2 * MIB), []
    async with TusClient(retry=RETRY, limits=SMALL) as tus:

        async def upload():
            stream = hang_after(data, MIB)
            creation_url = peer.creation_url(token)
            await tus.upload(stream, creation_url, length=len(data), on_created=urls.append)

        await cancel_when(lambda: urls and len(peer.stored(token)) >= MIB // 2, upload)
        await tus.upload(data, upload_url=urls[0])
    assert peer.stored(token) == data


async def hang_after(data, stop):
    yield data[:stop]
    await anyio.sleep_forever()


async def test_user_headers_cannot_change_the_protocol(peer):
    token, data = uuid.uuid4().hex, make_bytes(MIB + 1)
    headers = {"tus-resumable": "0.2", "content-type": "text/plain", "upload-length": "7"}
    headers |= {"transfer-encoding": "chunked", "content-length": "3", "host": "other.example"}
    async with TusClient(retry=RETRY, limits=SMALL, headers=headers) as tus:
        url = await tus.upload(data, peer.creation_url(token))
        assert peer.stored(token) == data
        await tus.terminate(url)


async def test_terminated_upload_is_gone(peer):
    token, data = uuid.uuid4().hex, make_bytes(1000)
    async with TusClient(retry=RETRY) as tus:
        url = await tus.upload(data, peer.creation_url(token))
        await tus.terminate(url)
        await tus.terminate(url)
        with pytest.raises(errors.UploadGone):
            await tus.upload(data, upload_url=url)


async def test_rejection_is_in_the_message(peer):
    async with TusClient(retry=RETRY, limits=SMALL) as tus:
        with pytest.raises(errors.UploadRefused, match="401"):
            await tus.upload(b"x", peer.base_url)
        with pytest.raises(errors.UploadGone, match="404"):
            await tus.upload(b"x", upload_url=f"{peer.base_url}/unknown")


async def test_concurrent_uploads_are_exact(peer):
    tokens = {uuid.uuid4().hex: make_bytes(MIB + number, seed=number) for number in range(16)}
    async with TusClient(retry=RETRY, limits=SMALL) as tus, anyio.create_task_group() as tasks:
        for token, data in tokens.items():
            tasks.start_soon(tus.upload, data, peer.creation_url(token))
    assert all(peer.stored(token) == data for token, data in tokens.items())
