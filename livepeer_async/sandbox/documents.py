"""Assets and tasks, and their JSON documents."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from livepeer_async.sandbox.accounts import User
from livepeer_async.sandbox.lifecycle import Status, Step, find_step
from livepeer_async.sandbox.responses import JsonObject, sort_fields

# From this progress on the source can be played.
SOURCE_PLAYABLE = 0.5

# The same for every video; only size, duration and hashes depend on the bytes that arrived.
BITRATE = 413_132
TRACKS = [
    {
        "type": "video",
        "codec": "h264",
        "fps": 30,
        "width": 1280,
        "height": 720,
        "bitrate": 358_123,
        "pixelFormat": "yuv420p",
    },
    {"type": "audio", "codec": "aac", "channels": 2, "sampleRate": 44_100, "bitrate": 55_009},
]


class Source(Struct, frozen=True):
    """A stored source."""

    path: Path
    size: int
    sha256: str | None = None
    md5: str | None = None

    def describe_hashes(self) -> JsonObject:
        """Return the field `hash`, or nothing without hashes."""
        digests = [(self.sha256, "sha256"), (self.md5, "md5")]
        hashes = [{"hash": digest, "algorithm": name} for digest, name in digests if digest]
        return {"hash": hashes} if hashes else {}

    def describe_video(self, *, with_tracks: bool) -> JsonObject:
        """Return the `videoSpec`."""
        duration = round(self.size * 8 / BITRATE, 4)
        spec: JsonObject = {"format": "mp4", "duration": duration, "bitrate": BITRATE}
        return {**spec, "tracks": TRACKS} if with_tracks else spec


class Task(Struct, kw_only=True):
    """A task.

    Attributes:
        kind: its type: `upload`, `import` or `export`.
        steps: shared with the asset that the task makes.
        scheduled_at: when it is queued, which may be a moment later than now.
    """

    id: str
    kind: str
    params: JsonObject
    user: User
    created_at: float
    asset_id: str
    steps: list[Step]
    scheduled_at: float | None = None
    source: Source | None = None

    def status(self, now: float) -> Status:
        """Return the current status."""
        return find_step(self.steps, now).task


class Asset(Struct, kw_only=True):
    """An asset, its task and its source.

    Attributes:
        fields: the client's fields, with the API's names, as the server normalised them.
        steps: shared with the task.
        modified_at: when a client last changed the asset.
        is_complete: whether its upload has ended.
        path: the file of the source.
        source: the source, once it was measured.
        runs: how often its processing was begun or replaced.
    """

    id: str
    playback_id: str
    user: User
    created_at: float
    fields: JsonObject
    steps: list[Step]
    task: Task
    is_deleted: bool = False
    modified_at: float = 0.0
    is_complete: bool = False
    path: Path | None = None
    source: Source | None = None
    runs: int = 0

    @property
    def name(self) -> str:
        """The name, empty if there is none."""
        return str(self.fields.get("name", ""))

    def status(self, now: float) -> Status:
        """Return the current status."""
        return find_step(self.steps, now).asset

    def updated_at(self, now: float) -> float:
        """Return when the status last changed."""
        return max(self.status(now).at, self.modified_at)


class SeenAsset(Struct, frozen=True):
    """An asset on the server.

    Attributes:
        phase: the current phase, such as `uploading` or `ready`.
        is_deleted: whether a client has deleted it.
        size: the size that the API reports, in bytes; None before processing has ended.
    """

    id: str
    playback_id: str
    task_id: str
    name: str
    phase: str
    is_deleted: bool
    size: int | None


def see_asset(asset: Asset, now: float) -> SeenAsset:
    """Return what tests see of an asset."""
    return SeenAsset(
        id=asset.id,
        playback_id=asset.playback_id,
        task_id=asset.task.id,
        name=asset.name,
        phase=asset.status(now).phase,
        is_deleted=asset.is_deleted,
        size=asset.source.size if asset.source else None,
    )


def to_milliseconds(seconds: float) -> int:
    """Return a time as the API shows it."""
    return int(seconds * 1000)


def describe_new_asset(asset: Asset, now: float) -> JsonObject:
    """Return the document of a new asset, with its fields in the order of request-upload."""
    fields = asset.fields
    document: JsonObject = {
        "id": asset.id,
        "playbackId": asset.playback_id,
        "userId": asset.user.id,
        "createdAt": to_milliseconds(asset.created_at),
        "createdByTokenName": asset.user.key_name,
        "status": _describe_status(asset.status(now), asset.updated_at(now)),
    }
    document.update({k: fields[k] for k in ("name", "source", "profiles") if k in fields})
    document["projectId"] = asset.user.project_id
    later = ("creatorId", "playbackPolicy", "storage")
    document.update({k: fields[k] for k in later if k in fields})
    return document


def describe_asset(
    asset: Asset, now: float, *, origin: str, with_tracks: bool = False
) -> JsonObject:
    """Return the document of an asset in the responses of GET and PATCH."""
    document = describe_new_asset(asset, now)
    status = asset.status(now)
    media_url = make_media_url(asset, origin)
    if status.phase == "ready" and asset.source is not None:
        document["size"] = asset.source.size
        document["videoSpec"] = asset.source.describe_video(with_tracks=with_tracks)
        document.update(asset.source.describe_hashes())
    document = sort_fields(document)
    if status.phase == "ready":
        document["downloadUrl"] = f"{media_url}/video/download.mp4"
    if is_playable(status):
        document["playbackUrl"] = f"{media_url}/index.m3u8"
    return document


def describe_task(task: Task, now: float) -> JsonObject:
    """Return the document of a task."""
    status = task.status(now)
    document: JsonObject = {
        "id": task.id,
        "type": task.kind,
        "params": {task.kind: task.params},
        "status": _describe_status(status, status.at),
        "userId": task.user.id,
        "createdAt": to_milliseconds(task.created_at),
        "projectId": task.user.project_id,
        "outputAssetId": task.asset_id,
    }
    if task.kind == "export":
        document["inputAssetId"] = document.pop("outputAssetId")
    if task.scheduled_at is not None and task.scheduled_at <= now:
        document["scheduledAt"] = to_milliseconds(task.scheduled_at)
    if status.phase == "completed" and task.source is not None:
        document["output"] = {task.kind: {"assetSpec": _describe_output(task.source)}}
    return sort_fields(document)


def describe_playback(asset: Asset, origin: str) -> JsonObject:
    """Return the playback document of a playable asset."""
    meta: JsonObject = {}
    if "playbackPolicy" in asset.fields:
        meta["playbackPolicy"] = asset.fields["playbackPolicy"]
    meta["source"] = [
        {
            "hrn": "HLS (TS)",
            "type": "html5/application/vnd.apple.mpegurl",
            "url": f"{make_media_url(asset, origin)}/index.m3u8",
        }
    ]
    return {"type": "vod", "meta": meta}


def is_playable(status: Status) -> bool:
    """Whether an asset can be played."""
    if status.phase == "ready":
        return True
    return status.phase == "processing" and (status.progress or 0) >= SOURCE_PLAYABLE


def is_public(policy: Any) -> bool:
    """Whether a playback policy makes an asset public; assets without one are."""
    return policy is None or policy.get("type") == "public"


def make_media_url(asset: Asset, origin: str) -> str:
    """Return the base URL of an asset's media."""
    bucket = "catalyst/hls" if is_public(asset.fields.get("playbackPolicy")) else "private"
    return f"{origin}/{bucket}/{asset.playback_id}"


def _describe_status(status: Status, updated_at: float) -> JsonObject:
    document: JsonObject = {"phase": status.phase}
    if status.retries is not None:
        document["retries"] = status.retries
    if status.progress is not None:
        document["progress"] = status.progress or 0
    document["updatedAt"] = to_milliseconds(updated_at)
    if status.error is not None:
        document["errorMessage"] = status.error
    return document


def _describe_output(source: Source) -> JsonObject:
    return {
        "name": source.path.name,
        "size": source.size,
        "type": "video",
        **source.describe_hashes(),
        "videoSpec": source.describe_video(with_tracks=True),
    }
