"""Sources that change during an upload: no upload of mixed content succeeds."""

import io
import os
from contextlib import contextmanager
from functools import partial

import anyio
import pytest
from starlette.datastructures import UploadFile

from livepeer_async import errors
from livepeer_async.http.messages import Span
from livepeer_async.sources import blocks
from livepeer_async.sources.blocks import read_ahead
from livepeer_async.sources.opening import open_source
from livepeer_async.tus import ServerLimits, TusClient
from support.sandbox import PART, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

CONTENT = make_bytes(5 * PART)


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path):
    os.truncate(path, path.stat().st_size - 1)


def touch(path):
    os.utime(path, ns=(0, 12345))


def replace(path):
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def delete(path):
    path.unlink()


def grow_memory(file):
    file.seek(0, os.SEEK_END)
    file.write(b"more")


def shrink_memory(file):
    file.truncate(len(file.getvalue()) - 1)


FILE_CHANGES = {f.__name__: f for f in (grow, shrink, touch, replace, delete)}
MEMORY_CHANGES = {"grow": grow_memory, "shrink": shrink_memory}
# The source and its change. An open file isn't affected by changes of its path.
CASES = [
    *(f"path-{change}" for change in FILE_CHANGES),
    *("file-grow", "file-shrink", "file-touch"),
    *(f"{kind}-{change}" for kind in ("memory", "form") for change in MEMORY_CHANGES),
]


@contextmanager
def changing(folder, case, length):
    """Yield the source of a case and a function that changes it."""
    kind, how = case.split("-")
    if kind in {"path", "file"}:
        path = folder / f"{case}.mp4"
        path.write_bytes(CONTENT[:length])
        with path.open("rb") as file:
            yield (path if kind == "path" else file), partial(FILE_CHANGES[how], path)
        return
    inner = io.BytesIO(CONTENT[:length])
    source = UploadFile(inner, filename="clip.mp4") if kind == "form" else inner
    yield source, partial(MEMORY_CHANGES[how], inner)


def once_sent(count, change):
    """Return a callback for the bytes sent that changes the source once."""
    waiting = [change]

    def on_sent(sent):
        if sent >= count and waiting:
            waiting.pop()()

    return on_sent


async def error_of(upload):
    """Await an upload; return the type of its error."""
    try:
        await upload
    except errors.LivepeerError as error:
        return type(error)
    return None


ALL_DETECTED = dict.fromkeys(CASES, errors.SourceChanged)


@pytest.mark.parametrize("length", [PART, len(CONTENT)])
async def test_change_after_the_last_byte_is_detected(tmp_path, length):
    found = {}

    async def run(livepeer, case):
        with changing(tmp_path, case, length) as (source, change):
            on_sent = once_sent(length, change)
            upload = livepeer.upload(source, on_progress=lambda progress: on_sent(progress.sent))
            found[case] = await error_of(upload)

    async with sandbox_and_client() as (sandbox, livepeer):
        async with anyio.create_task_group() as tasks:
            for case in CASES:
                tasks.start_soon(run, livepeer, case)
        assert found == ALL_DETECTED
        assert all(asset.is_deleted for asset in sandbox.assets)


async def test_tus_client_detects_a_change_after_the_last_byte(tmp_path):
    found = {}
    async with sandbox_and_client() as (_, livepeer), TusClient() as client:
        for case in CASES:
            with changing(tmp_path, case, len(CONTENT)) as (source, change):
                endpoint = (await livepeer.assets.request_upload("x")).tus_endpoint
                on_sent = once_sent(len(CONTENT), change)
                found[case] = await error_of(client.upload(source, endpoint, on_sent=on_sent))
    assert found == ALL_DETECTED


async def test_upload_of_a_changed_source_is_not_completed(tmp_path):
    found, received = {}, {}
    limits = ServerLimits(first_chunk=PART, max_chunk=PART)
    async with sandbox_and_client() as (sandbox, livepeer), TusClient(limits=limits) as client:
        for case in CASES:
            with changing(tmp_path, case, len(CONTENT)) as (source, change):
                ticket = await livepeer.assets.request_upload("x")
                on_sent = once_sent(PART, change)
                upload = client.upload(source, ticket.tus_endpoint, on_sent=on_sent)
                found[case] = await error_of(upload)
                requests = [r for r in sandbox.requests if ticket.asset.playback_id in r.path]
                received[case] = sum(r.received for r in requests)
    assert found == ALL_DETECTED
    assert max(received.values()) < len(CONTENT)
    # The change of a file is detected before the next chunk.
    assert {received[case] for case in CASES if case.startswith(("path", "file"))} == {PART}


@pytest.mark.parametrize("case", CASES)
async def test_last_block_is_not_read_from_a_changed_source(tmp_path, case, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", PART)
    with changing(tmp_path, case, len(CONTENT)) as (source, change):
        found = 0
        async with open_source(source) as opened:
            with pytest.raises(errors.SourceChanged):
                async with read_ahead(opened, Span(0, len(CONTENT))) as pieces:
                    async for piece in pieces:
                        if not found:
                            change()
                        found += len(piece)
        assert 0 < found < len(CONTENT)
