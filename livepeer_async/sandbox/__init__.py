"""An embedded Livepeer Studio for tests and demonstrations.

The sandbox is an HTTP server on a loopback address. Its routes, messages, phases and storage behave
as those of the real server were recorded to behave, known bugs included. It shares no code with
the client, and needs the packages of the extra `sandbox`: `pip install starlette uvicorn`.

# In a test

With pytest, an installed `livepeer-async` has two fixtures, which start nothing until a test uses
them:

- `livepeer_sandbox`, one for the session, is a `Sandbox` on a real socket. It is reset after each
  test that uses it; what fixtures of the session have created there is then forgotten too.
- `livepeer`, one for each test, is an `AsyncLivepeer` with this server, and is closed afterwards.

They serve tests in pytest-asyncio, in anyio's plugin with `anyio_backend` "asyncio", and sync tests
that call `asyncio.run` or a `TestClient`:

    from livepeer_async.sandbox import Sandbox

    async def test_video(livepeer: AsyncLivepeer, livepeer_sandbox: Sandbox) -> None:
        asset = await livepeer.upload(b"a video", "clip.mp4")
        assert livepeer_sandbox.stored(asset.playback_id).read_bytes() == b"a video"

A fixture of the same name in a `conftest.py` replaces one of them, such as a sandbox with other
options. Without pytest, a sandbox is a context manager, sync or async:

```python
import asyncio

from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox


async def main() -> None:
    async with Sandbox() as sandbox:
        async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            asset = await livepeer.upload(b"a video", "clip.mp4")
        assert sandbox.stored(asset.playback_id).read_bytes() == b"a video"
        assert sandbox.violations == []


asyncio.run(main())
```

The server runs in a thread of its own; several sandboxes can run at once. Leaving the block closes
all connections, deletes the stored files, and raises the first error inside the server.

# Speed, states and events

```python
import asyncio

from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox

with Sandbox(speed=100, processing_seconds=3600) as sandbox:
    livepeer = AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url, speed=sandbox.speed)
    asset = asyncio.run(livepeer.upload(b"a video", "clip.mp4", wait=False))
    sandbox.finish(asset.id, "failed", error="no video track")
    assert asyncio.run(livepeer.assets.get(asset.id)).phase == "failed"
    sandbox.reset()
    assert sandbox.assets == []
```

- `Sandbox(speed=100)` makes all delays of the server 100 times shorter, and `AsyncLivepeer(speed=)`
  those of the client: between polls, before retries, and after 429 and 503. Time limits stay. The
  fixtures have a speed of 100: an upload is ready within 20 ms, and within 0.8 s at real speed.
- `finish(asset_id, phase, error=)` moves an asset to any phase at once, and sends its events.
- `reset()` forgets all state but the API key.
- `await deliver("asset.ready", asset_id, to=app, path="/webhook")` sends a signed event to an ASGI
  application or a URL, and returns the status. An event may also be the document of one, or a
  Struct of `livepeer_async.webhooks`. The secret is `sandbox.webhook_secret`, or `secret=`.

# From the shell

    livepeer-async sandbox                        # serve one until Ctrl-C; prints URL and key
    livepeer-async sandbox --port 8000 --storage s3
    livepeer-async sandbox --api-key KEY --processing-seconds 5 --webhook http://127.0.0.1:8080/hook
    livepeer-async upload talk.mp4 --sandbox      # a sandbox for one command

# Options

All are arguments of `Sandbox`, where each is described:

- Storage: `storage="file"` stores every byte. `storage="s3"` is the storage of production, which
  can lose or duplicate bytes of an upload that is not aligned to parts; `part_size`, `min_piece`,
  `visibility_seconds`, `race` and `storage_rate` set its parameters.
- Time: `waiting_seconds` and `processing_seconds` of a task, `request_seconds`, `clock`, `speed`.
- Server: `api_key`, `host`, `port`, `directory`, `hashes`, `max_pending_tasks`.
- Faults: `faults`, and the `seed` of their probabilities.

# Checks for tests

- `sandbox.requests`: each request with status, received bytes, connection and injected fault.
- `sandbox.violations`: the rules below that a client broke.
- `sandbox.assets`, `sandbox.stored(playback_id)`, `sandbox.stored_sha256(playback_id)`.

A violation is recorded, and the response is that of the real server:

- Tus-Resumable, Upload-Offset or the Content-Type of a PATCH is missing or wrong.
- A creation has both or neither of Upload-Length and Upload-Defer-Length.
- A second creation on one ticket.
- An upload URL with an Authorization header, or with a query.
- A HEAD or a second PATCH while a PATCH of the same upload is running.
- A PATCH while the storage is still working on an abandoned body.

# Faults

A fault is a condition (`On`) and an action. At most one fires for a request: the first in the list
that matches and is due.

```python
import asyncio

from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Answer, CutConnection, Fault, On, Sandbox

FAULTS = [
    Fault(On(method="PATCH", nth=1), CutConnection(after_bytes=100_000)),
    Fault(On(path="request-upload", times=2), Answer(503, headers={"Retry-After": "1"})),
]


async def main() -> None:
    async with Sandbox(storage="s3", faults=FAULTS) as sandbox:
        async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            await livepeer.upload(bytes(9_000_000), "clip.mp4")
        assert [fault.fired for fault in FAULTS] == [1, 2]


asyncio.run(main())
```

- Connection: `CutConnection`, `LoseAnswer`, `CutAnswer`, `HangUp`, `Garbage`.
- Response: `Answer`, `Redirect`, `ChangeHeaders`, `ChangeBody`, `ShiftOffset`.
- Speed: `Stall`, `Slow`.
- Processing: `FailProcessing`, `WrongSize`; their condition is `On(asset=...)`.

# Webhooks

`sandbox.add_webhook("http://127.0.0.1:8000/webhook", secret=...)` and `POST /webhook` subscribe a
URL to the events of assets and tasks. They are sent with the headers, signatures, order and retries
of the real server; `Sandbox(webhook_retry_seconds=0.05)` retries sooner. Webhooks that a client
creates reach loopback addresses only. `sandbox.deliveries` has each try with its status.

# Limits

- Nothing is transcoded: any bytes but an empty file become a ready asset.
- `upload/url` downloads from loopback addresses only; for other sources the asset fails.
- There are no live streams or multistream targets, and so no webhook events of them.
"""

from livepeer_async.sandbox.faults import (
    Action,
    Answer,
    ChangeBody,
    ChangeHeaders,
    CutAnswer,
    CutConnection,
    FailProcessing,
    Fault,
    Garbage,
    HangUp,
    LoseAnswer,
    On,
    Redirect,
    ShiftOffset,
    Slow,
    Stall,
    WrongSize,
)
from livepeer_async.sandbox.request_log import SeenRequest, Violation

try:
    from livepeer_async.sandbox.documents import SeenAsset
    from livepeer_async.sandbox.server import Sandbox
    from livepeer_async.sandbox.webhooks import Delivery
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing not in ("starlette", "uvicorn"):
        raise
    raise ImportError(f"the sandbox needs {missing}: pip install starlette uvicorn") from error

__all__ = [
    "Action",
    "Answer",
    "ChangeBody",
    "ChangeHeaders",
    "CutAnswer",
    "CutConnection",
    "Delivery",
    "FailProcessing",
    "Fault",
    "Garbage",
    "HangUp",
    "LoseAnswer",
    "On",
    "Redirect",
    "Sandbox",
    "SeenAsset",
    "SeenRequest",
    "ShiftOffset",
    "Slow",
    "Stall",
    "Violation",
    "WrongSize",
]
