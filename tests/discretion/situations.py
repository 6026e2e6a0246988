"""What can happen to a client, and the error in which it ends (`ends` says which).

Where a server can answer something, it answers with all the secrets that it could know.
"""

import asyncio
import json
from contextlib import aclosing

import anyio

from discretion.scene import (
    CONTEXT,
    JWT,
    KEY,
    PASSWORD,
    SECRETIVE,
    SIGNED_URL,
    TALK_OF_UPLOADS,
    TALKATIVE,
    UPLOAD_NAME,
    VIDEO,
)
from livepeer_async import AsyncLivepeer, NewAsset, PlaybackPolicy, RetryPolicy, UploadJob
from livepeer_async.ingest import ingest
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
from livepeer_async.sources.source import StreamSource
from livepeer_async.tus import ServerLimits, TusUpload
from studio import until

CLOSED_PORT = "http://127.0.0.1:9/api"
FOR_EVER = 1000.0
NO_HTTP = f"HTTP/1.1 abc {TALKATIVE}\r\n\r\n"
NO_CHUNK = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{TALKATIVE}\r\n"


async def pieces():
    yield VIDEO


async def upload_with_everything(scene):
    ticket = await scene.livepeer.assets.request_upload(SECRETIVE)
    scene.show(ticket, SECRETIVE, await scene.livepeer.assets.get(ticket.asset.id))
    begun = scene.livepeer.begin_upload(scene.path, SECRETIVE, on_progress=scene.show)
    async with begun as upload:
        async for progress in upload.progress():
            scene.show(progress, upload, upload.tus)
    scene.show(upload, upload.tus, upload.result, upload.asset)
    scene.show(*await scene.livepeer.journal.records(), *await scene.livepeer.leftovers())
    scene.show(await scene.livepeer.playback.get(upload.asset.playback_id))
    async with aclosing(scene.livepeer.tasks.list()) as tasks:
        scene.show(*[task async for task in tasks])
    scene.show(await scene.livepeer.request("GET", f"/asset?token={JWT}"))


async def setbacks_of_each_kind(scene):
    for nth, action in enumerate(
        [Answer(500, TALK_OF_UPLOADS.encode()), CutConnection(), Garbage()], 1
    ):
        scene.fault(action, method="PATCH", nth=nth)
    scene.fault(method="GET", path="/asset/", nth=1)
    policy = RetryPolicy(attempts=5, first_delay=0.01)
    async with scene.client(retry=policy) as livepeer:
        await livepeer.upload(scene.path, on_progress=scene.show)


async def stop_and_go_on_from_the_journal(scene):
    scene.fault(Stall(0.3), method="PATCH", nth=2)
    async with scene.livepeer.begin_upload(scene.path) as upload:
        await until(lambda: upload.upload_url)
        scene.show(upload, upload.tus, *await scene.livepeer.journal.records())
    await scene.livepeer.upload(scene.path)


async def upload_many_of_which_some_fail(scene):
    scene.fault(FailProcessing(f"can't open {SIGNED_URL} with token={JWT}"), asset="bad")
    jobs = [UploadJob(VIDEO, SECRETIVE), UploadJob(VIDEO, "bad"), UploadJob("missing.mp4", "none")]
    async with scene.livepeer.upload_many(jobs) as results:
        async for result in results:
            scene.show(result)
            if result.error:
                scene.evidence.add_error(result.error)


async def import_a_signed_url(scene):
    ticket = await scene.livepeer.assets.upload_from_url(SIGNED_URL, "talk")
    scene.show(ticket, ticket.asset)
    async with aclosing(scene.livepeer.tasks.list()) as tasks:
        scene.show(*[task async for task in tasks])
    await scene.livepeer.assets.wait(ticket.asset.id)


async def ingest_signed_urls(scene):
    rows = scene.path.parent / "rows.jsonl"
    rows.write_text(json.dumps({"url": SIGNED_URL}))
    # Once fetched by the server, then relayed; neither comes to anything.
    for relay in (False, True):
        async with ingest(scene.livepeer, rows, relay=relay, reprocess=0) as running:
            events = [event async for event in running]
        scene.show(running, *events)
        scene.show(*await scene.livepeer.journal.records(), *await scene.livepeer.leftovers())
    async with scene.livepeer.downloader.open(SIGNED_URL) as download:
        scene.show(download)


async def relay_in_use(scene):
    async with scene.livepeer.journal.acquire(SIGNED_URL):
        await scene.livepeer.upload(scene.path, key=SIGNED_URL)


