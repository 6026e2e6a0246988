"""The driver against in-memory servers: requests, callbacks and cancellation."""

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from livepeer_async.errors import RetriesExhausted, UploadRefused
from livepeer_async.http.messages import Response
from livepeer_async.http.observers import observe_requests
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.tus import Driver, ServerLimits, State
from tus.network import CONTENT, LIMITS, LIVEPEER, RETRY, Network, run, source_of, upload_of
from tus.servers import ENDPOINT, Answer, Cut, LoseAnswer, NotConnected, PlainStore, S3Store, Short

pytestmark = pytest.mark.anyio


async def test_upload_is_stored_in_chunks():
    network = Network()
    upload = await run(network)
    assert upload.state is State.COMPLETE
    assert network.stored(upload) == CONTENT
    assert network.methods() == ["POST", *["PATCH"] * 5]
    assert set(network.sleeps) == {0.0}


async def test_driver_shrinks_too_large_chunks():
    network = Network(faults=[None, Answer(413), None, Answer(413)])
    upload = await run(network)
    assert network.stored(upload) == CONTENT
    sizes = [r.content.size for r in network.requests if r.method == "PATCH"]
    assert sizes[:2] == [8, 4]
    assert max(sizes[2:]) == 2


async def test_driver_repeats_a_too_large_creation_without_bytes():
    network = Network(faults=[Answer(413)])
    upload = await run(
        network, upload_of(CONTENT[:7], ServerLimits(with_creation=8)), source_of(CONTENT[:7])
    )
    assert network.stored(upload) == CONTENT[:7]
    assert network.methods() == ["POST", "POST", "PATCH"]


async def test_driver_can_send_post_for_patch():
    network = Network()
    upload = await run(network, upload_of(limits=replace(LIMITS, override_patch=True)))
    assert network.stored(upload) == CONTENT
    assert set(network.methods()) == {"POST"}


async def test_finalize_and_terminate_are_sent_once():
    network = Network()
    upload = upload_of()
    driver = network.driver(upload, source_of())
    await driver.run()
    await driver.finalize()
    assert network.requests[-1].headers["Upload-Offset"] == "40"
    network.faults = [Answer(500)]
    assert not await driver.terminate()
    assert await driver.terminate()
    assert upload.state is State.TERMINATED


FAULTS = st.sampled_from(
    [None, None, None, Cut(0), Cut(1), Cut(7), LoseAnswer(), NotConnected(), Short(3), Answer(500)]
)


@given(st.lists(FAULTS, max_size=30), st.integers(1, 60), st.integers(1, 12))
def test_reported_bytes_stay_within_and_end_at_the_length(faults, length, chunk):
    content = bytes(range(length))
    reported = []

    async def check():
        limits = ServerLimits(first_chunk=chunk, max_chunk=chunk)
        network = Network(faults=faults)
        retry = RetryPolicy(attempts=100)
        upload = upload_of(content, limits)
        await run(network, upload, source_of(content), on_sent=reported.append, retry=retry)
        assert network.stored(upload) == content

    anyio.run(check)
    assert max(reported) == reported[-1] == length
    assert min(reported) >= 0


async def test_bytes_in_flight_are_reported_apart_from_acknowledged_ones():
    sent, transfer, content = [], [], bytes(300_000)
    limits = ServerLimits(first_chunk=len(content))

    def on_transfer(acknowledged, in_flight):
        transfer.append((acknowledged, in_flight))

    reports = {"on_sent": sent.append, "on_transfer": on_transfer}
    await run(Network(), upload_of(content, limits), source_of(content), **reports)
    assert sent == [300_000]
    *unacknowledged, last = transfer
    assert {acknowledged for acknowledged, _ in unacknowledged} == {0}
    in_flight = [count for _, count in unacknowledged]
    assert in_flight == sorted(in_flight)
    assert len(in_flight) >= 3
    assert last == (300_000, 0)


