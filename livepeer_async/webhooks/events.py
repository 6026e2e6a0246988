"""Events that Livepeer sends to webhooks, as Structs. Pure."""

from __future__ import annotations

from typing import Any

from livepeer_async.models import Asset, Stream, StreamSession, Task
from livepeer_async.models.model import Model
from livepeer_async.models.values import EventNameValue
from livepeer_async.redaction import mask, redact_url, redacted


@redacted(payload=mask)
class WebhookEvent(Model, frozen=True, kw_only=True):
    """An event of any name; the classes below add what their events have.

    Attributes:
        id: ID of the event. It is the same in each delivery, also to other webhooks: an event may
            arrive several times.
        event: name of the event, see `EventName`. It counts, not the phase of a snapshot.
        webhook_id: webhook that the event was sent to.
        created_at: when it happened, in milliseconds since 1970.
        timestamp: when this delivery was signed, in milliseconds since 1970.
        stream: the stream, in events of a stream.
        payload: JSON value of the payload, of an event without a class of its own. The repr doesn't
            show it.
    """

    id: str
    event: EventNameValue
    webhook_id: str | None = None
    created_at: int | None = None
    timestamp: int
    stream: Stream | None = None
    payload: Any = None


@redacted()
class AssetEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event `asset.created`, `.updated`, `.ready`, `.failed` or `.deleted`.

    Attributes:
        asset: a snapshot. In `asset.ready` it is whole, as from `assets.get(id, details=True)`. In
            `asset.created` it is incomplete, and in `asset.deleted` as it was before.
    """

    asset: Asset


@redacted()
class TaskEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event `task.spawned`, `.updated`, `.completed` or `.failed`.

    Attributes:
        task: a snapshot; `task.output_asset_id` is the asset that it makes. When an upload is
            complete, its task leaves the phase `pending`; the asset has no event for this.
        success: whether the task has succeeded, in `task.completed` and `task.failed`.
    """

    task: Task
    success: bool | None = None


@redacted()
class StreamEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event `stream.started` or `stream.idle`; `stream` is the stream."""


class SceneClass(Model, frozen=True, kw_only=True):
    """A class of content, such as `soccer`, and its probability, 0 to 1."""

    name: str | None = None
    probability: float | None = None


@redacted()
class DetectionEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event `stream.detection`: what a segment of a stream shows.

    Attributes:
        seq_no: number of the segment.
        scene_classification: the detected classes.
    """

    seq_no: int | None = None
    scene_classification: tuple[SceneClass, ...] = ()


@redacted(recording_url=redact_url, mp4_url=redact_url)
class RecordingEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event `recording.started`, `.waiting` or `.ready`.

    Attributes:
        session: the recorded session.
        recording_url: HLS URL, in `recording.ready`.
        mp4_url: URL of the MP4, in `recording.ready`.
    """

    session: StreamSession
    recording_url: str | None = None
    mp4_url: str | None = None


class MultistreamTarget(Model, frozen=True, kw_only=True):
    """A target that a stream is pushed to: its ID, its name, and the profile that is sent."""

    id: str | None = None
    name: str | None = None
    profile: str | None = None


@redacted()
class MultistreamEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event `multistream.connected`, `.error` or `.disconnected`; `target` is the target."""

    target: MultistreamTarget
