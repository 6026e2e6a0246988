"""Compares a ready asset with the bytes that were read.

`asset.size` is the size of the stored source as ffprobe saw it: absent or 0 if unknown, and that of
the decrypted file with `encryption`. Livepeer's current pipeline doesn't set `asset.hash`, so a
comparison by hash is often impossible.
"""

from __future__ import annotations

from enum import StrEnum

from livepeer_async.errors import IntegrityError
from livepeer_async.models import Asset


class Verified(StrEnum):
    """The comparison that verified the stored bytes."""

    SIZE = "size"
    HASH = "hash"
    NOT_PROVABLE = "not provable"


def verify_asset(
    asset: Asset, *, length: int, sha256: str | None = None, is_encrypted: bool = False
) -> Verified:
    """Compare a ready asset with the bytes read.

    Args:
        asset: the ready asset.
        length: number of bytes read.
        sha256: their SHA-256 in hex; with it, the result is HASH or NOT_PROVABLE.
        is_encrypted: whether the server decrypts, and so stores other bytes.

    Raises:
        IntegrityError: size or hash differ.
    """
    if is_encrypted:
        return Verified.NOT_PROVABLE
    if asset.size and asset.size != length:
        raise IntegrityError(
            f"asset {asset.id} has {asset.size} bytes, not {length} as read: its content is wrong",
            asset_id=asset.id,
            wanted=length,
            found=asset.size,
        )
    if sha256 is None:
        return Verified.SIZE if asset.size else Verified.NOT_PROVABLE
    stored = _stored_sha256(asset)
    if stored is None:
        return Verified.NOT_PROVABLE
    if stored != sha256.lower():
        raise IntegrityError(
            f"asset {asset.id} has the SHA-256 {stored}, not {sha256} as read: its content is "
            "wrong",
            asset_id=asset.id,
            wanted=sha256,
            found=stored,
        )
    return Verified.HASH


def _stored_sha256(asset: Asset) -> str | None:
    for entry in asset.hash or ():
        if entry.hash and (entry.algorithm or "").lower().replace("-", "") == "sha256":
            return entry.hash.lower()
    return None
