"""The table of bad input: what is handed in, or what comes back, and the one error that it ends in.

Each row also checks that nothing is left half-open: no socket, no task, and no asset on the server
that could not be resumed. What the command line makes of them stands in tests/cli.
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
from studio import PART, QUICK, content, is_stored, studio

pytestmark = pytest.mark.anyio
# For answers that never come, or never end.
FAST = {
    "timeout": Timeouts(connect=30, stall=1.5, answer=1.5, chunk_response=1.5),
    "retry": replace(QUICK, attempts=1, restarts=0),
}
SILENCE = Stall(1000)
VIDEO = content(5 * PART)


def open_sockets():
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
async def test_a_bad_source_asks_nothing_of_the_server(row, folder):
    name, kind, words = SOURCES[row]
    async with studio(client={"upload_limits": livepeer_limits}) as (sandbox, livepeer):
        with pytest.raises(kind, match=words) as caught:
            await livepeer.upload(folder / name)
        assert sandbox.requests == []
        assert caught.value.source


@pytest.mark.parametrize("change", ["shrinks", "grows", "is rewritten", "is deleted"])
async def test_a_file_that_changes_while_it_is_read_is_never_stored(change, folder):
    path = folder / "clip.mp4"

    def disturb(progress):
        if progress.sent < PART or not path.exists():
            return
        if change == "shrinks":
            os.truncate(path, 2 * PART)
        elif change == "grows":
            with path.open("ab") as file:
                file.write(b"more")
        elif change == "is rewritten":
            path.write_bytes(content(5 * PART, seed=8))
        else:
            path.unlink()

    async with studio() as (sandbox, livepeer):
        with pytest.raises(errors.SourceChanged, match=r"clip\.mp4"):
            await livepeer.upload(path, on_progress=disturb)
        assert [(asset.is_deleted, asset.size) for asset in sandbox.assets] == [(True, None)]


NAMES = {
    "quotes": "a \"quoted\" 'name'.mp4",
    "newlines": "two\r\nlines.mp4",
    "emoji": "🎬 日本語 émoji.mp4",
    "5,000 characters": "x" * 5000,
    "5,000 emoji": "🎬" * 5000,
    "commas and spaces": "a, b ,c.mp4",
    "a dot": ".",
}


@pytest.mark.parametrize("row", NAMES)
async def test_any_name_arrives_as_it_is(row):
    async with studio() as (sandbox, livepeer):
        asset = await livepeer.upload(content(100), NAMES[row])
        assert asset.name == NAMES[row]
        assert is_stored(sandbox, asset, content(100))


async def test_a_file_name_that_is_no_text_is_uploaded_all_the_same(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(content(100))
    async with studio() as (sandbox, livepeer):
        asset = await livepeer.upload(path)
        assert asset.name == "caf?.mp4"
        assert is_stored(sandbox, asset, content(100))


ACCOUNTS = {
    "no key": ("", None, errors.ConfigurationError, "LIVEPEER_API_KEY"),
    "a key of spaces": ("  ", None, errors.ConfigurationError, "LIVEPEER_API_KEY"),
    "a key with a line break": ("ab\ncd", None, errors.ConfigurationError, "line break"),
    "no scheme": ("key", "studio.example/api", errors.ConfigurationError, "https://"),
    "no host": ("key", "https://", errors.ConfigurationError, "host"),
    "another scheme": ("key", "ftp://studio.example", errors.ConfigurationError, "https://"),
}


@pytest.mark.parametrize("row", ACCOUNTS)
def test_an_account_that_cannot_work_is_refused_at_once(row, monkeypatch):
    key, url, kind, words = ACCOUNTS[row]
    monkeypatch.delenv("LIVEPEER_API_KEY", raising=False)
    with pytest.raises(kind, match=words) as caught:
        AsyncLivepeer(key, base_url=url)
    assert "cd" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


async def test_a_wrong_key_is_not_shown():
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

ANSWERS = {
    "HTML for a ticket": (TICKET, ChangeBody(HTML, "text/html"), errors.DecodeError, "html"),
    "half a JSON": (TICKET, ChangeBody(b'{"url":"x","as'), errors.DecodeError, "truncated"),
    "JSON of another shape": (TICKET, ChangeBody(b"[1]"), errors.DecodeError, "array"),
    "a ticket that never comes": (
        TICKET,
        SILENCE,
        errors.AmbiguousRequest,
        "nothing moved",
    ),
    "a ticket that is no HTTP": (TICKET, Garbage(), errors.AmbiguousRequest, "may have been"),
    "a redirect for a ticket": (TICKET, Redirect("http://x.example/"), errors.ApiError, "base URL"),
    "HTML for an asset": (POLL, ChangeBody(HTML, "text/html"), errors.DecodeError, "html"),
    "an asset that trickles": (POLL, Slow(20), errors.TimedOut, "nothing moved|trickles"),
    "an asset that never comes": (POLL, SILENCE, errors.TimedOut, "nothing moved"),
    "no Location": (CREATION, ChangeHeaders(remove=("location",)), errors.ProtocolError, "missing"),
    "Location elsewhere": (
        CREATION,
        ChangeHeaders(put={"location": "http://elsewhere.example/files/1"}),
        errors.ProtocolError,
        "another host",
    ),
    "a creation redirected": (
        CREATION,
        Redirect("http://x.example/"),
        errors.UploadRefused,
        "redirect",
    ),
    "a senseless offset of the creation": (
        CREATION,
        ChangeHeaders(put={"upload-offset": "1e3"}),
        errors.ProtocolError,
        "Upload-Offset is '1e3'",
    ),
    "a chunk redirected": (PATCH, Redirect("http://x.example/"), errors.UploadRefused, "redirect"),
    "a chunk answered with HTML": (PATCH, Answer(200, HTML), errors.RetriesExhausted, "missing"),
    "a chunk that is never answered": (
        PATCH,
        SILENCE,
        errors.RetriesExhausted,
        "nothing moved",
    ),
    "a chunk refused": (PATCH, Answer(400, b"no\n"), errors.UploadRefused, "400"),
    "a chunk always too large": (PATCH, Answer(413), errors.UploadRefused, "413"),
}


@pytest.mark.parametrize("row", ANSWERS)
async def test_a_bad_answer_ends_in_one_typed_error(row):
    on, action, kind, words = ANSWERS[row]
    sockets, tasks = open_sockets(), len(asyncio.all_tasks())
    client = FAST if isinstance(action, Slow | Stall) else {}
    async with studio(Fault(on, action), client=client) as (sandbox, livepeer):
        with pytest.raises(kind, match=words) as caught:
            await livepeer.upload(VIDEO)
        assert type(caught.value) is kind
        assert sandbox.violations == []
        left = [asset for asset in sandbox.assets if not asset.is_deleted]
        is_known = getattr(caught.value, "upload_url", None) or on in (TICKET, POLL)
        assert not left or is_known
    await asyncio.sleep(0)
    assert open_sockets() <= sockets
    assert len(asyncio.all_tasks()) == tasks


RECOVERED = {
    "a 204 without Upload-Offset": ChangeHeaders(remove=("upload-offset",)),
    "a 204 with a negative one": ChangeHeaders(put={"upload-offset": "-1"}),
    "a 204 with one beyond the length": ChangeHeaders(put={"upload-offset": "99999999"}),
    "a 204 with one of thirty digits": ChangeHeaders(put={"upload-offset": "9" * 30}),
}


@pytest.mark.parametrize("row", RECOVERED)
async def test_a_bad_offset_after_a_chunk_is_asked_for_again(row):
    async with studio(Fault(PATCH, RECOVERED[row])) as (sandbox, livepeer):
        asset = await livepeer.upload(VIDEO)
        assert is_stored(sandbox, asset, VIDEO)


@pytest.mark.parametrize("row", RECOVERED)
async def test_where_asking_again_does_not_help_it_is_a_typed_error(row):
    faults = [Fault(PATCH, RECOVERED[row]), Fault(On(method="HEAD"), RECOVERED[row])]
    async with studio(*faults) as (_, livepeer):
        with pytest.raises((errors.RetriesExhausted, errors.UploadGone), match="Upload-Offset"):
            await livepeer.upload(VIDEO)


async def test_a_server_that_is_not_there_is_named():
    async with AsyncLivepeer("key", base_url="http://127.0.0.1:9", retry=QUICK) as livepeer:
        with pytest.raises(errors.ConnectFailed, match=r"127\.0\.0\.1:9"):
            await livepeer.upload(VIDEO)
