"""Types in the signatures of the client; imported when a program evaluates its annotations.

`typing.get_type_hints` looks for the names of annotations in the module of a function. There,
`types.Asset` imports this module, and `import livepeer_async` needn't.
"""

from livepeer_async.api.arguments import NewAssetLike
from livepeer_async.api.session import Session
from livepeer_async.http.messages import Response
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.journal.journal import Journal
from livepeer_async.models import Asset
from livepeer_async.probing.probe import Probe
from livepeer_async.resources import Assets, Playback, Tasks, Webhooks
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.sources.source import SourceLike
from livepeer_async.tus.limits import ServerLimits
from livepeer_async.uploads.leftovers import Leftover, LeftoverReport
from livepeer_async.uploads.options import (
    Method,
    OnMismatch,
    ResumeArguments,
    UploadArguments,
    UploadJob,
    UploadOutcome,
    Verify,
)
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.unfinished import UnfinishedUpload
from livepeer_async.uploads.upload import Upload
from livepeer_async.uploads.uploader import Uploader
from livepeer_async.webhooks.events import WebhookEvent

__all__ = [
    "Asset",
    "Assets",
    "Journal",
    "Leftover",
    "LeftoverReport",
    "Method",
    "NewAssetLike",
    "OnMismatch",
    "Playback",
    "Probe",
    "Progress",
    "Response",
    "ResumeArguments",
    "RetryPolicy",
    "ServerLimits",
    "Session",
    "SourceLike",
    "Tasks",
    "Throttle",
    "Timeouts",
    "UnfinishedUpload",
    "Upload",
    "UploadArguments",
    "UploadJob",
    "UploadOutcome",
    "Uploader",
    "Verify",
    "WebhookEvent",
    "Webhooks",
]
