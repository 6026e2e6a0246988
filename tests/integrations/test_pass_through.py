"""Visitors of a web application whose videos are passed through to Livepeer."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from integrations.web import (
    CHUNKED,
    CLOSING,
    FORM,
    chunked,
    connect,
    field,
    file,
    put,
    read_response,
    serve_app,
)
from livepeer_async import errors
from livepeer_async.integrations.starlette import form_file
from support.clock import until
from support.constants import TIMEOUT
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(3 * PART + 1000)
MAX_LENGTH = 50 * PART
BRIEF = 0.3


class Application:
    """Passes bodies and forms through, and keeps the errors."""

    def __init__(self, livepeer, **options):
        self.livepeer = livepeer
        self.options = {"wait": False, "max_length": MAX_LENGTH, **options}
        self.errors = []
        self.time_limit = TIMEOUT
        routes = [
            Route("/raw/{name}", self.pass_body, methods=["PUT"]),
            Route("/form", self.pass_form, methods=["PUT"]),
            Route("/uploaded", self.pass_stored_file, methods=["PUT"]),
        ]
        self.asgi = Starlette(routes=routes)

    async def pass_body(self, request):
        length = request.headers.get("Content-Length")
        length = None if length is None else int(length)
        name = request.path_params["name"]
        return await self._respond(self._upload(request.stream(), name, length=length))

    async def pass_form(self, request):
        async def upload():
            async with form_file(request, source_timeout=BRIEF) as form:
                return await self._upload(form, length=form.length)

        return await self._respond(upload())

    async def pass_stored_file(self, request):
        async with request.form() as form:
            return await self._respond(self._upload(form["video"]))

    def _upload(self, source, name=None, **options):
        return self.livepeer.upload(source, name, **self.options, **options)

    async def _respond(self, uploading):
        try:
            async with asyncio.timeout(self.time_limit):
                asset = await uploading
        except (errors.LivepeerError, TimeoutError) as error:
            self.errors.append(error)
            return PlainTextResponse(type(error).__name__, getattr(error, "status", 400))
        return PlainTextResponse(asset.playback_id)


@asynccontextmanager
async def application(*faults, client=None, **options):
    async with sandbox_and_client(*faults, client=client, **SMALL_S3) as (sandbox, livepeer):
        app = Application(livepeer, **options)
        async with serve_app(app.asgi) as port:
            yield app, sandbox, port


async def wait_for_error(app, sandbox):
    """Wait for the handler's error; nothing may be left on the server."""
    await until(lambda: app.errors)
    assert all(asset.is_deleted for asset in sandbox.assets)
    return app.errors[0]


FORM_BODY = field("title", b"A talk") + file(VIDEO, "Content-Type: video/mp4") + CLOSING
REQUESTS = {
    "body": ("/raw/cut.mp4", VIDEO, VIDEO, ()),
    "small body": ("/raw/cut.mp4", VIDEO[:10], VIDEO[:10], ()),
    "chunked body": ("/raw/cut.mp4", VIDEO, chunked(VIDEO[:9], VIDEO[9:]), (CHUNKED,)),
    "form": ("/form", VIDEO, FORM_BODY, (FORM,)),
    "chunked form": ("/form", VIDEO, chunked(FORM_BODY[:50], FORM_BODY[50:]), (FORM, CHUNKED)),
    "stored form": ("/uploaded", VIDEO, FORM_BODY, (FORM,)),
}


