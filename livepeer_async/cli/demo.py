"""`livepeer-async demo`: uploads videos to the embedded sandbox and verifies the result.

The sandbox cuts one connection during the uploads. Afterwards the checksums of the file, the bytes
read, the asset and the stored object are compared; a mismatch sets the exit status. Every printed
figure is measured.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import anyio.to_thread
from msgspec import Struct
from rich.text import Text

from livepeer_async.cli.options import Storage
from livepeer_async.cli.output.console import (
    messages,
    output,
    print_error,
    print_table,
)
from livepeer_async.cli.output.display import show_progress
from livepeer_async.cli.output.error_messages import ExitStatus, Scope
from livepeer_async.cli.output.formatting import format_elapsed, format_size, pluralize
from livepeer_async.cli.output.progress import BatchProgress, FileProgress
from livepeer_async.cli.output.report import print_failures
from livepeer_async.cli.output.verbosity import VERBOSITY, Verbosity
from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.cli.upload_batch import UploadBatch
from livepeer_async.client import AsyncLivepeer
from livepeer_async.models import Asset
from livepeer_async.sandbox import CutConnection, Fault, On, Sandbox, SeenRequest
from livepeer_async.uploads.options import UploadResult

MIB = 1024 * 1024
# 0 stands for the clip itself; the others have two, three and five parts in the storage.
SIZES_MIB = (0, 9, 20, 34)
# The second PATCH of the longest video contains several parts; it is cut within one of them.
CUT_PATCH = 2
CUT_AFTER_BYTES = 5_000_000
# Long enough to be visible on a progress bar.
PROCESSING_SECONDS = 1.2


class Cut(Struct, frozen=True):
    """A connection that was cut during a PATCH, as recorded by the sandbox.

    Attributes:
        offset: bytes that the server had read.
        is_acknowledged: whether a later HEAD has returned the offset to the client.
        resumed_at: offset of the next PATCH; `None` if there is none.
    """

    offset: int
    is_acknowledged: bool
    resumed_at: int | None


class Content(Struct, frozen=True):
    """Size and checksum of one copy of a video; `None` if unknown."""

    size: int | None
    sha256: str | None


class ChecksumComparison(Struct, frozen=True):
    """The contents of all copies of one video, by the copy's name."""

    contents: dict[str, Content]

    @property
    def all_equal(self) -> bool:
        """Whether all copies are known and equal."""
        first, *others = self.contents.values()
        is_known = None not in (first.size, first.sha256)
        return is_known and all(content == first for content in others)

    def differences(self) -> list[str]:
        """Describe each copy, if they differ."""
        if self.all_equal:
            return []
        return [
            f"{copy} has {content.size} bytes and SHA-256 {content.sha256}"
            for copy, content in self.contents.items()
        ]


async def run_demo(*, storage: Storage, files: int, keep: bool) -> ExitStatus:
    """Create videos, upload them while one connection is cut, and compare the copies."""
    with _workspace(keep=keep) as folder:
        videos = await anyio.to_thread.run_sync(_create_videos, folder, files)
        batch = UploadBatch(videos, {"verify": "hash", "concurrency": files})
        progress = batch.progress
        faulty = max(progress.files, key=lambda file: file.length or 0)
        fault = Fault(
            On(method="PATCH", asset=f"^{re.escape(faulty.name)}$", nth=CUT_PATCH),
            CutConnection(after_bytes=CUT_AFTER_BYTES),
        )
        sandbox = Sandbox(
            storage=storage,
            faults=[fault],
            processing_seconds=PROCESSING_SECONDS,
            directory=folder / "stored",
        )
        async with sandbox, AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            _print_plan(sandbox, storage, progress, faulty)
            async with show_progress(progress) as display:
                await batch.upload(livepeer, display)
                cut = find_cut(sandbox.requests)
                if cut is not None and _is_recovered(cut, faulty):
                    display.print(_describe_cut(cut, faulty))
            seconds = time.monotonic() - progress.started
            comparisons = await _compare_all(progress, livepeer, sandbox)
            _print_results(progress, comparisons)
            return _conclude(progress, comparisons, sandbox, faulty, seconds=seconds)


@contextmanager
def _workspace(*, keep: bool) -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="livepeer-demo-"))
    try:
        yield folder
    finally:
        if keep:
            _print(f"kept: {folder} (the videos, and the sandbox's copies in stored/)")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _create_videos(folder: Path, number: int) -> list[str]:
    """Create videos, at least one of them of the largest size."""
    sizes = SIZES_MIB[-number:] if number < len(SIZES_MIB) else SIZES_MIB
    videos: list[str] = []
    for index in range(number):
        mib, repeat = sizes[index % len(sizes)], index // len(sizes)
        name = (f"clip-{mib}MiB" if mib else "clip") + (f"-{repeat + 1}" if repeat else "")
        path = folder / f"{name}.mp4"
        if mib:
            write_video(path, mib * MIB, seed=index)
        else:
            path.write_bytes(read_clip())
        videos.append(str(path))
    return videos


