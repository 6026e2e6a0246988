"""Starlette: files of forms are passed through, errors become responses, progress is followed.

# Forms

    from livepeer_async.integrations.starlette import form_file

    async def upload(request: Request) -> JSONResponse:
        async with form_file(request) as file:
            asset = await livepeer.upload(file, length=file.length, wait=False)
        return JSONResponse({"asset_id": asset.id})

Starlette's own `request.form()`, and with it FastAPI's `UploadFile`, store the whole file on disk
before the handler begins. `form_file` reads the form while the upload sends it: nothing is written,
and no more is read from the visitor than the upload takes.

Livepeer must know the length first. `file.length` follows from `Content-Length`, if the file is the
last field of the form and the closing boundary ends with a line break, as those of browsers, curl
and the usual HTTP libraries do. It is checked: with any other form, the upload fails with
`FormInvalid`, and its asset is deleted. It is `None` for a chunked request. An upload without
`length=` is stored on disk first, and accepts both.

# The client, its errors and progress

    app = Starlette(routes=..., lifespan=lifespan)
    add_error_handlers(app)

    async def follow(request: Request) -> EventSourceResponse:  # of sse_starlette
        livepeer = await get_livepeer(request)
        upload = request.state.uploads[request.path_params["key"]]
        return EventSourceResponse(progress_events(upload))

These are the functions of `livepeer_async.integrations.fastapi`, whose manual describes them;
`progress_events` yields the events of sse-starlette.

Needs starlette and python-multipart: `pip install "livepeer-async[fastapi]"`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio
from starlette.requests import Request

from livepeer_async.defaults import SOURCE_TIMEOUT
from livepeer_async.deferred import deferred_module
from livepeer_async.errors import FormInvalid, SourceNotReadable
from livepeer_async.integrations.application import add_error_handlers, get_livepeer, lifespan
from livepeer_async.integrations.error_responses import STATUSES, ErrorDetail, status_of
from livepeer_async.integrations.multipart import MAX_FIELDS_SIZE, FormParser
from livepeer_async.integrations.progress_stream import EVERY, follow_upload
from livepeer_async.redaction import redact
from livepeer_async.sources.source import timed_out
from livepeer_async.uploads.upload import Upload

if TYPE_CHECKING:
    import sse_starlette
else:
    # Forms don't need it.
    sse_starlette = deferred_module("sse_starlette")

__all__ = [
    "STATUSES",
    "ErrorDetail",
    "FormFile",
    "FormInvalid",
    "add_error_handlers",
    "form_file",
    "get_livepeer",
    "lifespan",
    "progress_events",
    "status_of",
]


class FormFile:
    """The file of a form, as an async iterator of bytes; a source of `AsyncLivepeer.upload`.

    Attributes:
        field: the form's field.
        filename: the name that the visitor's program sent.
        content_type: the file's content type as sent; "" without one.
        length: bytes, if the file is the last field; `None` for a chunked request.
    """

    def __init__(self, parser: FormParser, body: AsyncIterator[bytes]) -> None:
        self._parser = parser
        self._body = body
        self._read = 0
        self._pieces: list[bytes] = []
        self.field = self.filename = self.content_type = ""
        self.length: int | None = None

    @property
    def fields(self) -> Mapping[str, str]:
        """The form's other fields: those before the file, and after its end all of them."""
        return MappingProxyType(self._parser.fields)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._parser.has_ended:
                raise StopAsyncIteration
            await self._read_block()
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    async def find(self, timeout: float) -> None:
        """Read up to the first byte of the file; `form_file` does this."""
        while not self._parser.has_file:
            with anyio.move_on_after(timeout) as scope:
                await self._read_block()
            if scope.cancelled_caught:
                raise timed_out("the form", timeout, self._read)
            if self._parser.has_ended:
                self._parser.finish()
        parser = self._parser
        self.field, self.filename = parser.field, parser.filename
        self.content_type, self.length = parser.content_type, parser.length

    async def _read_block(self) -> None:
        try:
            block = await anext(self._body, b"")
        except Exception as error:
            name = self._parser.filename or "the form"
            raise SourceNotReadable(
                f"{name} broke off: {redact(repr(error))}", source=name
            ) from error
        self._read += len(block)
        if block:
            self._pieces += self._parser.write(block)
        else:
            self._parser.finish()

    def __repr__(self) -> str:
        return f"<FormFile {self.filename!r}, {self.length} bytes>"


@asynccontextmanager
async def form_file(
    request: Request,
    field: str | None = None,
    *,
    max_fields_size: int = MAX_FIELDS_SIZE,
    source_timeout: float | None = SOURCE_TIMEOUT,
) -> AsyncGenerator[FormFile, None]:
    """Read a multipart form up to its file; the file is read by the block, such as by an upload.

    Nothing else may read the request: with FastAPI, the handler takes the `Request` and no `Form`
    or `UploadFile`.

    Args:
        request: the request.
        field: the field that the file must have; by default any.
        max_fields_size: maximum bytes of the other fields and of all headers of parts.
        source_timeout: seconds without a byte before the file begins; then that of `upload` counts.

    Raises:
        FormInvalid: the request is no multipart form, is malformed, or has no file, several ones,
            or more fields than allowed; its `status` is 400 or 413. Reading the file raises it too.
        SourceNotReadable: the visitor has disconnected; the cause is Starlette's
            `ClientDisconnect`. Reading the file raises it too.
        SourceTimedOut: the visitor sent no byte in time.
    """
    parser = FormParser(
        request.headers.get("content-type", ""),
        _read_length(request),
        field=field,
        max_fields_size=max_fields_size,
    )
    async with aclosing(request.stream()) as body:
        # Starlette ends a body with an empty block.
        file = FormFile(parser, aiter(block async for block in body if block))
        await file.find(inf if source_timeout is None else source_timeout)
        yield file


def _read_length(request: Request) -> int | None:
    """Return the length of the body; `None` for a chunked one, whose length would be ignored."""
    value = request.headers.get("content-length", "")
    is_chunked = "transfer-encoding" in request.headers
    return int(value) if value.isascii() and value.isdigit() and not is_chunked else None


async def progress_events(
    upload: Upload, *, every: float = EVERY
) -> AsyncGenerator[sse_starlette.ServerSentEvent, None]:
    """Yield server-sent events for sse-starlette's `EventSourceResponse`.

    Args:
        upload: an upload of `start_upload` or `begin_upload`.
        every: seconds between two events `progress`; the last event is `done` or `failed`.
    """
    async with aclosing(follow_upload(upload, every)) as events:
        async for event in events:
            yield sse_starlette.ServerSentEvent(event.data, event=event.name)
