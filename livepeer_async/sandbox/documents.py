"""Assets and tasks as the sandbox keeps them, and the JSON documents about them."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from livepeer_async.sandbox.accounts import User
from livepeer_async.sandbox.lifecycle import Status, Step, find_step
from livepeer_async.sandbox.responses import JsonObject, sort_fields

# From this progress on the source itself can be played.
SOURCE_PLAYABLE = 0.5

# What the server says of every video; only size and hashes describe the bytes that arrived.
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
    """What arrived: the stored source, described."""

    path: Path
    size: int
    sha256: str | None = None
    md5: str | None = None

    def list_hashes(self) -> list[JsonObject]:
        """Return the hashes as the API shows them."""
        found = [(self.sha256, "sha256"), (self.md5, "md5")]
        return [{"hash": digest, "algorithm": name} for digest, name in found if digest]

    def describe_video(self, *, with_tracks: bool) -> JsonObject:
        """Return the `videoSpec`."""
        duration = round(self.size * 8 / BITRATE, 4)
        spec: JsonObject = {"format": "mp4", "duration": duration, "bitrate": BITRATE}
        return {**spec, "tracks": TRACKS} if with_tracks else spec


class Task(Struct, kw_only=True):
    """A task: of the type `upload`, `import` or `export`.

    Attributes:
        steps: Shared with the asset that the task makes.
        scheduled_at: When it was queued; a time to come while the server still finishes.
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
        """Return the status in force."""
        return find_step(self.steps, now).task


class Asset(Struct, kw_only=True):
    """An asset, its task and what arrived for it.

    Attributes:
        fields: What the client asked for, with the API's names, as the server normalised it.
        steps: Shared with the task.
        touched_at: When the asset was changed by hand last.
        is_complete: Whether its upload has ended.
        path: The file with what arrived.
        source: What arrived, once it was described.
    """

    id: str
    playback_id: str
    user: User
    created_at: float
    fields: JsonObject
    steps: list[Step]
    task: Task
    is_deleted: bool = False
    touched_at: float = 0.0
    is_complete: bool = False
    path: Path | None = None
    source: Source | None = None

    @property
    def name(self) -> str:
        """The name, empty where the asset has none."""
        return str(self.fields.get("name", ""))

    def status(self, now: float) -> Status:
        """Return the status in force."""
        return find_step(self.steps, now).asset

    def updated_at(self, now: float) -> float:
        """Return when the status last changed."""
        return max(self.status(now).at, self.touched_at)


def to_millis(seconds: float) -> int:
    """Return a time as the API writes it."""
    return int(seconds * 1000)


def describe_new_asset(asset: Asset, now: float) -> JsonObject:
    """Return the document of an asset that was just made, in the order of request-upload."""
    fields = asset.fields
    document: JsonObject = {
        "id": asset.id,
        "playbackId": asset.playback_id,
        "userId": asset.user.id,
        "createdAt": to_millis(asset.created_at),
        "createdByTokenName": asset.user.key_name,
        "status": _describe_asset_status(asset, now),
    }
    document.update({k: fields[k] for k in ("name", "source", "profiles") if k in fields})
    document["projectId"] = asset.user.project_id
    later = ("creatorId", "playbackPolicy", "storage")
    document.update({k: fields[k] for k in later if k in fields})
    return document


def describe_asset(
    asset: Asset, now: float, *, origin: str, with_tracks: bool = False
) -> JsonObject:
    """Return the document of an asset as GET answers it."""
    document = describe_new_asset(asset, now)
    status = asset.status(now)
    folder = media_folder(asset, origin)
    if status.phase == "ready" and asset.source is not None:
        document["size"] = asset.source.size
        document["videoSpec"] = asset.source.describe_video(with_tracks=with_tracks)
        hashes = asset.source.list_hashes()
        document.update({"hash": hashes} if hashes else {})
    document = sort_fields(document)
    if status.phase == "ready":
        document["downloadUrl"] = f"{folder}/video/download.mp4"
    if is_playable(status):
        document["playbackUrl"] = f"{folder}/index.m3u8"
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
        "createdAt": to_millis(task.created_at),
        "projectId": task.user.project_id,
        "outputAssetId": task.asset_id,
    }
    if task.kind == "export":
        document["inputAssetId"] = document.pop("outputAssetId")
    if task.scheduled_at is not None and task.scheduled_at <= now:
        document["scheduledAt"] = to_millis(task.scheduled_at)
    if status.phase == "completed" and task.source is not None:
        document["output"] = {task.kind: {"assetSpec": _describe_output(task.source)}}
    return sort_fields(document)


def describe_playback(asset: Asset, origin: str) -> JsonObject:
    """Return the playback document of an asset that can be played."""
    meta: JsonObject = {}
    if "playbackPolicy" in asset.fields:
        meta["playbackPolicy"] = asset.fields["playbackPolicy"]
    meta["source"] = [
        {
            "hrn": "HLS (TS)",
            "type": "html5/application/vnd.apple.mpegurl",
            "url": f"{media_folder(asset, origin)}/index.m3u8",
        }
    ]
    return {"type": "vod", "meta": meta}


def is_playable(status: Status) -> bool:
    """Whether there is something to play."""
    if status.phase == "ready":
        return True
    return status.phase == "processing" and (status.progress or 0) >= SOURCE_PLAYABLE


def is_public(policy: Any) -> bool:
    """Whether a playback policy leaves the asset public; none does."""
    return policy is None or policy.get("type") == "public"


def media_folder(asset: Asset, origin: str) -> str:
    """Return the URL below which an asset's media are served."""
    bucket = "catalyst/hls" if is_public(asset.fields.get("playbackPolicy")) else "private"
    return f"{origin}/{bucket}/{asset.playback_id}"


def _describe_asset_status(asset: Asset, now: float) -> JsonObject:
    return _describe_status(asset.status(now), asset.updated_at(now))


def _describe_status(status: Status, updated_at: float) -> JsonObject:
    document: JsonObject = {"phase": status.phase}
    if status.retries is not None:
        document["retries"] = status.retries
    if status.progress is not None:
        document["progress"] = status.progress or 0
    document["updatedAt"] = to_millis(updated_at)
    if status.error is not None:
        document["errorMessage"] = status.error
    return document


def _describe_output(source: Source) -> JsonObject:
    document: JsonObject = {"name": source.path.name, "size": source.size, "type": "video"}
    hashes = source.list_hashes()
    document.update({"hash": hashes} if hashes else {})
    document["videoSpec"] = source.describe_video(with_tracks=True)
    return document
