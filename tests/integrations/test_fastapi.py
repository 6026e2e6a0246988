"""FastAPI and Starlette: client, error responses and progress of an application."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sse_starlette import EventSourceResponse as StarletteEvents
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

from integrations.web import connect, serve_app
from livepeer_async import AsyncLivepeer, Upload, errors
from livepeer_async.integrations import starlette as for_starlette
from livepeer_async.integrations.fastapi import (
    STATUSES,
    LivepeerDep,
    add_error_handlers,
    get_livepeer,
    lifespan,
    progress_events,
    status_of,
)
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client
from support.web_client import TestClient

VIDEO = make_bytes(3 * PART)
SECRET = "eyJhbGciOiJIUzI1NiJ9.secret"
make_client = partial(AsyncLivepeer, "the-api-key")


def api_error(kind, status, **facts):
    facts = {"errors": ("no",), "method": "GET", "url": "https://livepeer.example/api/x", **facts}
    return kind(status=status, **facts)


def caused(error, cause):
    error.__cause__ = cause
    return error


def sqlite_error(name):
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    return error


SOURCE = {"source": "/srv/videos/talk.mp4"}
ASSET = {"asset_id": "1"}
JOURNAL = {"path": "/srv/uploads.journal"}
# An error, its status and, unless it is hidden, what the response says.
RESPONSES = [
    (errors.LivepeerError("x"), 500, None),
    (errors.ConfigurationError(f"token={SECRET}"), 500, None),
    (errors.ClientClosed("x"), 503, None),
    (errors.KeyTaken("x", advice="y", **ASSET), 409, "x"),
    (
        errors.SourceNotReadable("/srv/videos/talk.mp4 is locked", **SOURCE),
        400,
        "talk.mp4 is locked",
    ),
    (errors.SourceEmpty("talk.mp4 is empty", source="talk.mp4"), 400, "talk.mp4 is empty"),
    (errors.SourceTooLarge("x", length=2, limit=1, **SOURCE), 413, "x"),
    (errors.SourceTimedOut("x", received=0, **SOURCE), 408, "x"),
    (errors.FormInvalid("x"), 400, "x"),
    (errors.FormInvalid("x", status=413), 413, "x"),
    (
        errors.SourceUnsupported(rules=("a",), found="b", wanted="c", command="d", **SOURCE),
        415,
        "'talk.mp4' has b, which Livepeer refuses; wanted c",
    ),
    (errors.SourceChanged("x", **SOURCE), 400, "x"),
    (errors.SourceChanged("x", **SOURCE, **ASSET), 409, "x"),
    (errors.SourceNotReplayable("x", **SOURCE), 502, None),
    (caused(errors.SourceNotReadable("x", **SOURCE), ClientDisconnect()), 499, "x"),
    (api_error(errors.ApiError, 302), 502, None),
    (api_error(errors.BadRequest, 400), 400, "no"),
    (api_error(errors.NotAuthenticated, 401), 500, None),
    (api_error(errors.Forbidden, 403), 500, None),
    (api_error(errors.NotFound, 404), 404, "no"),
    (api_error(errors.NotFound, 404, errors=()), 404, "Not Found"),
    (api_error(errors.InvalidRequest, 422, errors=(f"token={SECRET}",)), 422, "token=***"),
    (api_error(errors.TooManyRequests, 429), 503, None),
    (api_error(errors.ServerError, 500), 502, None),
    (api_error(errors.ServerError, 503, retry_after=1.5), 503, None),
    (api_error(errors.ServerError, 504), 504, None),
    (errors.ConnectFailed("x"), 502, None),
    (errors.ConnectionBroken("x"), 502, None),
    (errors.TimedOut("x"), 504, None),
    (errors.AmbiguousRequest("x"), 502, None),
    (errors.DecodeError("x", path="$"), 502, None),
    (errors.IllegalMove("x"), 500, None),
    (errors.ProtocolError("x"), 502, None),
    (errors.UploadRefused("x", status=403), 502, None),
    (errors.UploadGone("x"), 502, None),
    (errors.UploadStopped("x"), 503, None),
    (errors.RetriesExhausted("x", attempts=3), 502, None),
    (errors.AssetFailed("x", error_message="y", is_retryable=True, **ASSET), 422, "x"),
    (errors.AssetDeleted("x", **ASSET), 410, "x"),
    (errors.AssetTimeout("x", **ASSET), 504, None),
    (errors.IntegrityError("x", wanted=1, found=2, **ASSET), 502, None),
    (errors.SignatureMissing("x"), 400, "x"),
    (errors.SignatureMismatch("x"), 400, "x"),
    (errors.EventTooOld("x", age=1.0), 400, "x"),
    (errors.AccessControlCall("x"), 400, "x"),
    (errors.TooManyOpenFiles("x"), 503, None),
    (errors.JournalError("x", **JOURNAL), 500, None),
    (caused(errors.JournalError("x", **JOURNAL), sqlite_error("SQLITE_FULL")), 503, None),
    (caused(errors.JournalError("x", **JOURNAL), sqlite_error("SQLITE_NOTADB")), 500, None),
    (errors.JournalUnavailable("x", **JOURNAL), 503, None),
    (errors.ClusterError("x"), 503, None),
    (errors.UploadInUse("x", key="k", **JOURNAL, **ASSET), 409, "x"),
]


def leaves(kind):
    children = kind.__subclasses__()
    return {it for child in children for it in leaves(child)} if children else {kind}


def failing_app(error):
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/")
    async def fail():
        raise error

    @app.websocket("/")
    async def fail_later(socket: WebSocket):
        await socket.accept()
        raise error

    @app.websocket("/refuse")
    async def refuse(socket: WebSocket):
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "detail"), RESPONSES, ids=lambda it: type(it).__name__ if it else ""
)
def test_error_has_its_status(error, status, detail, caplog):
    browser = TestClient(failing_app(error))
    response = browser.get("/")
    body = response.json()
    assert response.status_code == status == status_of(error)
    assert response.headers["content-type"] == "application/json"
    assert body.keys() == {"detail", "error", "can_resume", "asset_id"}
    assert (body["error"], body["asset_id"]) == (
        type(error).__name__,
        getattr(error, "asset_id", None),
    )
    assert body["detail"] == detail or (detail is None and body["detail"].endswith("."))
    assert SECRET not in response.text
    assert "/srv" not in response.text
    wanted = {"TooManyRequests": "10", "ServerError": "2"}.get(body["error"], "10")
    assert response.headers.get("retry-after") == (wanted if status == 503 else None)
    logged = [record for record in caplog.records if record.name == "livepeer_async"]
    assert [(it.event_name, it.status_code) for it in logged] == (
        [("response.failed", status)] if status >= 500 else []
    )


def test_table_has_each_error():
    listed = {type(error) for error, _, _ in RESPONSES}
    assert {
        it for it in leaves(errors.LivepeerError) if it.__module__.startswith("livepeer")
    } <= listed
    assert STATUSES.keys() <= {kind for it in listed for kind in it.__mro__}


def test_body_says_that_an_upload_can_resume():
    error = errors.UploadInUse("x", path="/p", key="k", asset_id="1")
    error.can_resume = True
    body = TestClient(failing_app(error)).get("/").json()
    assert body == {"detail": "x", "error": "UploadInUse", "can_resume": True, "asset_id": "1"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ClientClosed("x"), 1013),
        (errors.ConfigurationError("x"), 1011),
        (errors.SourceEmpty("x", source="x"), 1008),
    ],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("path", ["/", "/refuse"])
def test_websocket_is_closed_with_a_code(error, code, path):
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        TestClient(failing_app(error)).websocket_connect(path) as socket,
    ):
        socket.receive_text()
    assert (caught.value.code, caught.value.reason) == (code, type(error).__name__)


def pinging_app(**options):
    app = FastAPI(**options)
    add_error_handlers(app)

    @app.get("/")
    async def show(livepeer: LivepeerDep) -> str:
        return repr(livepeer)

    @app.websocket("/")
    async def show_in_socket(socket: WebSocket, livepeer: LivepeerDep):
        await socket.accept()
        await socket.send_text(repr(livepeer))
        await socket.close()

    return app


def read(browser, path="/"):
    with browser.websocket_connect(path) as socket:
        received = socket.receive_text()
    assert browser.get(path).json() == received
    return received


def test_lifespan_takes_the_settings_of_the_environment(monkeypatch):
    monkeypatch.setenv("LIVEPEER_API_KEY", "key-of-the-environment")
    monkeypatch.setenv("LIVEPEER_BASE_URL", "http://127.0.0.1:1/api")
    app = pinging_app(lifespan=lifespan)
    with TestClient(app) as browser:
        assert "http://127.0.0.1:1/api" in read(browser)
        livepeer = app.state.livepeer
    with pytest.raises(errors.ClientClosed):
        asyncio.run(use_closed(livepeer))
    assert not hasattr(app.state, "livepeer")


async def use_closed(livepeer):
    async with livepeer:
        pass
    await livepeer.ping()


@pytest.mark.parametrize("yields_state", [True, False])
def test_lifespan_is_part_of_another(yields_state):
    closed = []

    @asynccontextmanager
    async def own(app):
        async with lifespan(app, make_client, stop_within=0.0) as state:
            yield {**state, "database": "d"} if yields_state else None
            closed.append(await get_state(app).assets.list().aclose())

    def get_state(app):
        return app.state.livepeer

    with TestClient(pinging_app(lifespan=own)) as browser:
        assert "AsyncLivepeer" in read(browser)
    assert closed == [None]


def test_mounted_application_has_the_client():
    app = FastAPI(lifespan=partial(lifespan, make_client=make_client))
    app.mount("/inner", pinging_app())
    with TestClient(app) as browser:
        assert "AsyncLivepeer" in read(browser, "/inner/")


def test_missing_lifespan_is_explained(caplog):
    browser = TestClient(pinging_app())
    assert browser.get("/").status_code == 500
    assert "pass lifespan=" in caplog.text
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect("/"):
        pass


def test_dependency_can_be_overridden():
    app = pinging_app()
    app.dependency_overrides[get_livepeer] = lambda: "another"
    assert TestClient(app).get("/").json() == "'another'"


@pytest.fixture
def anyio_backend():
    return "asyncio"


def following_app(uploads, *, with_starlette):
    async def follow_here(request):
        upload = uploads[request.path_params["key"]]
        return StarletteEvents(for_starlette.progress_events(upload, every=0.0), ping=0.02)

    if with_starlette:
        return Starlette(routes=[Route("/{key}", follow_here, methods=["PUT"])])
    app = FastAPI()

    def find(key: str):
        return uploads[key]

    @app.put("/{key}", response_class=EventSourceResponse)
    async def follow(
        upload: Annotated[Upload, Depends(find)],
    ) -> AsyncIterator[ServerSentEvent]:
        async for event in progress_events(upload, every=0.0):
            yield event

    return app


async def read_events(reader):
    """Return the events of a response until it ends."""
    await reader.readuntil(b"\r\n\r\n")
    text = b""
    while not text.endswith(b"0\r\n\r\n"):
        block = await reader.read(1 << 16)
        assert block
        text += block
    lines = text.decode().replace("\r\n", "\n").split("\n")
    names = [line[7:] for line in lines if line.startswith("event: ")]
    data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return list(zip(names, data, strict=True))


@pytest.mark.anyio
@pytest.mark.parametrize("with_starlette", [True, False], ids=["starlette", "fastapi"])
async def test_followers_see_the_progress_and_the_end(with_starlette):
    uploads = {}
    async with (
        sandbox_and_client(**SMALL_S3) as (_, livepeer),
        serve_app(following_app(uploads, with_starlette=with_starlette)) as port,
    ):
        uploads["1"] = upload = await livepeer.start_upload(VIDEO, "talk.mp4")
        upload.pause()
        async with (
            connect(port, "/1", "Content-Length: 0") as (one, _),
            connect(port, "/1", "Content-Length: 0") as (two, _),
        ):
            async with connect(port, "/1", "Content-Length: 0") as (leaving, _):
                await leaving.readuntil(b"progress")
            upload.resume()
            for events in (await read_events(one), await read_events(two)):
                assert {name for name, _ in events[:-1]} == {"progress"}
                assert events[-2][1]["stage"] == "ready"
                name, asset = events[-1]
                assert (name, asset["id"]) == ("done", upload.asset.id)
        async with connect(port, "/1", "Content-Length: 0") as (late, _):
            assert [name for name, _ in await read_events(late)] == ["progress", "done"]


ENDS = {
    "stopped": (lambda upload, livepeer: upload.stop(), "UploadStopped"),
    "aborted": (lambda upload, livepeer: upload.abort(), "UploadStopped"),
    "closed": (lambda upload, livepeer: livepeer.aclose(), "ClientClosed"),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("end", "error"), ENDS.values(), ids=ENDS)
async def test_followers_are_told_of_a_failure(end, error):
    async with sandbox_and_client(**SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(VIDEO, "talk.mp4")
        upload.pause()
        seen = []

        async def follow():
            seen.extend([event async for event in progress_events(upload)])

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            await asyncio.sleep(0)
            ending = end(upload, livepeer)
            if ending is not None:
                await ending
        last = json.loads(seen[-1].raw_data)
        assert (seen[-1].event, last["error"], last["asset_id"]) == (
            "failed",
            error,
            last["asset_id"],
        )
        assert upload.upload_url is None or upload.upload_url not in str(seen)


@pytest.mark.anyio
async def test_idle_follower_is_kept_alive():
    uploads = {}
    async with (
        sandbox_and_client(**SMALL_S3) as (_, livepeer),
        serve_app(following_app(uploads, with_starlette=True)) as port,
    ):
        uploads["1"] = upload = await livepeer.start_upload(VIDEO, "talk.mp4")
        upload.pause()
        async with connect(port, "/1", "Content-Length: 0") as (reader, _):
            await reader.readuntil(b": ping")
        await upload.abort()
