"""Compares a ready asset with the bytes that were uploaded.

`asset.size` is the size of the stored source as ffprobe saw it: absent or 0 if unknown, and that of
the decrypted file with `encryption`. Livepeer's current pipeline doesn't set `asset.hash`, so a
comparison by hash is often impossible.
"""

from __future__ import annotations

from enum import StrEnum

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import ConfigurationError, IntegrityError
from livepeer_async.models import Asset
from livepeer_async.redaction import abbreviate

_SHA256 = deferred_pattern(r"[0-9a-fA-F]{64}")


class Verified(StrEnum):
    """The comparison that verified the stored bytes."""

    SIZE = "size"
    HASH = "hash"
    NOT_PROVABLE = "not provable"


def verify_asset(
    asset: Asset,
    *,
    length: int | None,
    sha256: str | None = None,
    is_encrypted: bool = False,
) -> Verified:
    """Compare a ready asset with the bytes that were uploaded.

    Args:
        asset: the ready asset.
        length: number of bytes; `None` if only the SHA-256 is known.
        sha256: their SHA-256 in hex; with it, the result is HASH or NOT_PROVABLE.
        is_encrypted: whether the server decrypts, and so stores other bytes.

    Raises:
        IntegrityError: size or hash differ.
    """
    if is_encrypted:
        return Verified.NOT_PROVABLE
    if length is not None and asset.size and asset.size != length:
        raise IntegrityError(
            f"asset {asset.id} has {asset.size} bytes; wanted {length}: its content is wrong",
            asset_id=asset.id,
            wanted=length,
            found=asset.size,
        )
    if sha256 is None:
        return Verified.SIZE if length is not None and asset.size else Verified.NOT_PROVABLE
    stored = _stored_sha256(asset)
    if stored is None:
        return Verified.NOT_PROVABLE
    if stored != sha256.lower():
        raise IntegrityError(
            f"asset {asset.id} has the SHA-256 {stored}; wanted {sha256}: its content is wrong",
            asset_id=asset.id,
            wanted=sha256,
            found=stored,
        )
    return Verified.HASH


def check_expected(length: object, sha256: object) -> None:
    """Check what a caller wants an asset to be compared with.

    Raises:
        ConfigurationError: `length` isn't a number of bytes above 0, or `sha256` no SHA-256.
    """
    if length is not None and (type(length) is not int or length < 1):
        raise ConfigurationError(f"length is {abbreviate(length)!r}; wanted bytes, at least 1")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ConfigurationError(f"sha256 is {abbreviate(sha256)!r}; wanted 64 hex digits")


def _stored_sha256(asset: Asset) -> str | None:
    for entry in asset.hash or ():
        if entry.hash and (entry.algorithm or "").lower().replace("-", "") == "sha256":
            return entry.hash.lower()
    return None
