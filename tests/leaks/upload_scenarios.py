"""Uploads and ingestions with secrets in all inputs, and in all responses of the server."""

import asyncio
import json
from contextlib import aclosing

import anyio
import pytest
from starlette.requests import Request

from leaks.context import (
    API_KEY,
    ECHO_ALL,
    ECHO_UPLOAD,
    JWT,
    PASSWORD,
    SECRET_ASSET,
    SIGNED_URL,
    UPLOAD_ID,
    VIDEO,
    WEBHOOK_DATA,
)
from leaks.scenario import scenario
from livepeer_async import AsyncLivepeer, NewAsset, PlaybackPolicy, RetryPolicy, UploadJob, errors
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.ingest import Row, RowEnded, RowState, ingest
from livepeer_async.ingest.cluster.messages import Batch, seal, to_worker, without_row
from livepeer_async.ingest.cluster.settings import describe_run
from livepeer_async.ingest.cluster.tracker import RowTracker
from livepeer_async.ingest.cluster.workers import lost
from livepeer_async.ingest.row_worker import RowOptions
from livepeer_async.integrations.starlette import form_file
from livepeer_async.sandbox import (
    Answer,
    ChangeBody,
    ChangeHeaders,
    CutConnection,
    FailProcessing,
    Garbage,
    LoseAnswer,
    Redirect,
    Stall,
    WrongSize,
)
from livepeer_async.sources.opening import open_source
from livepeer_async.sources.streams import StreamSource
from livepeer_async.tus import ServerLimits, TusUpload
from livepeer_async.uploads.options import UploadOptions
from support.clock import VirtualClock, until
from support.constants import UNREACHABLE_API
from support.descriptors import no_free_descriptors
from support.media import make_media

ENDLESS = 1000.0
NOT_HTTP = f"HTTP/1.1 abc {ECHO_ALL}\r\n\r\n"


async def video_blocks():
    yield VIDEO


@scenario(both_libraries=True)
async def upload_with_all_features(context):
    ticket = await context.livepeer.assets.request_upload(SECRET_ASSET)
    context.show(ticket, SECRET_ASSET, await context.livepeer.assets.get(ticket.asset.id))
    begun = context.livepeer.begin_upload(context.path, SECRET_ASSET, on_progress=context.show)
    async with begun as upload:
        async for progress in upload.progress():
            context.show(progress, upload, upload.tus)
    context.show(upload, upload.tus, upload.result, upload.asset)
    context.show(*await context.livepeer.journal.records(), *await context.livepeer.leftovers())
    context.show(await context.livepeer.playback.get(upload.asset.playback_id))
    async with aclosing(context.livepeer.tasks.list()) as tasks:
        context.show(*[task async for task in tasks])
    context.show(await context.livepeer.request("GET", f"/asset?token={JWT}"))


@scenario(errors.ConfigurationError)
async def begun_upload_with_an_unknown_field(context):
    async with context.livepeer.begin_upload(VIDEO, {"name": "a", "creatorID": WEBHOOK_DATA}):
        pass


@scenario(errors.ConfigurationError)
async def job_with_an_unknown_field(context):
    policy = {"type": "webhook", "contxt": WEBHOOK_DATA}
    job = UploadJob(VIDEO, NewAsset("a", playback_policy=policy))
    async with context.livepeer.upload_many([job]) as results:
        async for result in results:
            context.show(job, result)
            result.unwrap()


@scenario()
async def upload_with_retries(context):
    for nth, action in enumerate(
        [Answer(500, ECHO_UPLOAD.encode()), CutConnection(), Garbage()], 1
    ):
        context.fault(action, method="PATCH", nth=nth)
    context.fault(method="GET", path="/asset/", nth=1)
    policy = RetryPolicy(attempts=5, first_delay=0.01)
    async with context.client(retry=policy) as livepeer:
        await livepeer.upload(context.path, on_progress=context.show)


@scenario()
async def resume_from_journal(context):
    context.fault(Stall(0.3), method="PATCH", nth=2)
    async with context.livepeer.begin_upload(context.path) as upload:
        await until(lambda: upload.upload_url)
        context.show(upload, upload.tus, *await context.livepeer.journal.records())
    await context.livepeer.upload(context.path)


@scenario()
async def upload_many_with_failures(context):
    context.fault(FailProcessing(f"can't open {SIGNED_URL} with token={JWT}"), asset="bad")
    jobs = [
        UploadJob(VIDEO, SECRET_ASSET),
        UploadJob(VIDEO, "bad"),
        UploadJob("missing.mp4", "none"),
    ]
    async with context.livepeer.upload_many(jobs) as results:
        async for result in results:
            context.show(result)
            if result.error:
                context.detector.add_error(result.error)


@scenario(errors.SourceNotReadable)
async def ingest_signed_urls(context):
    rows = context.path.parent / "rows.jsonl"
    rows.write_text(json.dumps({"url": SIGNED_URL}))
    # Fetched by the server, then relayed; both fail.
    for relay in (False, True):
        async with ingest(context.livepeer, rows, relay=relay, reprocess=0) as running:
            events = [event async for event in running]
        context.show(running, *events)
        context.show(*await context.livepeer.journal.records(), *await context.livepeer.leftovers())
    context.show(await context.livepeer.uploads.relay(SIGNED_URL, "relayed", UploadOptions()))


