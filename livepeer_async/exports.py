"""Public names of `livepeer_async` beside those of `errors` and `models`, imported with them."""

from livepeer_async.client import AsyncLivepeer
from livepeer_async.http.messages import Response
from livepeer_async.http.observers import WaitEvent, observe_requests
from livepeer_async.http.retry import RetryEvent, RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.polling.verify import Verified
from livepeer_async.polling.waiter import WaitResult
from livepeer_async.probing.probe import Probe
from livepeer_async.redaction import redact
from livepeer_async.tus.limits import ServerLimits, livepeer_limits
from livepeer_async.uploads.leftovers import Leftover, LeftoverReport
from livepeer_async.uploads.options import UploadJob, UploadResult
from livepeer_async.uploads.progress import Progress, Stage
from livepeer_async.uploads.unfinished import UnfinishedUpload
from livepeer_async.uploads.upload import Upload
from livepeer_async.version import __version__
from livepeer_async.webhooks import (
    AssetEvent,
    DetectionEvent,
    MultistreamEvent,
    MultistreamTarget,
    RecordingEvent,
    SceneClass,
    StreamEvent,
    TaskEvent,
    WebhookEvent,
)

__all__ = [
    "AssetEvent",
    "AsyncLivepeer",
    "DetectionEvent",
    "Leftover",
    "LeftoverReport",
    "MultistreamEvent",
    "MultistreamTarget",
    "Probe",
    "Progress",
    "RecordingEvent",
    "Response",
    "RetryEvent",
    "RetryPolicy",
    "SceneClass",
    "ServerLimits",
    "Stage",
    "StreamEvent",
    "TaskEvent",
    "Timeouts",
    "UnfinishedUpload",
    "Upload",
    "UploadJob",
    "UploadResult",
    "Verified",
    "WaitEvent",
    "WaitResult",
    "WebhookEvent",
    "__version__",
    "livepeer_limits",
    "observe_requests",
    "redact",
]
