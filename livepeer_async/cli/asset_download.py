"""`livepeer-async assets download`: saves the video of an asset as a file."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from msgspec import Struct

from livepeer_async.cli.asset_changes import print_failure
from livepeer_async.cli.asset_ids import explain_id
from livepeer_async.cli.client_options import ClientOptions
from livepeer_async.cli.file_writer import (
    Write,
    check_target,
    choose_target,
    safe_file_name,
    write_file,
    write_to_stdout,
)
from livepeer_async.cli.options import STANDARD_OUTPUT
from livepeer_async.cli.output.console import output, print_error, print_json, print_note
from livepeer_async.cli.output.download_progress import DownloadProgress, show_download
from livepeer_async.cli.output.error_messages import ExitStatus, exit_status_for, format_error
from livepeer_async.cli.output.formatting import format_elapsed, format_size, pluralize
from livepeer_async.cli.session import open_client
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError
from livepeer_async.http.observers import observe_requests
from livepeer_async.models import Asset, AssetPhase, PlaybackSource, PlaybackSourceType
from livepeer_async.polling.phases import make_failure


class Video(Struct, frozen=True):
    """A file of an asset.

    Attributes:
        url: its URL, which may hold a signature.
        length: bytes, if known.
    """

    url: str
    length: int | None


class Downloads:
    """One run of the command."""

    def __init__(self, output_file: str | None, *, use_mp4: bool, force: bool, json: bool) -> None:
        self._saved: set[Path | None] = set()
        self._output_file = output_file
        self._use_mp4 = use_mp4
        self._force = force
        self._json = json

    async def run(self, asset_ids: Sequence[str], client_options: ClientOptions) -> ExitStatus:
        """Download the videos; a failure of one doesn't stop the others."""
        errors: list[LivepeerError] = []
        has_missing = False
        async with open_client(client_options) as livepeer:
            for asset_id in asset_ids:
                try:
                    has_missing |= not await self._download(livepeer, asset_id)
                except LivepeerError as error:
                    if len(asset_ids) == 1:
                        raise
                    errors.append(error)
                    print_failure(asset_id, error)
        status = exit_status_for(errors)
        return ExitStatus.FAILED if has_missing and status is ExitStatus.OK else status

    def describe_interruption(self) -> str:
        """Describe what was saved before Ctrl-C."""
        if not self._saved:
            return "interrupted; nothing was saved: run the same command to start again"
        return f"interrupted; {pluralize(len(self._saved), 'video')} saved before"

    async def _download(self, livepeer: AsyncLivepeer, asset_id: str) -> bool:
        """Find the video of an asset and save it; return whether there is one."""
        async with explain_id(livepeer, asset_id):
            asset = await livepeer.assets.get(asset_id)
        video = await self._find_video(livepeer, asset)
        if video is None:
            return False
        # Checked before the first byte, and again before the file gets its name.
        target = None if self._output_file == STANDARD_OUTPUT else self._target_of(asset)
        started = time.monotonic()
        length = await self._save(livepeer, asset, video, target)
        self._saved.add(target)
        self._print_result(asset, target, length, time.monotonic() - started)
        return True

    async def _find_video(self, livepeer: AsyncLivepeer, asset: Asset) -> Video | None:
        """Return the video; `None` after an error message if there is none."""
        if asset.phase != AssetPhase.READY:
            print_error(_describe_unready(asset))
            return None
        if asset.download_url and not self._use_mp4:
            return Video(asset.download_url, asset.size or None)
        sources: tuple[PlaybackSource, ...] = ()
        if asset.playback_id:
            sources = (await livepeer.playback.get(asset.playback_id)).meta.source
        best = choose_mp4(sources)
        if best is None:
            print_error(
                f"asset {asset.id} has no MP4 rendition yet; it may appear within two minutes "
                "after the asset is ready, and only if the asset was created with staticMp4"
                if self._use_mp4
                else f"asset {asset.id} has no download URL and no MP4 rendition"
            )
            return None
        return Video(best.url, best.size or None)

    def _target_of(self, asset: Asset) -> Path:
        target = choose_target(self._output_file, safe_file_name(asset.name, asset.id))
        if target.resolve() in self._saved:
            # Another asset of this run has the same name.
            target = target.with_stem(f"{target.stem}-{asset.id}")
        return check_target(target, force=self._force)

    async def _save(
        self, livepeer: AsyncLivepeer, asset: Asset, video: Video, target: Path | None
    ) -> int:
        writing = nullcontext(write_to_stdout) if target is None else None
        progress = DownloadProgress(target.name if target else asset.name or asset.id)
        progress.length = video.length
        async with show_download(progress) as observer:
            with observe_requests(observer):
                opening = livepeer.uploads.downloader.open(video.url)
                async with (
                    opening as download,
                    writing or write_file(target or Path(), force=self._force) as write,
                ):
                    progress.length = download.length
                    await _copy(download.blocks, write, progress)
        return progress.received

    def _print_result(self, asset: Asset, target: Path | None, length: int, seconds: float) -> None:
        if self._json:
            document = {"asset_id": asset.id, "file": str(target), "bytes": length}
            print_json(document | {"seconds": round(seconds, 3)})
            return
        summary = f"{format_size(length)} ({length:,} bytes) in {format_elapsed(seconds)}"
        if target is None:
            print_note(f"wrote {summary}")
        else:
            output().print(f"saved {target}", soft_wrap=True)
            print_note(summary)


def choose_mp4(sources: tuple[PlaybackSource, ...]) -> PlaybackSource | None:
    """Return the MP4 file with the most pixels, then the highest bitrate."""
    files = [source for source in sources if source.type == PlaybackSourceType.MP4]
    return max(
        files,
        key=lambda it: ((it.width or 0) * (it.height or 0), it.bitrate or 0, it.size or 0),
        default=None,
    )


async def _copy(blocks: AsyncIterator[bytes], write: Write, progress: DownloadProgress) -> None:
    async for block in blocks:
        await write(block)
        progress.received += len(block)


def _describe_unready(asset: Asset) -> str:
    failure = make_failure(asset)
    if failure is not None:
        return format_error(failure)
    found = f"asset {asset.id} is {asset.phase or 'in an unknown phase'}"
    return f"{found}, not ready; wait for it: livepeer-async assets wait {asset.id}"