@scenario(errors.UploadInUse)
async def relayed_url_in_use(context):
    async with context.livepeer.journal.acquire(SIGNED_URL):
        await context.livepeer.upload(context.path, key=SIGNED_URL)


@scenario(errors.KeyTaken)
async def key_of_public_asset(context):
    await context.livepeer.upload(context.path, key=SIGNED_URL)
    await context.livepeer.upload(context.path, SECRET_ASSET, key=SIGNED_URL)


@scenario(errors.NotAuthenticated)
async def upload_with_wrong_api_key(context):
    async with context.client(api_key=f"{API_KEY}-of-old") as livepeer:
        await livepeer.upload(context.path)


@scenario(errors.BadRequest)
async def unknown_webhook(context):
    policy = PlaybackPolicy(
        type="webhook", webhook_id="none", webhook_context={"pass": WEBHOOK_DATA}
    )
    await context.livepeer.upload(context.path, NewAsset("x", playback_policy=policy))


@scenario(errors.UploadRefused, both_libraries=True)
async def redirect_to_signed_url(context):
    context.fault(Redirect(SIGNED_URL, status=302), method="PATCH")
    await context.livepeer.upload(context.path)


@scenario(errors.AmbiguousRequest, both_libraries=True)
async def invalid_response_to_upload(context):
    async with context.client() as livepeer:
        context.fault(Garbage(NOT_HTTP.encode()), path="request-upload")
        await livepeer.upload(context.path)


@scenario(errors.AmbiguousRequest)
async def lost_responses(context):
    context.fault(LoseAnswer(), path="request-upload")
    await context.livepeer.upload(context.path)


@scenario(errors.DecodeError)
async def ticket_without_asset(context):
    body = (
        f'{{"url": "{SIGNED_URL}", "tusEndpoint": "{SIGNED_URL}&token={JWT}", "key": "{API_KEY}"}}'
    )
    context.fault(ChangeBody(body.encode()), path="request-upload")
    await context.livepeer.upload(context.path)


@scenario(errors.UploadRefused)
async def chunk_refused(context):
    context.fault(Answer(403, ECHO_UPLOAD.encode()), method="PATCH")
    await context.livepeer.upload(context.path, SECRET_ASSET)


@scenario(errors.UploadGone)
async def upload_lost(context):
    context.fault(Answer(404, ECHO_UPLOAD.encode()), method="PATCH")
    await context.livepeer.upload(context.path)


@scenario(errors.RetriesExhausted)
async def retries_exhausted(context):
    context.fault(method="PATCH")
    await context.livepeer.upload(context.path)


@scenario(errors.ProtocolError)
async def creation_without_location(context):
    context.fault(ChangeHeaders(remove=("location",)), method="POST", path="/upload/tus")
    await context.livepeer.upload(context.path)


@scenario(errors.IllegalMove)
async def illegal_move(context):
    upload = TusUpload(length=1, upload_url=f"{UNREACHABLE_API}/{UPLOAD_ID}", limits=ServerLimits())
    context.show(upload, upload.next_step())
    upload.next_step()


@scenario(errors.IntegrityError)
async def wrong_size(context):
    context.fault(WrongSize())
    await context.livepeer.upload(context.path)


@scenario(errors.JournalError)
async def invalid_journal(context):
    async with AsyncLivepeer(API_KEY, base_url=UNREACHABLE_API, journal=context.path):
        pass


DATABASE = f"postgresql://uploader:{PASSWORD}@127.0.0.1:9/videos?sslpassword={PASSWORD}"


@scenario(errors.JournalUnavailable)
async def unavailable_journal(context):
    async with AsyncLivepeer(API_KEY, base_url=UNREACHABLE_API, journal=DATABASE):
        pass


@scenario(errors.ClusterError)
async def rows_for_a_cluster(context):
    livepeer = AsyncLivepeer(API_KEY, base_url=UNREACHABLE_API, journal=DATABASE)
    run = describe_run(livepeer, RowOptions(relay=True, upload=UploadOptions()), 1.0)
    row = Row(source=SIGNED_URL, is_url=True, key=SIGNED_URL, new_asset=SECRET_ASSET)
    batch = Batch(key="batch", run=run, rows=[to_worker(row, 1, SIGNED_URL)])
    context.show(livepeer, run, batch, seal(batch))
    context.show(without_row(RowEnded(row=row, state=RowState.READY)))
    tracker = RowTracker(run.id, None, None)
    context.show(tracker, tracker.add(row))
    raise lost("tcp://127.0.0.1:9")


@scenario(errors.UploadInUse)
async def upload_in_use(context):
    context.fault(Stall(ENDLESS), method="PATCH")
    async with context.livepeer.begin_upload(context.path, key="one"):
        await context.livepeer.upload(context.path, key="one")


