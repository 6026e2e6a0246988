"""Decodes the body of an event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import AccessControlCall, DecodeError
from livepeer_async.models import Asset, Stream, StreamSession, Task
from livepeer_async.models.json_repair import decode_leniently
from livepeer_async.redaction import hides_variables, redact
from livepeer_async.webhooks.events import (
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

T = TypeVar("T")

ACCESS_CONTROL = "playback.accessControl"
_PATH = deferred_pattern(r"`\$([^`]*)`")


class Envelope(Struct, frozen=True, rename="camel"):
    """The body of an event, or of an access-control call, which has no name."""

    id: str | UnsetType = UNSET
    event: str | UnsetType = UNSET
    webhook_id: str | None = None
    created_at: int | None = None
    timestamp: int | UnsetType = UNSET
    stream: Raw | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET
    access_key: Raw | UnsetType = UNSET
    context: Raw | UnsetType = UNSET


class _AssetInfo(Struct, frozen=True):
    id: str
    snapshot: Asset


class _AssetPayload(Struct, frozen=True):
    # Webhooks created up to 2024-07-28 get the fields at the top, or in both places.
    asset: _AssetInfo | None = None
    id: str | None = None
    snapshot: Asset | None = None


class _TaskInfo(Struct, frozen=True):
    id: str
    snapshot: Task


class _TaskPayload(Struct, frozen=True):
    task: _TaskInfo
    success: bool | None = None


class _Detection(Struct, frozen=True, rename="camel"):
    seq_no: int | None = None
    scene_classification: tuple[SceneClass, ...] | None = None


class _Recording(Struct, frozen=True, rename="camel"):
    session: StreamSession
    recording_url: str | None = None
    mp4_url: str | None = None


class _Multistream(Struct, frozen=True):
    target: MultistreamTarget


@hides_variables
def decode_envelope(body: bytes) -> Envelope:
    """Decode a body without its payload.

    Raises:
        DecodeError: it isn't a JSON object with the fields of an event.
        AccessControlCall: it is another kind of call.
    """
    envelope: Envelope = _decode(body, Envelope, "$")
    is_call = envelope.event is UNSET and not (
        envelope.access_key is UNSET and envelope.context is UNSET
    )
    if is_call or envelope.event == ACCESS_CONTROL:
        raise AccessControlCall(f"the request is a {ACCESS_CONTROL} call, not an event")
    for name in ("id", "event", "timestamp"):
        if getattr(envelope, name) in {UNSET, ""}:
            raise _error(f"it has no `{name}`", f"$.{name}")
    return envelope


@hides_variables
def decode_event(envelope: Envelope) -> WebhookEvent:
    """Decode the payload of an event; one of an unknown name is kept as JSON.

    Raises:
        DecodeError: the payload isn't that of such an event.
    """
    name = cast("str", envelope.event)
    facts: dict[str, Any] = {
        "id": envelope.id,
        "event": name,
        "webhook_id": envelope.webhook_id,
        "created_at": envelope.created_at,
        "timestamp": envelope.timestamp,
        "stream": _decode_raw(envelope.stream, Stream | None, "$.stream"),
    }
    read = _READERS.get(name)
    return read(facts, envelope.payload) if read else _read_other(facts, envelope.payload)


def _read_asset(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    payload = _decode_raw(raw, _AssetPayload, "$.payload")
    info, place = payload.asset, "$.payload.asset"
    if info is None and payload.snapshot is not None:
        info, place = _AssetInfo(payload.id or payload.snapshot.id, payload.snapshot), "$.payload"
    if info is None:
        raise _error("it has no snapshot of an asset", place)
    _check_id(info, place)
    return AssetEvent(**facts, asset=info.snapshot)


def _read_task(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    payload = _decode_raw(raw, _TaskPayload, "$.payload")
    _check_id(payload.task, "$.payload.task")
    return TaskEvent(**facts, task=payload.task.snapshot, success=payload.success)


def _read_stream(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    if facts["stream"] is None:
        raise _error("it has no stream", "$.stream")
    return StreamEvent(**facts, payload=_decode_raw(raw, Any, "$.payload"))


def _read_detection(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    payload = _decode_raw(raw, _Detection, "$.payload")
    classes = payload.scene_classification or ()
    return DetectionEvent(**facts, seq_no=payload.seq_no, scene_classification=classes)


def _read_recording(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    payload = _decode_raw(raw, _Recording, "$.payload")
    urls = {"recording_url": payload.recording_url, "mp4_url": payload.mp4_url}
    return RecordingEvent(**facts, session=payload.session, **urls)


def _read_multistream(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    payload = _decode_raw(raw, _Multistream, "$.payload")
    return MultistreamEvent(**facts, target=payload.target)


def _read_other(facts: dict[str, Any], raw: Raw | UnsetType) -> WebhookEvent:
    return WebhookEvent(**facts, payload=_decode_raw(raw, Any, "$.payload"))


_READERS: dict[str, Callable[[dict[str, Any], Raw | UnsetType], WebhookEvent]] = {
    **dict.fromkeys(
        (f"asset.{it}" for it in ("created", "updated", "ready", "failed", "deleted")), _read_asset
    ),
    **dict.fromkeys(
        (f"task.{it}" for it in ("spawned", "updated", "completed", "failed")), _read_task
    ),
    **dict.fromkeys(("stream.started", "stream.idle"), _read_stream),
    "stream.detection": _read_detection,
    **dict.fromkeys((f"recording.{it}" for it in ("started", "waiting", "ready")), _read_recording),
    **dict.fromkeys(
        (f"multistream.{it}" for it in ("connected", "error", "disconnected")), _read_multistream
    ),
}


def _check_id(info: _AssetInfo | _TaskInfo, place: str) -> None:
    if info.id != info.snapshot.id:
        raise _error("its ID isn't that of its snapshot", f"{place}.snapshot.id")


@lru_cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    # Lax: JavaScript may write 1234567.0 for an integer.
    return msgspec.json.Decoder(kind, strict=False)


def _decode_raw(raw: Raw | UnsetType, kind: Any, place: str) -> Any:
    """Decode a part of the body; one that is absent counts as null."""
    return _decode(b"null" if raw is UNSET else bytes(raw), kind, place)


def _decode(body: bytes, kind: Any, place: str) -> Any:
    try:
        decoder = _decoder(cast("Hashable", kind))
        return decode_leniently(decoder.decode, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # Only the message is kept: the exception's attributes hold a part of the body.
        reason = str(error)
    found = _PATH.search(reason)
    path = place + (found[1] if found else "")
    raise _error(redact(reason.partition(" - at ")[0]), path)


def _error(reason: str, path: str) -> DecodeError:
    return DecodeError(f"the webhook event can't be decoded at {path}: {reason}", path=path)