def _print_plan(
    sandbox: Sandbox, storage: Storage, progress: BatchProgress, faulty: FileProgress
) -> None:
    if VERBOSITY.get() is Verbosity.QUIET:
        return
    videos = pluralize(len(progress.files), "video")
    _print(f"embedded sandbox at {sandbox.base_url} (storage: {storage})")
    _print(
        f"uploading {videos} ({format_size(progress.length)}); the sandbox will cut the connection "
        f"during {faulty.name}"
    )
    messages().print()


def find_cut(requests: Sequence[SeenRequest]) -> Cut | None:
    """Find the PATCH that a fault has cut, and the requests after it to the same upload URL."""
    faulty = (it for it in requests if it.method == "PATCH" and it.fault and it.is_over)
    cut = next(faulty, None)
    if cut is None:
        return None
    later = [it for it in requests if it.path == cut.path and it.at > cut.at]
    offsets = [_upload_offset(it) for it in later if it.method == "PATCH"]
    return Cut(
        offset=_upload_offset(cut) + cut.received,
        is_acknowledged=any(it.method == "HEAD" and it.status == HTTPStatus.OK for it in later),
        resumed_at=offsets[0] if offsets else None,
    )


def _upload_offset(patch: SeenRequest) -> int:
    return int(patch.headers.get("upload-offset", "0"))


def _is_recovered(cut: Cut | None, faulty: FileProgress) -> bool:
    """Whether the upload succeeded after the cut, by resuming or restarting."""
    result = faulty.result
    if cut is None or not cut.is_acknowledged or result is None or result.error is not None:
        return False
    return cut.resumed_at is not None or result.attempts > 1


def _describe_cut(cut: Cut, faulty: FileProgress) -> str:
    resumed = "restarted" if cut.resumed_at is None else f"resumed at byte {cut.resumed_at:,}"
    return (
        f"{faulty.name}: connection lost at byte {cut.offset:,} of {faulty.length:,}, "
        f"asked for the offset, {resumed}"
    )


async def _compare_all(
    progress: BatchProgress, livepeer: AsyncLivepeer, sandbox: Sandbox
) -> dict[FileProgress, ChecksumComparison]:
    """Compare the copies of each successful upload."""
    comparisons: dict[FileProgress, ChecksumComparison] = {}
    for file in progress.files:
        if file.result and file.result.asset and file.result.error is None:
            asset = await livepeer.assets.get(file.result.asset.id)
            comparisons[file] = await anyio.to_thread.run_sync(
                collect_checksums, Path(file.argument), file.result, asset, sandbox
            )
    return comparisons


def collect_checksums(
    path: Path, result: UploadResult, asset: Asset, sandbox: Sandbox
) -> ChecksumComparison:
    """Collect size and SHA-256 of all copies of a video; the file is hashed once more."""
    with path.open("rb") as file:
        on_disk = hashlib.file_digest(file, "sha256").hexdigest()
    hashes = {entry.algorithm: entry.hash for entry in asset.hash or ()}
    playback_id = asset.playback_id or ""
    stored = sandbox.stored(playback_id)
    stored_size = stored.stat().st_size if stored else None
    return ChecksumComparison(
        {
            "the file": Content(path.stat().st_size, on_disk),
            "the upload": Content(result.length, result.sha256),
            "the asset": Content(asset.size, hashes.get("sha256")),
            "the stored object": Content(stored_size, sandbox.stored_sha256(playback_id)),
        }
    )


def _print_results(
    progress: BatchProgress, comparisons: dict[FileProgress, ChecksumComparison]
) -> None:
    rows: list[list[str]] = []
    for file, comparison in comparisons.items():
        result = file.result
        if result is None or result.asset is None:
            continue
        asset, content = result.asset, "identical" if comparison.all_equal else "DIFFERENT"
        size, elapsed = format_size(result.length or 0), format_elapsed(result.seconds)
        rows.append([file.name, asset.id, asset.playback_id or "", size, elapsed, content])
    if rows:
        headers = ["name", "asset ID", "playback ID", "size", "time", "content"]
        print_table(headers, rows, order=["size", "playback ID", "time"], state="content")
    print_failures(progress, Scope(is_upload=True))
    for file, comparison in comparisons.items():
        for difference in comparison.differences():
            print_error(f"{file.name}: {difference}")


def _conclude(
    progress: BatchProgress,
    comparisons: dict[FileProgress, ChecksumComparison],
    sandbox: Sandbox,
    faulty: FileProgress,
    *,
    seconds: float,
) -> ExitStatus:
    """Print the conclusion and return the exit status."""
    identical = sum(comparison.all_equal for comparison in comparisons.values())
    number = len(progress.files)
    cut = find_cut(sandbox.requests)
    is_recovered = _is_recovered(cut, faulty)
    _print("")
    _print(
        f"{identical} of {number} identical in size and SHA-256: file, bytes read, asset and "
        "stored object"
    )
    _print(
        f"{format_size(progress.sent)} in {format_elapsed(seconds)}; connections cut: "
        f"{int(cut is not None)}, recovered: {int(is_recovered)}"
    )
    for violation in sandbox.violations:
        print_error(f"the client violated a rule: {violation.rule} ({violation.request})")
    if not is_recovered:
        print_error("no recovery from a cut connection was recorded")
    is_ok = identical == number and is_recovered and not sandbox.violations
    return ExitStatus.OK if is_ok else ExitStatus.FAILED


def _print(line: str) -> None:
    output().print(Text(line))
