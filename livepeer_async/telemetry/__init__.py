"""Telemetry: log events, OpenTelemetry spans, and hooks that keep secrets out of them.

# Log events

The logger `livepeer_async` logs what happens to uploads. Each record has a sentence as its message,
and facts as attributes (`extra=`), which a JSON formatter can encode. All records have

- `event_name`: a name of the table, which is stable;
- `asset_id`, `key`, `source`: the asset, the key and the name of the source of the upload that is
  concerned, or None. A key that is a URL is shown without its query. `asset_id` changes when a
  lost upload restarts with another asset.

If the application's record factory sets one of these names, all of them begin with `livepeer_`.

| `event_name` | level | when | other attributes |
|---|---|---|---|
| `upload.started` | INFO | it has an asset, or another one | `length`, `previous_asset_id` |
| `upload.resumed` | INFO | an earlier run is continued | `length`, `previous_asset_id` |
| `upload.found` | INFO | an earlier run has sent all bytes | `length` |
| `upload.transferred` | INFO | the server has all bytes | *end* |
| `upload.succeeded` | INFO | the upload ends | *end*, `phase`, `verified` |
| `upload.stopped` | INFO | `stop()` ended it | *end* |
| `upload.aborted` | INFO | `abort()` ended it | *end* |
| `upload.cancelled` | INFO | its task was cancelled, or the client closed | *end* |
| `upload.failed` | WARNING | it raises an error | *end*, `error`, `reason` |
| `upload.waiting` | INFO | it makes no progress, every 5 s | `reason`, `seconds` |
| `upload.restarted` | WARNING | it is lost, and its asset is discarded | *retry* |
| `upload.retry` | WARNING | a request to the upload host failed | *retry*, `offset` |
| `chunk.sent` | DEBUG | a request with bytes was accepted | *chunk* |
| `response.received` | DEBUG | a request got a response | *response* |
| `request.retry` | WARNING | an API call failed | *retry* |
| `response.lost` | WARNING | assets may have been created | `asset_ids`, `asset_name`, `reason` |
| `poll.retry` | WARNING | a poll for several assets failed | *retry*, `assets`, their number |
| `download.retry` | WARNING | the download of a relayed URL broke off | *retry*, `offset` |
| `processing.retry` | WARNING | the server is asked to process again | *retry* |
| `asset.deleted` | INFO | a useless asset was deleted | |
| `asset.not_deleted` | WARNING | a useless asset could not be deleted | `reason` |
| `requests.paused` | WARNING | a 429 or 503 pauses the client | `delay`, `pauses` |
| `requests.resumed` | INFO | a request succeeds after a pause | `pauses` |
| `source.repeated` | INFO | a call names one file twice | |
| `source.not_probed` | DEBUG | `probe` can't tell what a file is | `error` |
| `journal.not_written` | WARNING | the end of an upload isn't recorded | `reason` |
| `journal.unreadable` | WARNING | a record is skipped | `path`, `reason` |
| `response.failed` | ERROR | a handler's error is a 5xx | `error`, `reason`, `status_code` |
| `descriptors.exhausted` | WARNING | fewer uploads run at once | |
| `proxy.entry_ignored` | WARNING | an entry of `NO_PROXY` is invalid | `entry`, its number |

- *end*: `attempts`, `length`, `seconds`
- *retry*: `attempt`, `attempts`, `delay`, `livepeer_request_id`, `reason`, and `status_code`, which
  is None without a response
- *chunk*: `bytes`, `command`, `offset`, `seconds`, `status_code`
- *response*: `livepeer_request_id`, `place`, the method and the URL without secrets, `seconds`, and
  `status_code`

`length`, `offset` and `bytes` are in bytes, `seconds` and `delay` in seconds. `command` is
`create`, `send chunk`, or `put` in a direct upload. The last two events have loggers below
`livepeer_async`.

# Spans

If the application has imported OpenTelemetry (`opentelemetry.trace`) when an upload starts, the
tracer `livepeer_async` records

- `upload`: from the request for an asset to the end, in the application's current span. Retries
  are its events `retry`, with attributes `livepeer.retry.*`.
- `creation`: the request that creates the tus upload; it has all bytes of a small file.
- `chunk`: each other request with bytes; of a direct upload, each PUT.
  `http.request.resend_count` counts its failures so far.
- `wait`: for the server to complete the upload, or to process the asset; also in `assets.wait`.

Attributes are `livepeer.asset.id`, `livepeer.upload.key`, `.source`, `.length`, `.attempts`,
`.offset` and `.outcome` (`succeeded`, `failed`, `stopped`, `aborted`, `cancelled`),
`livepeer.wait.for`, `http.request.method`, `http.request.body.size`, `http.response.status_code`
and `error.type`; none has a URL. An error sets the status and adds an `exception` event without a
stack trace. Applications without OpenTelemetry pay for a look-up in `sys.modules` per upload.

# Hooks

The integrations of OpenTelemetry and Sentry for httpx see the requests of a client that is passed
as `http_client`, and those through a proxy. Upload URLs are bearer secrets, and these integrations
export them unless hooks remove them:

    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    HTTPXClientInstrumentor().instrument(async_request_hook=redact_request)

    import sentry_sdk

    sentry_sdk.init(
        before_breadcrumb=redact_event,
        before_send=redact_event,
        before_send_transaction=redact_event,
    )

Of an upload URL of another tus server, only the requests themselves show that it is a secret:
breadcrumbs are redacted, but Sentry's transactions are assembled later and keep its path.
`livepeer_async.redact` is for your own logs.
"""

from livepeer_async.telemetry.events import EVENTS, LogEvent
from livepeer_async.telemetry.hooks import redact_event, redact_request

__all__ = ["EVENTS", "LogEvent", "redact_event", "redact_request"]