async def key_of_a_public_asset(scene):
    await scene.livepeer.upload(scene.path, key=SIGNED_URL)
    await scene.livepeer.upload(scene.path, SECRETIVE, key=SIGNED_URL)


async def wrong_key(scene):
    async with scene.client(api_key=f"{KEY}-of-old") as livepeer:
        await livepeer.assets.get("x")


async def wrong_key_for_an_upload(scene):
    async with scene.client(api_key=f"{KEY}-of-old") as livepeer:
        await livepeer.upload(scene.path)


async def raw_answer_with_the_key(scene):
    async with scene.client(api_key=f"{KEY}-of-old") as livepeer:
        scene.show(await livepeer.request("POST", f"/asset?api_key={KEY}", json={"pass": CONTEXT}))


def call_that_is_answered(status, body=TALKATIVE):
    async def call(scene):
        scene.fault(Answer(status, body.encode()), path="/asset")
        await scene.livepeer.assets.get("x")

    call.__name__ = f"call_that_is_answered_{status}"
    return call


async def asset_that_is_not_there(scene):
    await scene.livepeer.assets.get("none")


async def unknown_webhook(scene):
    policy = PlaybackPolicy(type="webhook", webhook_id="none", webhook_context={"pass": CONTEXT})
    await scene.livepeer.upload(scene.path, NewAsset("x", playback_policy=policy))


async def redirect_with_a_token(scene):
    scene.fault(Redirect(f"/login?key={KEY}&token={JWT}&next={JWT}"), path="/asset")
    await scene.livepeer.assets.get("x")


async def redirect_to_a_signed_url(scene):
    scene.fault(Redirect(SIGNED_URL, status=302), method="PATCH")
    await scene.livepeer.upload(scene.path)


async def no_connection(scene):
    base_url = CLOSED_PORT.replace("//", f"//user:{PASSWORD}@")
    async with scene.client(base_url=base_url) as livepeer:
        await livepeer.assets.get("x")


async def no_proxy(scene):
    proxy = f"http://user:{PASSWORD}@127.0.0.1:9"
    async with scene.client(proxy=proxy) as livepeer:
        await livepeer.assets.get("x")


async def password_in_the_base_url(scene):
    base_url = scene.sandbox.base_url.replace("//", f"//user:{PASSWORD}@")
    async with scene.client(base_url=base_url) as livepeer:
        await livepeer.assets.get("x")


async def cut_connection(scene):
    scene.fault(CutConnection(), method="GET")
    await scene.livepeer.assets.get("x")


async def garbage(scene):
    scene.fault(Garbage(TALKATIVE.encode()), method="GET")
    await scene.livepeer.assets.get("x")


async def garbage_for_an_upload(scene):
    async with scene.client() as livepeer:
        scene.fault(Garbage(NO_HTTP.encode()), path="request-upload")
        await livepeer.upload(scene.path)


async def garbage_with_a_chunk(scene):
    scene.fault(Garbage(NO_CHUNK.encode()), method="GET")
    await scene.livepeer.assets.get("x")


async def silence(scene):
    scene.fault(Stall(FOR_EVER), method="GET")
    async with scene.client(timeout=0.1, retry=RetryPolicy(attempts=0)) as livepeer:
        await livepeer.assets.get("x")


async def lost_answers(scene):
    scene.fault(LoseAnswer(), path="request-upload")
    await scene.livepeer.upload(scene.path)


async def ticket_without_an_asset(scene):
    body = f'{{"url": "{SIGNED_URL}", "tusEndpoint": "{SIGNED_URL}&token={JWT}", "key": "{KEY}"}}'
    scene.fault(ChangeBody(body.encode()), path="request-upload")
    await scene.livepeer.upload(scene.path)


async def page_instead_of_an_answer(scene):
    scene.fault(ChangeBody(f"<p>{TALKATIVE}</p>".encode(), "text/html"), path="/asset")
    await scene.livepeer.assets.request_upload("x")


async def refused_chunk(scene):
    scene.fault(Answer(403, TALK_OF_UPLOADS.encode()), method="PATCH")
    await scene.livepeer.upload(scene.path, SECRETIVE)


async def lost_upload(scene):
    scene.fault(Answer(404, TALK_OF_UPLOADS.encode()), method="PATCH")
    await scene.livepeer.upload(scene.path)


async def one_setback_too_many(scene):
    scene.fault(method="PATCH")
    await scene.livepeer.upload(scene.path)


async def creation_without_a_location(scene):
    scene.fault(ChangeHeaders(remove=("location",)), method="POST", path="/upload/tus")
    await scene.livepeer.upload(scene.path)


