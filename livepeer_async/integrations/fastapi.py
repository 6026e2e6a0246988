"""FastAPI: the client as a dependency, errors as responses, and progress as server-sent events.

```python
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from livepeer_async import NewAsset, UploadTicket
from livepeer_async.integrations.fastapi import LivepeerDep, add_error_handlers, lifespan

app = FastAPI(lifespan=lifespan)
add_error_handlers(app)


@app.post("/tickets", status_code=201)
async def create_ticket(new_asset: NewAsset, livepeer: LivepeerDep) -> UploadTicket:
    return await livepeer.assets.request_upload(new_asset)
```

Needs `pip install "livepeer-async[fastapi]"`.

# The client

`lifespan` opens one client, which serves all requests, and stops its uploads when the application
ends. `LivepeerDep` is that client in handlers, dependencies and WebSockets. Tests replace it:

    app.dependency_overrides[get_livepeer] = lambda: livepeer

uvicorn ends the lifespan once all responses are complete. Give it a time limit, such as
`--timeout-graceful-shutdown 5`: a page that follows an upload would otherwise delay the end until
the upload is ready.

# Errors

`add_error_handlers` responds with a status for each class of `LivepeerError`, as `STATUSES` says:
4xx for what the visitor can change, 409 if the same upload is running, 503 with `Retry-After` while
Livepeer is busy, 500 if the application is misconfigured, 502 and 504 for a failing network or
server. The body has the fields of `ErrorDetail`; FastAPI's own errors have `detail`, too.

# Forms and bodies

`form_file` passes the file of a form through, without storing it as `UploadFile` is, and
`request.stream()` with a length does so for a body; see `livepeer_async.integrations.starlette`.

# Requests and responses

The Structs of `livepeer_async.models`, `Progress` and events of webhooks are bodies, response
models and fields of pydantic's models. JSON has the API's names, such as `playbackPolicy`. A body
with an unknown field is a 422, as is any invalid one; the response says where, and doesn't repeat
strings, which may be keys. Annotate the type that a handler returns: without it, FastAPI encodes
Structs with the names of Python.

# Progress

`progress_events` yields the events of an upload; any number of pages may follow it, and a page that
leaves doesn't affect it.

    @app.get("/uploads/{key}/events", response_class=EventSourceResponse)
    async def follow(
        upload: Annotated[Upload, Depends(find_upload)],
    ) -> AsyncIterator[ServerSentEvent]:
        async for event in progress_events(upload):
            yield event

Pages close the stream at its last event, because browsers reconnect to one that ends:

    const events = new EventSource(`/uploads/${key}/events`);
    events.addEventListener("progress", (event) => show(JSON.parse(event.data)));
    for (const last of ["done", "failed"])
      events.addEventListener(last, (event) => { events.close(); end(JSON.parse(event.data)); });

The data of `progress` is a `Progress`, that of `done` the `Asset`, that of `failed` an
`ErrorDetail`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends
from fastapi.sse import ServerSentEvent

from livepeer_async.client import AsyncLivepeer
from livepeer_async.integrations.progress_stream import EVERY, follow_upload
from livepeer_async.integrations.starlette import (
    STATUSES,
    ErrorDetail,
    FormFile,
    FormInvalid,
    add_error_handlers,
    form_file,
    get_livepeer,
    lifespan,
    status_of,
)
from livepeer_async.uploads.upload import Upload

__all__ = [
    "STATUSES",
    "ErrorDetail",
    "FormFile",
    "FormInvalid",
    "LivepeerDep",
    "add_error_handlers",
    "form_file",
    "get_livepeer",
    "lifespan",
    "progress_events",
    "status_of",
]

LivepeerDep = Annotated[AsyncLivepeer, Depends(get_livepeer)]
"""The client that `lifespan` has opened."""


async def progress_events(
    upload: Upload, *, every: float = EVERY
) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield server-sent events: `progress`, and at last `done` or `failed`.

    For a generator with `response_class=EventSourceResponse`, which also keeps the connection alive
    while nothing happens.

    Args:
        upload: an upload of `start_upload` or `begin_upload`.
        every: seconds between two events, except before the last two.
    """
    async with aclosing(follow_upload(upload, every)) as events:
        async for event in events:
            yield ServerSentEvent(event=event.name, raw_data=event.data)
