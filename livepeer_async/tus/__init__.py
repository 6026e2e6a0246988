"""A client and a protocol engine for any tus 1.0 server.

# TusClient

```python
import asyncio

from livepeer_async.tus import TusClient


async def main(endpoint: str, source: str) -> None:
    async with TusClient(headers={"Authorization": "Bearer ..."}) as tus:
        upload_url = await tus.upload(source, endpoint, metadata={"filename": "talk.mp4"})
        print(upload_url)


if __name__ == "__main__":
    asyncio.run(main("https://tus.example/files", "talk.mp4"))
```

- `TusClient.upload` accepts a path, bytes, an async iterable of bytes or a binary file object, and
  returns when the server has all bytes. It retries as `RetryPolicy` says; each byte of progress
  starts the count again.
- To resume, pass `upload_url=` instead of the endpoint. `on_created=` is called with the URL before
  a request is sent there, and errors have it as `upload_url`. It is a bearer secret.
- A stream of unknown length is spooled first. `defer_length=True` sends it at once, if the server
  has the extension creation-defer-length.
- `TusClient.terminate(upload_url)` deletes an upload; `TusClient.discover(endpoint)` returns the
  `ServerFeatures`.

# ServerLimits

By default the client asks each server (OPTIONS) for its maximum size and extensions. Pass
`TusClient(limits=...)` for a server that needs more care: aligned chunks (`align`, `tail_alone`),
time for an offset to settle after an interruption (`settle`), smaller requests (`max_chunk`,
`max_chunk_seconds`), or POST instead of PATCH (`override_patch`). `livepeer_limits(length)` returns
those of Livepeer, `with_chunk_size` limits the size of chunks, and `plan_chunk` is the rule that
sizes and aligns each chunk.

# Driving the core

`TusUpload` is the protocol without I/O, clock and randomness. It returns the next request and
receives its response:

```python
import time
import urllib.error
import urllib.request

from livepeer_async.tus import Refused, Request, Response, State, TusUpload


def send(request: Request, content: bytes) -> Response:
    # `request.span` is the range of the content to send.
    body = content[request.span.start : request.span.stop] if request.method != "HEAD" else None
    sent = urllib.request.Request(request.url, body, dict(request.headers), method=request.method)
    try:
        response = urllib.request.urlopen(sent, timeout=60)
        status = response.status
    except urllib.error.HTTPError as error:
        response, status = error, error.code
    with response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(status=status, headers=headers, body=response.read())


def upload(endpoint: str, content: bytes) -> tuple[State, str | None]:
    core = TusUpload(endpoint=endpoint, length=len(content))
    while not core.is_over:
        step = core.next_step()
        time.sleep(step.wait)
        try:
            event = core.receive(send(step.request, content))
        except OSError as error:
            event = core.interrupt(str(error))
        if isinstance(event, Refused):
            raise RuntimeError(event.reason)
        if core.failures > 5:
            raise RuntimeError("the server fails again and again")
    return core.state, core.upload_url
```

- To resume, pass `upload_url=` instead of the endpoint.
- `receive(..., seconds=)` adapts the size of the next chunk.
- `length=None` defers the length: call `next_step(available=)` with the bytes at hand, and
  `declare_length` at the end.
- One request is in flight at a time. An illegal call raises `IllegalMove` and changes nothing.

`Driver` does the same with anyio, retries, streams, `Callbacks` and your own `Send` function.

# States and events

A `State` allows some `Command`s, and the `Event` in the response leads to the next state:

    UNCREATED         CREATE        Created → TRANSFERRING
    OFFSET_UNKNOWN    ASK_OFFSET    OffsetKnown → TRANSFERRING or COMPLETE, Gone → GONE
    TRANSFERRING      SEND_CHUNK    ChunkAccepted → TRANSFERRING or COMPLETE, Gone → GONE
    COMPLETE          FINALIZE      stays COMPLETE
    all but UNCREATED and GONE      TERMINATE    Terminated → TERMINATED

    Interrupted    no response; 408, 409, 423 (locked), 425, 429, 5xx; an unusable Upload-Offset.
                   A chunk leads to OFFSET_UNKNOWN, any other command is repeated.
    ChunkTooLarge  413: OFFSET_UNKNOWN, and smaller chunks.
    Gone           404 or 410; or an offset that can't be right.
    Refused        any other error status: final, the state stays.

A lost response to a creation leads to GONE if `ServerLimits.creates_once`. The whole table is in
`livepeer_async.tus.states`.

# Errors

All are in `livepeer_async.errors`:

    ConfigurationError   an argument is invalid, or the server lacks the extension for it
    SourceError          the source can't be read, is empty or too large, or changed
    NetworkError         only `discover`: no response
    UploadRefused        a final error status; .status
    UploadGone           the server lost the upload: start again
    ProtocolError        a response that violates tus 1.0, or a Location on another host
    RetriesExhausted     too many failures without progress: resume later from `upload_url`
    IllegalMove          only `TusUpload`: the state doesn't allow the call
"""

from typing import Any

from livepeer_async.http.messages import Request, Response
from livepeer_async.tus.client import TusClient
from livepeer_async.tus.deprecated import warn_deprecated
from livepeer_async.tus.driver import Callbacks, Driver, Send
from livepeer_async.tus.events import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Event,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
    Terminated,
)
from livepeer_async.tus.limits import (
    ServerLimits,
    livepeer_limits,
    plan_chunk,
    plan_creation,
    with_chunk_size,
)
from livepeer_async.tus.metadata import MetadataValue, decode_metadata, encode_metadata
from livepeer_async.tus.protocol import TusUpload
from livepeer_async.tus.requests import ServerFeatures
from livepeer_async.tus.states import Command, State, Step

__all__ = [
    "Callbacks",
    "ChunkAccepted",
    "ChunkTooLarge",
    "Command",
    "Created",
    "Driver",
    "Event",
    "Gone",
    "Interrupted",
    "MetadataValue",
    "OffsetKnown",
    "Refused",
    "Request",
    "Response",
    "Send",
    "ServerFeatures",
    "ServerLimits",
    "State",
    "Step",
    "Terminated",
    "TusClient",
    "TusUpload",
    "decode_metadata",
    "encode_metadata",
    "livepeer_limits",
    "plan_chunk",
    "plan_creation",
    "with_chunk_size",
]

_RENAMED: dict[str, type] = {"Move": Step, "Vanished": Gone}


def __getattr__(name: str) -> Any:
    """Return a class by its deprecated name."""
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_deprecated(f"livepeer_async.tus.{name}", _RENAMED[name].__name__)
    return _RENAMED[name]