@scenario(errors.SourceNotReadable)
async def missing_source(context):
    await context.livepeer.upload(context.path.with_name("none.mp4"), SECRET_ASSET)


@scenario(errors.SourceEmpty)
async def empty_source(context):
    await context.livepeer.upload(b"", SECRET_ASSET)


@scenario(errors.SourceTooLarge)
async def large_source(context):
    async with context.client(upload_limits=ServerLimits(max_length=10)) as livepeer:
        await livepeer.upload(VIDEO, SECRET_ASSET)


@scenario(errors.SourceChanged)
async def changed_source(context):
    await context.livepeer.upload(context.path)
    context.path.write_bytes(VIDEO * 2)
    await context.livepeer.upload(context.path)


@scenario(errors.SourceNotReplayable)
async def stream_not_replayable(context):
    source = StreamSource(video_blocks(), length=len(VIDEO))
    context.show(source)
    await source.available(0, 10)
    source.release(10)
    await source.read_into(0, memoryview(bytearray(1)))


class DownloadError(Exception):
    """An error of a library that quotes the URL of its request."""

    def __init__(self):
        super().__init__("no response")

    def __str__(self):
        return f"no response from {SIGNED_URL} with token={JWT}"

    def __repr__(self):
        return f"DownloadError({self})"


async def record_source_error(context, source, **arguments):
    """Upload a source that fails, and record its error without the cause."""
    with pytest.raises(errors.SourceNotReadable) as caught:
        await context.livepeer.upload(source, **arguments)
    error = caught.value
    assert isinstance(error.__cause__, DownloadError)
    context.show(error)
    context.detector.add("error", f"{error} {error.args} {vars(error)}")


@scenario()
async def sources_that_fail(context):
    async def blocks():
        yield VIDEO[:1]
        raise DownloadError

    class File:
        def read(self, size=-1):
            raise DownloadError

    class Blocks:
        def __aiter__(self):
            raise DownloadError

    for arguments in ({"length": len(VIDEO)}, {}, {"length": len(VIDEO), "method": "direct"}):
        for source in (blocks(), File(), Blocks()):
            await record_source_error(context, source, **arguments)


@scenario(errors.SourceTimedOut)
async def stream_without_bytes(context):
    async def blocks():
        yield VIDEO[:1]
        await anyio.sleep_forever()

    arguments = {"key": SIGNED_URL, "length": 2, "source_timeout": 0.05}
    await context.livepeer.upload(blocks(), SECRET_ASSET, **arguments)


@scenario(errors.FormInvalid)
async def form_cut_short(context):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    head = 'Content-Disposition: form-data; name="file"; filename="x"'
    body = f"--a\r\n{head}\r\n\r\nvideo".encode()
    headers = [
        (b"content-type", b"multipart/form-data; boundary=a"),
        (b"content-length", str(len(body)).encode()),
        (b"authorization", f"Bearer {JWT}".encode()),
    ]
    request = Request({"type": "http", "headers": headers}, receive)
    async with form_file(request) as file:
        await context.livepeer.upload(file, SECRET_ASSET, length=file.length)


@scenario(ExceptionGroup)
async def failures_in_task_group(context):
    async with (
        context.client(api_key=f"{API_KEY}-of-old") as livepeer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(livepeer.upload, context.path)
        tasks.start_soon(livepeer.assets.get, "x")


@scenario(RuntimeError)
async def failing_callback(context):
    def fail(progress):
        raise RuntimeError(f"the user's own, at {progress}")

    await context.livepeer.upload(context.path, SECRET_ASSET, on_progress=fail)


@scenario(asyncio.CancelledError, both_libraries=True)
async def cancelled_upload(context):
    context.fault(Stall(ENDLESS), method="PATCH")
    uploading = asyncio.create_task(context.livepeer.upload(context.path, SECRET_ASSET))
    await until(lambda: any(it.method == "PATCH" for it in context.sandbox.requests))
    context.show(uploading)
    uploading.cancel()
    await uploading


@scenario(errors.UploadStopped)
async def stopped_upload(context):
    # `stop` finishes the current chunk, so more chunks must follow it.
    context.fault(Stall(3.0), method="PATCH")
    async with context.livepeer.begin_upload(context.path, SECRET_ASSET) as upload:
        await until(lambda: any(it.method == "PATCH" for it in context.sandbox.requests))
        context.show(upload)
        upload.stop()


@scenario(TimeoutError)
async def timeout_of_user(context):
    context.fault(Stall(ENDLESS), method="PATCH")
    with anyio.fail_after(0.2):
        await context.livepeer.upload(context.path, SECRET_ASSET)


@scenario(errors.TooManyOpenFiles)
async def no_free_descriptor(context):
    waiting = Descriptors(VirtualClock().as_clock())
    with no_free_descriptors():
        async with open_source(context.path, descriptors=waiting):
            pass


@scenario(errors.SourceUnsupported)
async def unsupported_file(context):
    context.path.write_bytes(make_media("mov", "mjpeg", "yuvj420p"))
    await context.livepeer.upload(context.path, probe=True)
