"""Live streams and their sessions, as webhook events have them."""

from __future__ import annotations

from livepeer_async.models.asset_fields import CreatorId, PlaybackPolicy
from livepeer_async.models.model import Model
from livepeer_async.models.values import RecordingStatusValue
from livepeer_async.redaction import redact_url, redacted


@redacted()
class Stream(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A live stream; events have it without its stream key.

    Attributes:
        id: the stream's ID.
        name: any string.
        creator_id: creator of the stream.
        user_tags: tags that the user has given.
        is_active: whether it is live.
        is_healthy: whether it is without issues; None if unknown.
        issues: descriptions of what affects it.
        last_seen: milliseconds since 1970.
        last_terminated_at: milliseconds since 1970.
        created_at: milliseconds since 1970.
        created_by_token_name: name of the API key that created it.
        parent_id: stream that this one belongs to.
        playback_id: ID for players.
        playback_policy: access control.
        project_id: project that owns the stream.
        record: whether it is recorded.
        suspended: whether it is suspended.

    Source: schema `stream`; `webhooks.WebhookEvent.payload` has its other fields.
    """

    id: str
    name: str | None = None
    creator_id: CreatorId | None = None
    user_tags: dict[str, object] | None = None
    is_active: bool | None = None
    is_healthy: bool | None = None
    issues: tuple[str, ...] | None = None
    last_seen: int | None = None
    last_terminated_at: int | None = None
    created_at: int | None = None
    created_by_token_name: str | None = None
    parent_id: str | None = None
    playback_id: str | None = None
    playback_policy: PlaybackPolicy | None = None
    project_id: str | None = None
    record: bool | None = None
    suspended: bool | None = None


@redacted(recording_url=redact_url, mp4_url=redact_url)
class StreamSession(Model, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A session of a live stream. The repr shows URLs without userinfo and query.

    Attributes:
        id: the session's ID.
        name: name of the stream.
        parent_id: ID of the stream.
        is_healthy: whether it is without issues; None if unknown.
        issues: descriptions of what affects it.
        last_seen: milliseconds since 1970.
        created_at: milliseconds since 1970.
        source_segments_duration: seconds of source received.
        source_bytes: bytes of source received.
        playback_id: ID for players.
        project_id: project that owns the session.
        record: whether it is recorded.
        recording_status: one of `RecordingStatus`. In the event `recording.waiting` it already says
            `ready`.
        recording_url: HLS URL of the recording.
        mp4_url: URL of the recording as MP4.
        asset_id: asset of the recording, in the event `recording.ready`.

    Source: schema `session`; `asset_id` as the server's `task/scheduler.ts` sends it.
    """

    id: str
    name: str | None = None
    parent_id: str | None = None
    is_healthy: bool | None = None
    issues: tuple[str, ...] | None = None
    last_seen: int | None = None
    created_at: int | None = None
    source_segments_duration: float | None = None
    source_bytes: int | None = None
    playback_id: str | None = None
    project_id: str | None = None
    record: bool | None = None
    recording_status: RecordingStatusValue | None = None
    recording_url: str | None = None
    mp4_url: str | None = None
    asset_id: str | None = None
