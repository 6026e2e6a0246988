"""Creations whose response was lost, at their predicted URL."""

import hashlib
import uuid

import pytest

from livepeer_async.errors import UploadGone
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.sources.source import BytesSource
from livepeer_async.tus import Driver, State, TusUpload, livepeer_limits
from livepeer_async.tus.requests import predict_upload_urls
from support.proxy import FaultKind, RequestFault, RequestFaultProxy, run_proxy
from wiring.run import MIB, PART, Case

pytestmark = [pytest.mark.wiring, pytest.mark.anyio]


async def lose_creation(production, case, token, fault):
    """Lose the response to a creation; return the upload at its predicted URL."""
    limits, source = livepeer_limits(case.length), BytesSource(memoryview(case.content()), "x")
    async with (
        run_proxy(RequestFaultProxy(production.port, [fault], method="POST")) as proxy,
        Transport(timeouts=Timeouts()) as transport,
    ):
        endpoint = production.creation_url(token, port=proxy.port)
        upload = TusUpload(endpoint=endpoint, length=case.length, limits=limits)
        with pytest.raises(UploadGone):
            await Driver(upload, source, transport.send, retry=RetryPolicy()).run()
        url, _ = predict_upload_urls(production.creation_url(token), token)
        sent = case.length if case.length <= PART else 0
        found = TusUpload(upload_url=url, length=case.length, limits=limits, max_offset=sent)
        driver = Driver(found, source, transport.send, retry=RetryPolicy())
        await driver.find_offset()
        if not sent:
            await driver.run()
        return found


@pytest.mark.parametrize("length", [1000, PART, PART + MIB])
async def test_completed_creation_is_found_at_its_predicted_url(production, length):
    token = uuid.uuid4().hex
    case = Case(token, length, ())
    found = await lose_creation(production, case, token, RequestFault(FaultKind.RESPONSE_LOST, 1.0))
    assert found.state is State.COMPLETE
    assert await production.sha256(token) == hashlib.sha256(case.content()).hexdigest()
    await production.delete(token)


@pytest.mark.parametrize("kind", [FaultKind.RST, FaultKind.FIN, FaultKind.NO_CLIENT])
async def test_cut_creation_has_all_bytes_or_none(production, kind):
    token = uuid.uuid4().hex
    found = await lose_creation(production, Case(token, PART, ()), token, RequestFault(kind, 0.5))
    assert found.offset in {0, PART}
    await production.delete(token)