async def illegal_move(scene):
    upload = TusUpload(length=1, upload_url=f"{CLOSED_PORT}/{UPLOAD_NAME}", limits=ServerLimits())
    scene.show(upload, upload.next_step())
    upload.next_step()


async def wrong_size(scene):
    scene.fault(WrongSize())
    await scene.livepeer.upload(scene.path)


async def asset_that_is_deleted(scene):
    ticket = await scene.livepeer.assets.request_upload(SECRETIVE)
    waiting = asyncio.create_task(scene.livepeer.assets.wait(ticket.asset.id))
    await until(lambda: scene.sandbox.requests[-1].method == "GET")
    await scene.livepeer.assets.delete(ticket.asset.id)
    await waiting


async def asset_that_never_ends(scene):
    ticket = await scene.livepeer.assets.request_upload(SECRETIVE)
    await scene.livepeer.assets.wait(ticket.asset.id, timeout=0.05)


async def no_journal(scene):
    async with AsyncLivepeer(KEY, base_url=CLOSED_PORT, journal=scene.path):
        pass


async def upload_in_use(scene):
    scene.fault(Stall(FOR_EVER), method="PATCH")
    async with scene.livepeer.begin_upload(scene.path, key="one"):
        await scene.livepeer.upload(scene.path, key="one")


async def missing_source(scene):
    await scene.livepeer.upload(scene.path.with_name("none.mp4"), SECRETIVE)


async def empty_source(scene):
    await scene.livepeer.upload(b"", SECRETIVE)


async def large_source(scene):
    async with scene.client(upload_limits=ServerLimits(max_length=10)) as livepeer:
        await livepeer.upload(VIDEO, SECRETIVE)


async def changed_source(scene):
    await scene.livepeer.upload(scene.path)
    scene.path.write_bytes(VIDEO * 2)
    await scene.livepeer.upload(scene.path)


async def stream_that_is_asked_for_old_bytes(scene):
    source = StreamSource(pieces(), length=len(VIDEO))
    scene.show(source)
    await source.available(0, 10)
    source.release(10)
    await source.read_into(0, memoryview(bytearray(1)))


async def client_that_is_closed(scene):
    async with AsyncLivepeer(KEY, base_url=scene.sandbox.base_url) as livepeer:
        await livepeer.aclose()
        await livepeer.assets.get("x")


async def several_in_a_task_group(scene):
    async with (
        scene.client(api_key=f"{KEY}-of-old") as livepeer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(livepeer.upload, scene.path)
        tasks.start_soon(livepeer.assets.get, "x")


async def callback_that_fails(scene):
    def fail(progress):
        raise RuntimeError(f"the user's own, at {progress}")

    await scene.livepeer.upload(scene.path, SECRETIVE, on_progress=fail)


async def cancelled(scene):
    scene.fault(Stall(FOR_EVER), method="PATCH")
    uploading = asyncio.create_task(scene.livepeer.upload(scene.path, SECRETIVE))
    await until(lambda: any(it.method == "PATCH" for it in scene.sandbox.requests))
    scene.show(uploading)
    uploading.cancel()
    await uploading


async def stopped(scene):
    # The chunk that runs is finished, so that there have to be more when it is stopped.
    scene.fault(Stall(3.0), method="PATCH")
    async with scene.livepeer.begin_upload(scene.path, SECRETIVE) as upload:
        await until(lambda: any(it.method == "PATCH" for it in scene.sandbox.requests))
        scene.show(upload)
        upload.stop()


async def time_limit_of_the_user(scene):
    scene.fault(Stall(FOR_EVER), method="PATCH")
    with anyio.fail_after(0.2):
        await scene.livepeer.upload(scene.path, SECRETIVE)


async def password_with_a_slash(scene):
    AsyncLivepeer(KEY, base_url=f"http://user:{PASSWORD}/x@127.0.0.1/api")


async def answer_that_is_no_text(scene):
    body = f'{{"tusEndpoint": "\xff?token={JWT}&{KEY}"}}'
    scene.fault(ChangeBody(body.encode("latin-1")), path="request-upload")
    await scene.livepeer.assets.request_upload("x")


async def violation_with_the_key(scene):
    entry = f'{{\\"instancePath\\":\\"/{KEY}\\",\\"keyword\\":\\"x\\",\\"message\\":\\"{JWT}\\"}}'
    scene.fault(Answer(422, f'{{"errors": ["{entry}"]}}'.encode()), path="/asset")
    await scene.livepeer.assets.get("x")
