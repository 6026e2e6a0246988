"""Direct uploads, whose ticket URL is a bearer secret, with secrets in all responses."""

import asyncio

import anyio

from leaks.context import ECHO_UPLOAD, SECRET_ASSET, SIGNED_URL, VIDEO
from leaks.scenario import scenario
from livepeer_async import RetryPolicy, errors
from livepeer_async.sandbox import (
    Answer,
    ChangeBody,
    CutAnswer,
    CutConnection,
    Garbage,
    LoseAnswer,
    Redirect,
    Stall,
)
from support.clock import until

ENDLESS = 1000.0
LARGE = VIDEO * 50


async def video_blocks():
    yield VIDEO


@scenario(both_libraries=True)
async def direct_upload_with_retries(context):
    actions = [
        Answer(500, ECHO_UPLOAD.encode()),
        CutConnection(after_bytes=100),
        Garbage(f"HTTP/1.1 abc {ECHO_UPLOAD}\r\n\r\n".encode()),
        Answer(409, ECHO_UPLOAD.encode()),
    ]
    for nth, action in enumerate(actions, 1):
        context.fault(action, method="PUT", nth=nth)
    policy = RetryPolicy(attempts=5, first_delay=0.01)
    async with context.client(retry=policy) as livepeer:
        begun = livepeer.begin_upload(
            LARGE, SECRET_ASSET, method="direct", on_progress=context.show
        )
        async with begun as upload:
            async for progress in upload.progress():
                context.show(progress, upload)
        context.show(upload, upload.result, upload.asset)


@scenario(errors.UploadRefused, both_libraries=True)
async def direct_upload_refused(context):
    context.fault(Answer(403, ECHO_UPLOAD.encode()), method="PUT")
    upload = await context.livepeer.start_upload(context.path, method="direct")
    context.show(upload, upload.latest)
    try:
        await upload.wait()
    finally:
        context.show(upload, upload.latest, upload.error)
        context.show(*await context.livepeer.journal.records(), *await context.livepeer.leftovers())


@scenario(errors.UploadRefused, both_libraries=True)
async def direct_upload_redirected(context):
    context.fault(Redirect(SIGNED_URL, status=307), method="PUT")
    await context.livepeer.upload(context.path, method="direct")


@scenario(errors.RetriesExhausted, both_libraries=True)
async def direct_upload_cut(context):
    context.fault(CutConnection(after_bytes=100_000), method="PUT")
    await context.livepeer.upload(LARGE, "x", method="direct")


@scenario(errors.RetriesExhausted, both_libraries=True)
async def direct_upload_with_endless_response(context):
    context.fault(Answer(500, ECHO_UPLOAD.encode() * 1000), method="PUT")
    await context.livepeer.upload(context.path, method="direct")


@scenario()
async def direct_upload_with_lost_response(context):
    context.fault(LoseAnswer(), method="PUT", nth=1)
    await context.livepeer.upload(context.path, method="direct")


@scenario()
async def direct_upload_with_cut_response(context):
    context.fault(CutAnswer(), method="PUT", nth=1)
    await context.livepeer.upload(context.path, method="direct")


@scenario(errors.UploadGone)
async def direct_upload_gone(context):
    context.fault(Answer(404, ECHO_UPLOAD.encode()), method="PUT")
    await context.livepeer.upload(context.path, method="direct")


@scenario(errors.SourceNotReplayable)
async def direct_upload_of_a_stream_cut(context):
    context.fault(CutConnection(after_bytes=100), method="PUT")
    await context.livepeer.upload(video_blocks(), "x", length=len(VIDEO), method="direct")


@scenario(errors.SourceTooLarge)
async def direct_upload_too_large(context):
    context.livepeer.throttle.max_rate = 100_000
    await context.livepeer.upload(LARGE * 4, "x", method="direct")


@scenario(errors.DecodeError)
async def direct_upload_without_url(context):
    body = f'{{"url": 5, "tusEndpoint": "{SIGNED_URL}", "asset": {{"id": "x"}}}}'
    context.fault(ChangeBody(body.encode()), path="request-upload")
    await context.livepeer.upload(context.path, method="direct")


@scenario(asyncio.CancelledError, both_libraries=True)
async def direct_upload_cancelled(context):
    context.fault(Stall(ENDLESS, after_bytes=100), method="PUT")
    task = asyncio.create_task(context.livepeer.upload(LARGE, "x", method="direct"))
    await until(lambda: any(it.method == "PUT" for it in context.sandbox.requests))
    task.cancel()
    await task


@scenario(TimeoutError)
async def direct_upload_with_a_deadline(context):
    context.fault(Stall(ENDLESS, after_bytes=100), method="PUT")
    with anyio.fail_after(0.3):
        await context.livepeer.upload(LARGE, "x", method="direct")
