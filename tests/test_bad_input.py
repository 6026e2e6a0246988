"""Invalid arguments and invalid responses: each ends in one typed error.

Each test also checks that no socket, no task and no asset that can't be resumed is left.
"""

import asyncio
import os

import pytest
from msgspec.structs import replace

from livepeer_async import AsyncLivepeer, Timeouts, errors
from livepeer_async.sandbox import (
    Answer,
    ChangeBody,
    ChangeHeaders,
    Fault,
    Garbage,
    On,
    Redirect,
    Sandbox,
    Slow,
    Stall,
)
from livepeer_async.tus import livepeer_limits
from support.constants import FAST_RETRY, UNREACHABLE_API
from support.sandbox import PART, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
# For responses that never arrive, or never end.
FAST = {
    "timeout": Timeouts(connect=30, stall=1.5, answer=1.5, chunk_response=1.5),
    "retry": replace(FAST_RETRY, attempts=1, restarts=0),
}
NO_RESPONSE = Stall(1000)
VIDEO = make_bytes(5 * PART)


def count_sockets():
    links = (os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    return sum(1 for link in _existing(links) if link.startswith("socket:"))


def _existing(links):
    while True:
        try:
            yield next(links)
        except StopIteration:
            return
        except FileNotFoundError:
            continue


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(30 * 1024**3 + 1)
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    return tmp_path


SOURCES = {
    "missing file": ("none.mp4", errors.SourceNotReadable, "No such file"),
    "directory": (".", errors.SourceNotReadable, "is a directory"),
    "empty file": ("empty.mp4", errors.SourceEmpty, "is empty"),
    "beyond 30 GiB": ("huge.mp4", errors.SourceTooLarge, "at most 32212254720"),
    "NUL in the path": ("a\0b.mp4", errors.SourceNotReadable, "null"),
    "path too long": ("x" * 5000, errors.SourceNotReadable, "too long"),
}


@pytest.mark.parametrize("row", SOURCES)
async def test_invalid_source_sends_no_request(row, folder):
    name, kind, message = SOURCES[row]
    async with sandbox_and_client(client={"upload_limits": livepeer_limits}) as (sandbox, livepeer):
        with pytest.raises(kind, match=message) as caught:
            await livepeer.upload(folder / name)
        assert sandbox.requests == []
        assert caught.value.source


@pytest.mark.parametrize("change", ["shrinks", "grows", "is rewritten", "is deleted"])
async def test_file_changed_while_read_is_not_stored(change, folder):
    path = folder / "clip.mp4"

    def change_file(progress):
        if progress.sent < PART or not path.exists():
            return
        if change == "shrinks":
            os.truncate(path, 2 * PART)
        elif change == "grows":
            with path.open("ab") as file:
                file.write(b"more")
        elif change == "is rewritten":
            path.write_bytes(make_bytes(5 * PART, seed=8))
        else:
            path.unlink()

    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(errors.SourceChanged, match=r"clip\.mp4"):
            await livepeer.upload(path, on_progress=change_file)
        assert [(asset.is_deleted, asset.size) for asset in sandbox.assets] == [(True, None)]


NAMES = {
    "quotes": "a \"quoted\" 'name'.mp4",
    "newlines": "two\r\nlines.mp4",
    "emoji": "🎬 日本語 émoji.mp4",
    "5,000 characters": "x" * 5000,
    "5,000 emoji": "🎬" * 5000,
    "commas and spaces": "a, b ,c.mp4",
    "dot": ".",
}


@pytest.mark.parametrize("row", NAMES)
async def test_name_is_stored_unchanged(row):
    async with sandbox_and_client() as (sandbox, livepeer):
        asset = await livepeer.upload(make_bytes(100), NAMES[row])
        assert asset.name == NAMES[row]
        assert is_stored(sandbox, asset, make_bytes(100))


async def test_file_name_that_is_not_utf8_is_uploaded(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(make_bytes(100))
    async with sandbox_and_client() as (sandbox, livepeer):
        asset = await livepeer.upload(path)
        assert asset.name == "caf?.mp4"
        assert is_stored(sandbox, asset, make_bytes(100))


ACCOUNTS = {
    "no key": ("", None, errors.ConfigurationError, "LIVEPEER_API_KEY"),
    "key of spaces": ("  ", None, errors.ConfigurationError, "LIVEPEER_API_KEY"),
    "key with a line break": ("ab\ncd", None, errors.ConfigurationError, "line break"),
    "no scheme": ("key", "studio.example/api", errors.ConfigurationError, "https://"),
    "no host": ("key", "https://", errors.ConfigurationError, "host"),
    "another scheme": ("key", "ftp://studio.example", errors.ConfigurationError, "https://"),
}


@pytest.mark.parametrize("row", ACCOUNTS)
def test_invalid_key_or_url_is_rejected_by_the_constructor(row, monkeypatch):
    key, url, kind, message = ACCOUNTS[row]
    monkeypatch.delenv("LIVEPEER_API_KEY", raising=False)
    with pytest.raises(kind, match=message) as caught:
        AsyncLivepeer(key, base_url=url)
    assert "cd" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


async def test_rejected_key_is_not_in_the_message():
    async with Sandbox() as sandbox:
        async with AsyncLivepeer("wrong-key-1", base_url=sandbox.base_url) as livepeer:
            with pytest.raises(errors.NotAuthenticated) as caught:
                await livepeer.upload(VIDEO)
        assert "wrong-key-1" not in str(caught.value)
        assert caught.value.request_id


HTML = b"<!doctype html><title>Sign in to the hotel's network</title>"
TICKET = On(path="request-upload")
CREATION = On(method="POST", path="/upload/tus")
PATCH = On(method="PATCH")
POLL = On(method="GET", path=r"/asset/[^/?]+$")

RESPONSES = {
    "HTML for a ticket": (TICKET, ChangeBody(HTML, "text/html"), errors.DecodeError, "html"),
    "half a JSON": (TICKET, ChangeBody(b'{"url":"x","as'), errors.DecodeError, "truncated"),
    "JSON of another shape": (TICKET, ChangeBody(b"[1]"), errors.DecodeError, "array"),
    "ticket that never arrives": (
        TICKET,
        NO_RESPONSE,
        errors.AmbiguousRequest,
        "no progress",
    ),
    "ticket that isn't HTTP": (TICKET, Garbage(), errors.AmbiguousRequest, "may have taken"),
    "redirect for a ticket": (TICKET, Redirect("http://x.example/"), errors.ApiError, "base URL"),
    "HTML for an asset": (POLL, ChangeBody(HTML, "text/html"), errors.DecodeError, "html"),
    "asset that trickles": (POLL, Slow(20), errors.TimedOut, "no progress|isn't complete"),
    "asset that never arrives": (POLL, NO_RESPONSE, errors.TimedOut, "no progress"),
    "no Location": (CREATION, ChangeHeaders(remove=("location",)), errors.ProtocolError, "missing"),
    "Location on another host": (
        CREATION,
        ChangeHeaders(put={"location": "http://other.example/files/1"}),
        errors.ProtocolError,
        "another host",
    ),
    "creation redirected": (
        CREATION,
        Redirect("http://x.example/"),
        errors.UploadRefused,
        "redirect",
    ),
    "invalid offset of the creation": (
        CREATION,
        ChangeHeaders(put={"upload-offset": "1e3"}),
        errors.ProtocolError,
        "Upload-Offset is '1e3'",
    ),
    "chunk redirected": (PATCH, Redirect("http://x.example/"), errors.UploadRefused, "redirect"),
    "HTML for a chunk": (PATCH, Answer(200, HTML), errors.RetriesExhausted, "missing"),
    "chunk without a response": (
        PATCH,
        NO_RESPONSE,
        errors.RetriesExhausted,
        "no progress",
    ),
    "chunk refused": (PATCH, Answer(400, b"no\n"), errors.UploadRefused, "400"),
    "chunk that is always too large": (PATCH, Answer(413), errors.UploadRefused, "413"),
}


@pytest.mark.parametrize("row", RESPONSES)
async def test_invalid_response_ends_in_one_typed_error(row):
    on, action, kind, message = RESPONSES[row]
    sockets, tasks = count_sockets(), len(asyncio.all_tasks())
    client = FAST if isinstance(action, Slow | Stall) else {}
    async with sandbox_and_client(Fault(on, action), client=client) as (sandbox, livepeer):
        with pytest.raises(kind, match=message) as caught:
            await livepeer.upload(VIDEO)
        assert type(caught.value) is kind
        assert sandbox.violations == []
        remaining = [asset for asset in sandbox.assets if not asset.is_deleted]
        is_known = getattr(caught.value, "upload_url", None) or on in (TICKET, POLL)
        assert not remaining or is_known
    await asyncio.sleep(0)
    assert count_sockets() <= sockets
    assert len(asyncio.all_tasks()) == tasks


RECOVERED = {
    "204 without Upload-Offset": ChangeHeaders(remove=("upload-offset",)),
    "204 with a negative offset": ChangeHeaders(put={"upload-offset": "-1"}),
    "204 with an offset beyond the length": ChangeHeaders(put={"upload-offset": "99999999"}),
    "204 with an offset of thirty digits": ChangeHeaders(put={"upload-offset": "9" * 30}),
}


@pytest.mark.parametrize("row", RECOVERED)
async def test_invalid_offset_after_a_chunk_is_requested_again(row):
    async with sandbox_and_client(Fault(PATCH, RECOVERED[row])) as (sandbox, livepeer):
        asset = await livepeer.upload(VIDEO)
        assert is_stored(sandbox, asset, VIDEO)


@pytest.mark.parametrize("row", RECOVERED)
async def test_invalid_offset_of_head_is_a_typed_error(row):
    faults = [Fault(PATCH, RECOVERED[row]), Fault(On(method="HEAD"), RECOVERED[row])]
    async with sandbox_and_client(*faults) as (_, livepeer):
        with pytest.raises((errors.RetriesExhausted, errors.UploadGone), match="Upload-Offset"):
            await livepeer.upload(VIDEO)


async def test_unreachable_server_is_in_the_message():
    async with AsyncLivepeer("key", base_url=UNREACHABLE_API, retry=FAST_RETRY) as livepeer:
        with pytest.raises(errors.ConnectFailed, match=r"127\.0\.0\.1:9"):
            await livepeer.upload(VIDEO)
