"""Async client for Livepeer Studio that uploads videos, resumes them and verifies what is stored.

```python
import asyncio

from livepeer_async import AsyncLivepeer


async def main() -> None:
    async with AsyncLivepeer() as livepeer:
        asset = await livepeer.upload("talk.mp4")
        print(asset.playback_id, asset.phase)


asyncio.run(main())
```

The API key is read from `LIVEPEER_API_KEY` and the base URL from `LIVEPEER_BASE_URL`, unless they
are passed to `AsyncLivepeer`. Create one client per application: uploads of a client share their
connections, concurrency and rate limit. Each method is documented on its class.

# Uploads

- `upload(source, new_asset)` requests an upload, sends the bytes with tus, waits until the asset is
  ready, verifies it, and returns the `Asset`. With `wait=False` it returns as soon as Livepeer has
  all bytes.
- `begin_upload` does the same beside a block, with an `Upload` to follow, stop or abort.
- `start_upload` returns such an `Upload` once its asset exists, and outlives its caller; see below.
- `upload_many` uploads an iterable concurrently and yields an `UploadResult` for each source.
- `livepeer_async.ingest` uploads the rows of a manifest, unattended.

A source is a path; bytes, or another object with the buffer protocol; an async iterable of bytes,
which is streamed with `length=` and otherwise spooled to a temporary file; or a binary file object,
such as Starlette's `UploadFile`. A file object is uploaded from its first byte; one that was read
in part and can't seek is refused. A source that changes during the upload raises `SourceChanged`.

`new_asset` is a name, or a `NewAsset` or mapping of its fields: playback policy, creator ID,
encryption, storage, profiles. In a mapping, names may be camelCase, and a wrong field is an error:

    NewAsset("Talk", playback_policy=PlaybackPolicy(type="jwt"), creator_id="user-7")

# Unsupported files

Livepeer refuses some files, but after their upload: no video and no audio, mjpeg, png and prores
(also as the cover of a song), VP9 in MP4, pixel formats but yuv420p and yuvj420p, a frame rate of
0. With `probe=True`, PyAV (`pip install av`) looks first, and `SourceUnsupported` has the ffmpeg
`command` that converts the file. A `Probe` switches rules off. What can't be told is uploaded:
streams, damaged files, slow disks.

# Verification

`verify="size"` compares the size of the ready asset with the bytes read; `verify="hash"` also its
SHA-256, if the server has one. `result.verified` is `hash`, `size`, or `not provable`: the server
states neither, or decrypts the bytes. A difference raises `IntegrityError`; with
`on_mismatch="reupload"` the asset is deleted and uploaded once more.

# Failures and resuming

After a lost connection, a lost response or a server error, an upload waits, asks for its offset
until it is stable, and continues there. `RetryPolicy` limits the attempts since the last byte of
progress, not the total; by default, 10 attempts last about two minutes if connections are refused,
and five if they time out. An upload that the server has lost restarts with a new asset, and the
old one is deleted. After an outage, the first request to a host that succeeds ends the delays of
all others.

`Progress` has the bytes that the server has acknowledged (`sent`), those `in_flight`, the
`fraction` and the `rate`. `retry` is the failure of any request of the upload until one succeeds:
of the API, of a chunk, or of the URL that is relayed. `waiting` says what makes no progress for 5 s
or more, such as a request without a response. The logger `livepeer_async` warns of each retry,
with its facts as attributes of the record (`livepeer_async.telemetry`).
`with observe_requests(function):` reports the same events for the calls of its block:

    with observe_requests(print):
        async for asset in livepeer.assets.list():
            print(asset.name)

A request for an upload isn't idempotent. If its response is lost, the client looks for the asset,
logs what it found, and requests another upload.

With `AsyncLivepeer(journal=FILE)`, the same call resumes in a later process, even after a kill or a
power loss:

- An upload has a key: `key=`, or the absolute path of a file. Bytes and streams have none by
  themselves. One key makes one asset.
- A finished upload is found again with one GET. If its source has changed, `SourceChanged` is
  raised and the asset stays. Of a stream only the length is compared; with `verify="hash"`, the
  SHA-256 is compared as well.
- Another playback policy or encryption than that of a finished upload raises `KeyTaken`: change the
  asset with `assets.update`, use another key, or call `await livepeer.journal.forget(key)`.
- An unfinished upload resumes if size, mtime and inode of the file, or the bytes in memory, are the
  same. Otherwise, and for streams, it restarts and its asset is deleted.
- Processes may share a journal. Each key has one owner, and the others get `UploadInUse`.
  Ownership ends with the upload or its process, never by the clock: a machine that slept must not
  become a second writer. After a fork, open a client in each process.
- The journal is an SQLite file, readable by its owner alone, because upload URLs are bearer
  secrets. It contains no API keys or tokens. Don't delete the lock files beside it, whose names
  contain `-owner-`.

`leftovers()` lists the assets that failed uploads have left on the server, and `delete_leftover`
deletes one. Those with `is_ours` are certain: the journal has their ID. The others only match a
request with a lost response by name and time, and are never deleted automatically. Uploads without
a key are recorded while they run, so `leftovers()` also shows what a kill has left of them.

Cancellation ends an upload within 2 s, as does an exception in the block of `begin_upload`. What
can be resumed is kept: uploads in the journal, those of `begin_upload`, and those stopped by
`Upload.stop`. Uploads of streams, and a cancelled `upload` or `upload_many` without a journal, are
terminated and their assets deleted. `Upload.abort` deletes upload and asset.

A `TusError` has the `asset_id` and, if the upload can be resumed, the `upload_url`, a bearer
secret. Without a journal, `TusClient.upload(source, upload_url=...)` of `livepeer_async.tus`
resumes there; pass `TusClient(limits=livepeer_limits(length))`.

# Uploads in the background

A web application starts an upload in a handler and leaves it. The client owns the task, until
`aclose`. Store the key, or an ID of your own, and not the ID of the asset: an upload that the
server has lost begins again with a new asset. Each `Progress` has the present `asset_id`, so the
event of the change is a `Progress` with another one; the log has it too, as `upload.restarted`.

    upload = await livepeer.start_upload("talk.mp4", key="order-17")
    async for progress in upload.progress(every=1.0):  # any number of readers
        print(progress.asset_id, progress.fraction)
    result = await upload.wait()                       # or raises the error

- The source must be readable until the upload has ended. A web framework closes the file of a form
  with the response: copy it first.
- `upload.pause()` takes effect after the chunk in flight, and `resume()` ends it. The key stays in
  use; other uploads may send.
- At its end, the application calls `aclose(stop_within=10)`: chunks in flight end, the rest is
  cancelled, and the uploads raise `ClientClosed`. An error with `can_resume` is no failure.
- After a restart, `unfinished()` lists what the journal holds, and `resume_upload(key)` goes on, in
  any process; a key that isn't the path of the file needs `source=`, until the server has all
  bytes. The journal has the fields of the asset, but no encryption key and no webhook context: if
  such an upload has to begin again, `upload` must be called. `discard(key)` deletes an upload.
- The second request under a key gets `UploadInUse`, with the `asset_id` of the first.

Uploads belong to their event loop: wait for them there.

# Concurrency and rate

- `upload_many` starts with 2 concurrent uploads, adds more while the throughput grows, up to 32,
  and halves them after 429, 503, timeouts and stalls. `concurrency=` fixes the number.
- A slot is held until the server has all bytes, not during processing. Files below 1 MiB take a
  part of a slot, down to 1/16. An upload is requested when it starts, not before.
- Files of 64 MiB and above take at most half of the slots while small ones wait; if none of them
  runs, one starts before small ones. A single slot is first in, first out.
- Calls of `upload_many` and `ingest` share the slots fairly. A single `upload` starts at once and
  takes one of them; if the number adapts, at least one is left. Uploads stay below the connections
  of a bounded `http_client`, and wait for file descriptors (`ulimit -n`), of which each needs two.
- `max_rate=` limits the bytes per second of all uploads of the client. Both limits can be changed
  at any time as `livepeer.throttle.concurrency` and `livepeer.throttle.max_rate`.
- A 429 or 503 pauses all requests of the client until one of them, as a probe, succeeds.
- With a journal on PostgreSQL, all clients of the account share the pauses and divide `max_rate`.

# Webhooks

Livepeer can send events to a URL of the application. `webhooks.unwrap(body, headers, secret)` of
`livepeer_async` checks their signature and decodes them. `livepeer.notice(event)` ends waits: the
client needs no request to learn that an asset is ready, has failed or was deleted, or that its
upload is complete. While events arrive, polls are rare; without events, nothing changes.
`livepeer.webhooks` creates, lists, changes and deletes webhooks.

# Other calls

`livepeer.assets`, `livepeer.tasks` and `livepeer.playback` have the typed calls of the API, such as
`await livepeer.assets.update(asset.id, AssetPatch(name="Final"))`. `assets.wait` and `wait_many`
call `on_change=` with an asset after each change. `assets.upload_from_url` lets Livepeer fetch a
video, and `assets.request_upload` returns a ticket for another tus client, such as a browser's.
`livepeer.request` sends to any other endpoint.

# Options

- `Timeouts`: limits for connecting, stalls and responses; a number sets the stall timeout.
- `RetryPolicy`: attempts, delays, restarts, and how long to wait for a full queue (429).
- `ServerLimits`, `livepeer_limits`: chunk sizes and the longest upload, 30 GiB by default.
- `http_client`: an `httpx.AsyncClient` or `httpx2.AsyncClient`, which stays open. Without one, the
  client has connections of its own, which need a third of the CPU; requests through a proxy and on
  Windows are sent by httpx.

# Manuals

`livepeer_async.errors` (what to catch, and what to do), `.models`, `.ingest`, `.tus`, `.webhooks`,
`.telemetry` (log events, spans, and hooks for OpenTelemetry and Sentry), and `.sandbox`, an
embedded Livepeer for tests. What they export is public, and before 1.0 changes only with a new
minor version; other modules may change at any time. The lowest versions of the dependencies are
tested (`nox -s lowest`).
"""

from livepeer_async.version import __version__ as __version__

# A constant of this name is true for type checkers; `typing` takes time to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from livepeer_async.errors import *  # noqa: F403 - they are in its __all__
    from livepeer_async.exports import *  # noqa: F403 - as above
    from livepeer_async.models import *  # noqa: F403 - as above
else:

    def __getattr__(name: str) -> object:
        """Import a module, or what has a public name, when first used."""
        from importlib import import_module, util  # noqa: PLC0415 - not needed before

        if util.find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
        if name == "__all__":
            listed = (import_module(f"{__name__}.{it}").__all__ for it in _PUBLIC_MODULES)
            return sorted({public for names in listed for public in names})
        # The last one takes the most time.
        for it in _PUBLIC_MODULES:
            module = import_module(f"{__name__}.{it}")
            if name in module.__all__:
                globals()[name] = getattr(module, name)
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})

    _PUBLIC_MODULES = ("client", "errors", "models", "exports")
