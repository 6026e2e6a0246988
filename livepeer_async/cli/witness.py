"""The demonstration's witnesses: what each of them says about a video, and about the broken line.

In come a file, the client's result, the sandbox's answers, its store and its record of requests;
out come facts that were measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from livepeer_async.models import Asset
from livepeer_async.sandbox import Sandbox, SeenRequest
from livepeer_async.uploads.upload import UploadResult


class Content(Struct, frozen=True):
    """What tells content apart; `None` for what a witness doesn't know."""

    size: int | None
    sha256: str | None


class Cut(Struct, frozen=True):
    """A connection that broke in the middle of a PATCH, as the server's record shows it.

    Attributes:
        at: offset up to which the server had read when it broke.
        asked: whether the client then asked for the offset, and was answered.
        went_on_at: offset of the next PATCH; `None` where none came yet.
    """

    at: int
    asked: bool
    went_on_at: int | None


def find_cut(requests: Sequence[SeenRequest]) -> Cut | None:
    """Find the PATCH that a fault cut, and what came after it on the same upload URL."""
    struck = (r for r in requests if r.method == "PATCH" and r.fault and r.is_over)
    cut = next(struck, None)
    if cut is None:
        return None
    later = [r for r in requests if r.path == cut.path and r.at > cut.at]
    patches = [r for r in later if r.method == "PATCH"]
    return Cut(
        at=_offset(cut) + cut.received,
        asked=any(r.method == "HEAD" and r.status == 200 for r in later),  # noqa: PLR2004 - HTTP's own
        went_on_at=_offset(patches[0]) if patches else None,
    )


class Evidence(Struct, frozen=True):
    """What the witnesses say about one video.

    Attributes:
        said: by witness.
    """

    said: dict[str, Content]

    @property
    def is_unanimous(self) -> bool:
        """Whether all witnesses know, and say the same."""
        contents = list(self.said.values())
        is_known = None not in (contents[0].size, contents[0].sha256)
        return is_known and all(content == contents[0] for content in contents)

    def differences(self) -> list[str]:
        """Say what each of them said, where they aren't of one mind."""
        if self.is_unanimous:
            return []
        return [
            f"{witness} has {content.size} bytes and the SHA-256 {content.sha256}"
            for witness, content in self.said.items()
        ]


def hear_witnesses(path: Path, result: UploadResult, asset: Asset, sandbox: Sandbox) -> Evidence:
    """Ask all witnesses about one video.

    Args:
        path: the file that was uploaded, hashed once more for this.
        result: what the client read while it sent.
        asset: the asset, as the sandbox describes it.
        sandbox: asked for the bytes that it stored.
    """
    with path.open("rb") as file:
        on_disk = hashlib.file_digest(file, "sha256").hexdigest()
    playback_id = asset.playback_id or ""
    stored = sandbox.stored(playback_id)
    return Evidence(
        {
            "the file": Content(path.stat().st_size, on_disk),
            "what was read of it": Content(result.length, result.sha256),
            "the asset": Content(asset.size, _sha256_of(asset)),
            "the store": Content(
                stored.stat().st_size if stored else None, sandbox.stored_sha256(playback_id)
            ),
        }
    )


def _offset(patch: SeenRequest) -> int:
    return int(patch.headers.get("upload-offset", "0"))


def _sha256_of(asset: Asset) -> str | None:
    return next((entry.hash for entry in asset.hash or () if entry.algorithm == "sha256"), None)
