"""The core on Studio's server where nothing strikes, with the rules for Livepeer and without."""

import msgspec
import pytest

from livepeer_async.http.messages import Response
from livepeer_async.tus import ServerLimits, State, TusUpload
from tus.machine import BUDGET, LIVEPEER, LONGEST, PART, content_of
from tus.servers import ENDPOINT, S3Store, body_of, serve


def carry(limits, length, *, throttle=BUDGET):
    """Upload over a network without faults; give the store, the core and the requests."""
    content, store, now, requests = content_of(length), S3Store(part=PART), 0.0, []
    core = TusUpload(endpoint=ENDPOINT, length=length, limits=limits)
    while not core.is_over and core.failures <= throttle:
        move = core.next_step()
        now += move.wait
        requests.append(move.request)
        answer = serve(store, move.request, body_of(move.request, content), now=now)
        assert isinstance(answer, Response)
        core.receive(answer)
    return store, core, requests


@pytest.mark.parametrize("length", range(1, LONGEST))
def test_upload_without_faults_is_right_on_studios_server(length):
    store, core, requests = carry(LIVEPEER, length)
    assert core.state is State.COMPLETE
    assert store.stored("") == content_of(length)
    assert len(requests) == 1 if length <= PART else "HEAD" not in {r.method for r in requests}


@pytest.mark.parametrize("chunk", [10, 12])
def test_chunks_above_a_part_store_wrong_bytes_where_the_rules_are_off(chunk):
    store, core, _ = carry(ServerLimits(first_chunk=chunk, max_chunk=chunk), 20)
    assert core.state is State.COMPLETE
    assert store.stored("") != content_of(20)


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_chunks_below_a_part_never_finish_where_the_rules_are_off(chunk):
    _, core, requests = carry(ServerLimits(first_chunk=chunk, max_chunk=chunk), 20, throttle=50)
    assert not core.is_over
    assert len(requests) > 100


def test_rest_inside_the_last_chunk_is_lost_where_it_has_no_chunk_of_its_own():
    limits = msgspec.structs.replace(LIVEPEER, tail_alone=False, first_chunk=4 * PART)
    store, core, _ = carry(limits, 3 * PART + 2)
    assert core.state is State.COMPLETE
    assert len(store.stored("")) == 3 * PART