async def test_acknowledged_bytes_do_not_fall_when_a_chunk_breaks():
    transfer, content = [], bytes(range(200))
    limits = ServerLimits(first_chunk=50, max_chunk=50)
    network = Network(faults=[None, None, Cut(20), None, LoseAnswer()])

    def on_transfer(acknowledged, in_flight):
        transfer.append((acknowledged, in_flight))

    await run(network, upload_of(content, limits), source_of(content), on_transfer=on_transfer)
    acknowledged = [it for it, _ in transfer]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == 200
    assert max(sum(it) for it in transfer) == 200


async def test_resumed_upload_reports_nothing_before_its_offset():
    network = Network(faults=[None, None, Cut(20)])
    upload, content = upload_of(bytes(range(200)), ServerLimits(first_chunk=50)), bytes(range(200))
    with pytest.raises(RetriesExhausted):
        await run(network, upload, source_of(content), retry=RetryPolicy(attempts=0))
    network.faults, transfer = [Answer(500), Answer(502)], []

    def on_transfer(acknowledged, in_flight):
        transfer.append((acknowledged, in_flight))

    resumed = upload_of(content, upload_url=upload.upload_url)
    await run(network, resumed, source_of(content), on_transfer=on_transfer)
    assert transfer[0] == (70, 0)


async def test_failures_are_reported_to_the_observers_of_the_task():
    events, network = [], Network(faults=[None, Answer(500)])
    with observe_requests(events.append):
        await run(network)
    retry, recovered = events
    assert (retry.attempt, retry.delay > 0) == (1, True)
    assert retry.reason.startswith("500 from PATCH")
    assert recovered is None


async def test_complete_upload_is_reported_as_sent():
    network, reported = Network(), []
    upload = await run(network)
    await run(network, upload_of(upload_url=upload.upload_url), on_sent=reported.append)
    assert reported == [len(CONTENT)]


async def cancelled_at(count, store, upload, faults):
    """Cancel at the await number `count`; return whether there was one, and the network."""
    network = Network(store, faults, cancel_at=count)
    with network.scope:
        await run(network, upload)
    return network.scope.cancelled_caught, network


@pytest.mark.parametrize("faults", [[], [None, Cut(3)]], ids=["smooth", "interrupted"])
async def test_upload_can_resume_after_cancellation_at_any_await(faults):
    for count in range(1, 200):
        store, upload = PlainStore(), upload_of()
        was_cancelled, network = await cancelled_at(count, store, upload, faults)
        if not was_cancelled:
            assert count > 20
            return
        assert upload.state in {State.UNCREATED, State.OFFSET_UNKNOWN}
        rest = Network(store)
        rest.now = network.now
        await run(rest, upload)
        assert rest.stored(upload) == CONTENT
    pytest.fail("the upload never ended")


async def test_cancellation_loses_only_a_creation_in_flight():
    states = []
    for count in range(1, 200):
        store, upload = S3Store(), upload_of(limits=LIVEPEER)
        was_cancelled, network = await cancelled_at(count, store, upload, [])
        if not was_cancelled:
            break
        states.append(upload.state)
        if upload.state is State.GONE:
            assert network.methods() == ["POST"]
            continue
        rest = Network(store)
        await run(rest, upload)
        assert rest.stored(upload) == CONTENT
    assert states[0] is State.UNCREATED
    assert states.count(State.GONE) == 2


async def test_callback_errors_propagate():
    def stop(_sent):
        raise KeyError("stop")

    network, upload = Network(), upload_of()
    with pytest.raises(KeyError, match="stop"):
        await run(network, upload, on_sent=stop)
    await run(network, upload)
    assert network.stored(upload) == CONTENT


async def test_send_may_respond_without_reading_the_body():
    async def refuse(request, *, blocks=None, largest=0):
        if request.method == "POST":
            return Response(status=201, headers={"location": f"{ENDPOINT}/1"})
        return Response(status=403)

    driver = Driver(upload_of(), source_of(), refuse, retry=RETRY)
    with pytest.raises(UploadRefused):
        await driver.run()
