"""The core without faults, with Livepeer's limits and without them."""

import msgspec
import pytest

from livepeer_async.http.messages import Response
from livepeer_async.tus import ServerLimits, State, TusUpload
from tus.machine import LIVEPEER, MAX_FAILURES, MAX_LENGTH, PART, content_of
from tus.servers import ENDPOINT, S3Store, body_of, serve


def upload(limits, length, *, max_failures=MAX_FAILURES):
    """Upload without faults; return the store, the core and the requests."""
    content, store, now, requests = content_of(length), S3Store(part=PART), 0.0, []
    core = TusUpload(endpoint=ENDPOINT, length=length, limits=limits)
    while not core.is_over and core.failures <= max_failures:
        step = core.next_step()
        now += step.wait
        requests.append(step.request)
        response = serve(store, step.request, body_of(step.request, content), now=now)
        assert isinstance(response, Response)
        core.receive(response)
    return store, core, requests


@pytest.mark.parametrize("length", range(1, MAX_LENGTH))
def test_upload_without_faults_is_exact_on_s3(length):
    store, core, requests = upload(LIVEPEER, length)
    assert core.state is State.COMPLETE
    assert store.stored("") == content_of(length)
    assert len(requests) == 1 if length <= PART else "HEAD" not in {r.method for r in requests}


@pytest.mark.parametrize("chunk", [10, 12])
def test_unaligned_chunks_above_a_part_store_wrong_bytes(chunk):
    store, core, _ = upload(ServerLimits(first_chunk=chunk, max_chunk=chunk), 20)
    assert core.state is State.COMPLETE
    assert store.stored("") != content_of(20)


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_unaligned_chunks_below_a_part_never_finish(chunk):
    _, core, requests = upload(
        ServerLimits(first_chunk=chunk, max_chunk=chunk), 20, max_failures=50
    )
    assert not core.is_over
    assert len(requests) > 100


def test_rest_inside_the_last_chunk_is_lost():
    limits = msgspec.structs.replace(LIVEPEER, tail_alone=False, first_chunk=4 * PART)
    store, core, _ = upload(limits, 3 * PART + 2)
    assert core.state is State.COMPLETE
    assert len(store.stored("")) == 3 * PART
