"""Details of an asset, as fields or as JSON."""

from __future__ import annotations

from livepeer_async.cli.output.console import print_fields, print_json
from livepeer_async.cli.output.formatting import format_percent, format_size, format_timestamp
from livepeer_async.cli.output.links import link_to
from livepeer_async.cli.output.report import asset_document
from livepeer_async.models import Asset
from livepeer_async.redaction import redact

UNKNOWN = "-"


def print_asset(asset: Asset, *, json: bool) -> None:
    """Print an asset."""
    if json:
        print_json(asset_document(asset))
        return
    size = f"{format_size(asset.size)} ({asset.size:,} bytes)" if asset.size else UNKNOWN
    fields = [
        ("asset ID", asset.id),
        ("playback ID", asset.playback_id or UNKNOWN),
        ("phase", format_phase(asset)),
        ("size", size),
        ("created", format_created(asset)),
    ]
    fields += _changeable_fields(asset)
    fields += [(entry.algorithm or "hash", entry.hash or UNKNOWN) for entry in asset.hash or ()]
    link = link_to(asset.player_url)
    if link:
        fields.append(("link", link))
    if asset.playback_url:
        fields.append(("HLS URL", asset.playback_url))
    if asset.status and asset.status.error_message:
        fields.append(("error", redact(asset.status.error_message)))
    print_fields(asset.name or "(no name)", fields)


def _changeable_fields(asset: Asset) -> list[tuple[str, str]]:
    """Return what `assets update` can change, beside the name, as far as it is set."""
    fields: list[tuple[str, str]] = []
    if asset.creator_id is not None:
        fields.append(("creator ID", asset.creator_id.value))
    policy = asset.playback_policy
    if policy is not None and not policy.is_public:
        fields.append(("playback policy", policy.type or "unknown policy"))
    storage = asset.storage
    if storage is not None and storage.ipfs is not None and storage.ipfs.spec is not None:
        phase = storage.status.phase if storage.status else None
        fields.append(("IPFS", storage.ipfs.url or storage.ipfs.cid or phase or "requested"))
    return fields


def format_phase(asset: Asset) -> str:
    """Format the phase and its progress."""
    progress = asset.status.progress if asset.status else None
    percent = f" {format_percent(progress)}" if progress is not None else ""
    return f"{asset.phase or UNKNOWN}{percent}"


def format_created(asset: Asset) -> str:
    """Format the time of creation."""
    return format_timestamp(asset.created_at / 1000 if asset.created_at is not None else None)