@pytest.mark.parametrize(("target", "sent", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
async def test_visitor_uploads_the_right_bytes(target, sent, body, headers):
    async with application() as (_, sandbox, port):
        status, playback_id = await put(port, target, body, *headers)
        assert status == 200
        stored = sandbox.stored(playback_id).read_bytes()
    assert stored == sent


INVALID = {
    "empty body": ("/raw/x", b"", (), "SourceEmpty", 400),
    "empty chunked body": ("/raw/x", chunked(), (CHUNKED,), "SourceEmpty", 400),
    "empty file": ("/form", file(b"") + CLOSING, (FORM,), "SourceEmpty", 400),
    "empty stored file": ("/uploaded", file(b"") + CLOSING, (FORM,), "SourceEmpty", 400),
    "empty chunked file": (
        "/form",
        chunked(file(b"") + CLOSING),
        (FORM, CHUNKED),
        "SourceEmpty",
        400,
    ),
    "40 GB announced": ("/raw/x", b"", ("Content-Length: 40000000000",), "SourceTooLarge", 400),
    "above max_length": (
        "/raw/x",
        b"",
        (f"Content-Length: {MAX_LENGTH + 1}",),
        "SourceTooLarge",
        400,
    ),
    "form above max_length": (
        "/form",
        file(b"x"),
        (FORM, f"Content-Length: {2 * MAX_LENGTH}"),
        "SourceTooLarge",
        400,
    ),
    "no form": ("/form", b"{}", ("Content-Type: application/json",), "FormInvalid", 400),
    "form without a file": ("/form", field("a", b"1") + CLOSING, (FORM,), "FormInvalid", 400),
    "large field": ("/form", field("a", bytes(2**20)) + CLOSING, (FORM,), "FormInvalid", 413),
}


@pytest.mark.parametrize(
    ("target", "body", "headers", "error", "status"), INVALID.values(), ids=INVALID
)
async def test_invalid_request_reaches_no_server(target, body, headers, error, status):
    async with application() as (app, sandbox, port):
        if any("Content-Length" in it for it in headers):
            async with connect(port, target, *headers) as (reader, writer):
                writer.write(body)
                found = await read_response(reader)
        else:
            found = await put(port, target, body, *headers)
        assert found == (status, error)
        assert not sandbox.requests
        assert len(app.errors) == 1


async def test_chunked_body_without_an_end_is_cut_off():
    async with application() as (app, sandbox, port):
        async with connect(port, "/raw/x", CHUNKED) as (reader, writer):
            sending = asyncio.create_task(send_without_end(writer))
            assert await read_response(reader) == (400, "SourceTooLarge")
            sending.cancel()
        assert not sandbox.requests
        assert app.errors[0].limit == MAX_LENGTH


async def send_without_end(writer):
    piece = chunked(bytes(PART)).removesuffix(b"0\r\n\r\n")
    while True:
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize("target", ["/raw/cut.mp4", "/form"])
@pytest.mark.parametrize("ends", ["closed", "reset", "half-closed"])
async def test_visitor_who_goes_away_leaves_nothing(target, ends):
    head = FORM_BODY[: -len(VIDEO)] if target == "/form" else b""
    async with application() as (app, sandbox, port):
        headers = (FORM, f"Content-Length: {len(VIDEO) * 2}")
        async with connect(port, target, *headers) as (_, writer):
            writer.write(head + VIDEO)
            await until(lambda: sandbox.assets)
            if ends == "reset":
                writer.transport.abort()
            elif ends == "closed":
                writer.close()
            else:
                writer.write_eof()
            error = await wait_for_error(app, sandbox)
        assert isinstance(error, errors.SourceNotReadable)
        assert isinstance(error.__cause__, ClientDisconnect)
        name = "cut.mp4" if target != "/form" else "talk.mp4"
        assert str(error).startswith(f"{name} broke off")


@pytest.mark.parametrize("sent", [0, 100, 2 * PART])
@pytest.mark.parametrize("header", [f"Content-Length: {len(VIDEO)}", CHUNKED])
async def test_silent_visitor_times_out(sent, header):
    async with application(source_timeout=BRIEF) as (app, sandbox, port):
        async with connect(port, "/raw/cut.mp4", header) as (reader, writer):
            body = chunked(VIDEO[:sent]).removesuffix(b"0\r\n\r\n") if sent else b""
            writer.write(body if header == CHUNKED else VIDEO[:sent])
            assert (await read_response(reader))[1] == "SourceTimedOut"
        error = await wait_for_error(app, sandbox)
        assert error.received == sent


@pytest.mark.parametrize("sent", [b"", FORM_BODY[:30], FORM_BODY[:3000]])
async def test_silent_visitor_of_a_form_times_out(sent):
    async with application(source_timeout=BRIEF) as (app, sandbox, port):
        async with connect(port, "/form", FORM, f"Content-Length: {len(FORM_BODY)}") as streams:
            streams[1].write(sent)
            assert (await read_response(streams[0]))[1] == "SourceTimedOut"
        await wait_for_error(app, sandbox)


async def test_visitor_who_pauses_is_waited_for():
    async with application(source_timeout=TIMEOUT) as (_, sandbox, port):
        async with connect(port, "/raw/x", f"Content-Length: {len(VIDEO)}") as (reader, writer):
            for start in range(0, len(VIDEO), 20_000):
                writer.write(VIDEO[start : start + 20_000])
                await asyncio.sleep(0.03)
            status, playback_id = await read_response(reader)
        assert status == 200
        assert sandbox.stored(playback_id).read_bytes() == VIDEO


async def test_bytes_of_a_slow_visitor_are_sent_at_once():
    headers = (f"Content-Length: {len(VIDEO)}",)
    async with (
        application() as (_, sandbox, port),
        connect(port, "/raw/x", *headers) as (_, writer),
    ):
        writer.write(VIDEO[: PART + 10])
        await until(lambda: "PATCH" in [it.method for it in sandbox.requests])


async def test_field_after_the_file_deletes_the_asset():
    body = file(VIDEO) + field("title", b"late") + CLOSING
    async with application() as (app, sandbox, port):
        assert await put(port, "/form", body, FORM) == (400, "FormInvalid")
        assert "last field" in str(await wait_for_error(app, sandbox))


async def test_time_limit_of_a_handler_leaves_nothing():
    async with application() as (app, sandbox, port):
        app.time_limit = BRIEF
        async with connect(port, "/raw/x", f"Content-Length: {len(VIDEO)}") as (reader, writer):
            writer.write(VIDEO[:PART])
            assert (await read_response(reader))[1] == "TimeoutError"
        await wait_for_error(app, sandbox)


async def test_closed_client_leaves_nothing():
    async with application() as (app, sandbox, port):
        async with connect(port, "/raw/x", f"Content-Length: {len(VIDEO)}") as (_, writer):
            writer.write(VIDEO[:PART])
            await until(lambda: sandbox.assets)
            await app.livepeer.aclose()
        error = await wait_for_error(app, sandbox)
        assert isinstance(error, errors.ConfigurationError)
