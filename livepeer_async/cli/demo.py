"""`livepeer-async demo`: uploads to the embedded sandbox and verifies the result.

It makes videos, uploads them while the sandbox cuts a connection, and compares checksums of the
file, the bytes read, the asset and the stored object. Every printed figure is measured; a mismatch
sets the exit status.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct
from rich.text import Text

from livepeer_async.cli.options import Storage, UploadChoices
from livepeer_async.cli.output.console import messages, output, print_rows, say_error
from livepeer_async.cli.output.display import Display, show
from livepeer_async.cli.output.error_messages import Status
from livepeer_async.cli.output.formatting import count, show_seconds, show_size
from livepeer_async.cli.output.progress import Board, Item
from livepeer_async.cli.output.report import print_failures
from livepeer_async.cli.sample_video import read_clip, write_video
from livepeer_async.cli.upload import Batch
from livepeer_async.client import AsyncLivepeer
from livepeer_async.concurrency import plain_task_group
from livepeer_async.models import Asset
from livepeer_async.sandbox import CutConnection, Fault, On, Sandbox, SeenRequest
from livepeer_async.uploads.options import UploadResult

MIB = 1024 * 1024
# The clip alone, then videos of two, three and five parts of the storage.
SIZES_MIB = (0, 9, 20, 34)
# The second PATCH of the longest video carries several parts; it breaks within one of them.
CUT_PATCH = 2
CUT_AFTER = 5_000_000
# Long enough to be seen on a bar.
PROCESSING_SECONDS = 1.2
LOOK_EVERY = 0.05


async def run_demo(*, storage: Storage, files: int, is_kept: bool) -> Status:
    """Make videos, upload them over a connection that breaks, and compare.

    Args:
        storage: how the sandbox stores.
        files: number of videos.
        is_kept: whether the videos and what was stored stay in their folder.
    """
    with _workspace(is_kept=is_kept) as folder:
        videos = await anyio.to_thread.run_sync(_make_videos, folder, files)
        batch = Batch(videos, UploadChoices(verify="hash", concurrency=files))
        board = batch.board
        victim = max(board.items, key=lambda item: item.length or 0)
        cut = Fault(
            On(method="PATCH", asset=f"^{re.escape(victim.name)}$", nth=CUT_PATCH),
            CutConnection(after_bytes=CUT_AFTER),
        )
        sandbox = Sandbox(
            storage=storage,
            faults=[cut],
            processing_seconds=PROCESSING_SECONDS,
            directory=folder / "stored",
        )
        async with sandbox, _client_of(sandbox) as livepeer:
            _introduce(sandbox, storage, board, victim)
            async with show(board) as display, _tell_of_cut(sandbox, display, victim):
                await batch.upload(livepeer, display)
            seconds = time.monotonic() - board.started
            evidence = await _compare(board, livepeer, sandbox)
            _print_table(board, evidence)
            return _conclude(board, evidence, sandbox, victim, seconds=seconds)


def _client_of(sandbox: Sandbox) -> AsyncLivepeer:
    return AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url)


def _introduce(sandbox: Sandbox, storage: Storage, board: Board, victim: Item) -> None:
    _tell(f"embedded sandbox at {sandbox.base_url} (storage: {storage})")
    _tell(
        f"uploading {count(len(board.items), 'video')} ({show_size(board.length)}); the sandbox "
        f"will cut the connection in the middle of {victim.name}"
    )
    messages().print()


async def _compare(board: Board, livepeer: AsyncLivepeer, sandbox: Sandbox) -> dict[str, Evidence]:
    """Hear the witnesses on each upload that went well, by its argument."""
    evidence: dict[str, Evidence] = {}
    for item in board.items:
        if item.result and item.result.asset and item.result.error is None:
            asset = await livepeer.assets.get(item.result.asset.id)
            evidence[item.argument] = await anyio.to_thread.run_sync(
                hear_witnesses, Path(item.argument), item.result, asset, sandbox
            )
    return evidence


def _conclude(
    board: Board,
    evidence: dict[str, Evidence],
    sandbox: Sandbox,
    victim: Item,
    *,
    seconds: float,
) -> Status:
    """Say what was found, and give the status that it deserves."""
    identical = [said for said in evidence.values() if said.is_unanimous]
    cut = find_cut(sandbox.requests)
    has_recovered = cut is not None and cut.asked and _is_recovered(cut, victim)
    _tell("")
    _tell(
        f"{len(identical)} of {len(board.items)} identical in size and SHA-256: file, bytes read, "
        "asset and store"
    )
    _tell(
        f"{show_size(board.sent)} in {show_seconds(seconds)}; connections cut: "
        f"{int(cut is not None)}, recovered: {int(has_recovered)}"
    )
    for violation in sandbox.violations:
        say_error(f"the sandbox saw a rule broken: {violation.rule} ({violation.request})")
    if not has_recovered:
        say_error("the connection that was to be cut wasn't seen to break and recover")
    is_right = len(identical) == len(board.items) and has_recovered and not sandbox.violations
    return Status.OK if is_right else Status.FAILED


def _is_recovered(cut: Cut, victim: Item) -> bool:
    """Whether the upload went on, or was begun again on another ticket, and ended well."""
    result = victim.result
    if result is None or result.error is not None:
        return False
    return cut.went_on_at is not None or result.attempts > 1


def _describe_cut(cut: Cut, victim: Item) -> str:
    said = (
        f"{victim.name}: connection lost at byte {cut.at:,} of {victim.length:,}, "
        "asked for the offset, "
    )
    if cut.went_on_at is None:
        return f"{said}began again on a new ticket"
    return f"{said}went on at byte {cut.went_on_at:,}"


def _print_table(board: Board, evidence: dict[str, Evidence]) -> None:
    rows: list[list[str]] = []
    for item in board.items:
        result = item.result
        if result is None or result.asset is None or result.error is not None:
            continue
        asset = result.asset
        verdict = "identical" if evidence[item.argument].is_unanimous else "DIFFERENT"
        size, duration = show_size(result.length or 0), show_seconds(result.seconds)
        rows.append([item.name, asset.id, asset.playback_id or "", size, duration, verdict])
    if rows:
        headers = ["name", "asset ID", "playback ID", "size", "time", "content"]
        print_rows(output(), headers, rows)
    print_failures(board)
    for argument, said in evidence.items():
        for difference in said.differences():
            say_error(f"{Path(argument).name}: {difference}")


@asynccontextmanager
async def _tell_of_cut(sandbox: Sandbox, display: Display, victim: Item) -> AsyncGenerator[None]:
    """Watch the sandbox's record of requests, and tell once the broken one was recovered from."""

    async def watch() -> None:
        while True:
            cut = find_cut(sandbox.requests)
            if cut is not None and cut.asked and cut.went_on_at is not None:
                display.note(_describe_cut(cut, victim))
                return
            await anyio.sleep(LOOK_EVERY)

    async with plain_task_group() as tasks:
        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()
    cut = find_cut(sandbox.requests)
    # Only the result tells of a new ticket.
    if cut is not None and cut.went_on_at is None and _is_recovered(cut, victim):
        display.note(_describe_cut(cut, victim))


def _make_videos(folder: Path, number: int) -> list[str]:
    """Make so many videos; the longest of all sizes is always among them."""
    sizes = SIZES_MIB[-number:] if number < len(SIZES_MIB) else SIZES_MIB
    videos: list[str] = []
    for index in range(number):
        mib, turn = sizes[index % len(sizes)], index // len(sizes)
        name = (f"clip-{mib}MiB" if mib else "clip") + (f"-{turn + 1}" if turn else "")
        path = folder / f"{name}.mp4"
        if mib:
            # One with zeros and a short header, the others with noise and a long one.
            is_plain = index % 2 == 1
            write_video(path, mib * MIB, is_long=not is_plain, seed=None if is_plain else index)
        else:
            path.write_bytes(read_clip())
        videos.append(str(path))
    return videos


@contextmanager
def _workspace(*, is_kept: bool) -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="livepeer-demo-"))
    try:
        yield folder
    finally:
        if is_kept:
            _tell(f"kept: {folder} (the videos, and in stored/ what the sandbox stored)")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _tell(sentence: str) -> None:
    output().print(Text(sentence))


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
