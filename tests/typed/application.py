"""Calls as an application makes them, checked with mypy and pyright; never run."""

import io
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, assert_type

from livepeer_async import (
    Asset,
    AssetPhase,
    AsyncLivepeer,
    LivepeerError,
    NewAsset,
    PlaybackPolicy,
    Progress,
    UploadJob,
    UploadResult,
    WaitResult,
)
from livepeer_async.ingest import RowEnded, RowState, ingest
from livepeer_async.sandbox import Sandbox


async def use_assets(livepeer: AsyncLivepeer, sandbox: Sandbox) -> None:
    asset = await livepeer.upload("talk.mp4", NewAsset("A talk", playback_policy=None))
    early = await livepeer.upload("talk.mp4", wait=False)
    ticket = await livepeer.assets.request_upload("talk.mp4")
    imported = await livepeer.assets.upload_from_url("https://example.com/talk.mp4")
    ready = await livepeer.assets.wait(imported.asset.id)
    for found in (asset, early, ticket.asset, imported.asset, ready):
        assert_type(found.playback_id, str)
        await livepeer.playback.get(found.playback_id)
        print(sandbox.stored(found.playback_id).read_bytes())
        print(sandbox.stored(found.playback_id) is None)
    async with aclosing(livepeer.assets.list(phase=AssetPhase.READY)) as assets:
        async for listed in assets:
            await livepeer.playback.get(listed.playback_id)


def describe(result: UploadResult) -> str:
    if result.error is not None:
        return f"{result.source!r}: {result.error}"
    return result.asset.playback_id


async def use_results(livepeer: AsyncLivepeer) -> dict[str, str]:
    done: dict[str, str] = {}
    async with livepeer.upload_many([UploadJob("a.mp4", key="a"), Path("b.mp4")]) as results:
        async for result in results:
            print(result.error or result.asset.playback_id)
            print(describe(result))
            assert_type(result.unwrap(), Asset)
            if result.error is None:
                assert_type(result.asset, Asset)
                done[str(result.source)] = result.asset.playback_id
                continue
            assert_type(result.error, LivepeerError)
            print(result.asset is None)
    return done


async def use_waits(livepeer: AsyncLivepeer, ids: list[str]) -> list[WaitResult]:
    kept: list[WaitResult] = []
    async for result in livepeer.assets.wait_many(ids):
        print(result.error or result.asset.playback_id)
        kept.append(result)
        if result.error is None:
            assert_type(result.asset, Asset)
        else:
            assert_type(result.error, LivepeerError)
        assert_type(result.unwrap(), Asset)
    return kept


async def use_handle(livepeer: AsyncLivepeer, sandbox: Sandbox) -> None:
    def show(progress: Progress) -> None:
        print(progress.sent, progress.stage)

    async with livepeer.begin_upload("talk.mp4", on_progress=show) as upload:
        assert_type(upload.asset, Asset)
        async for progress in upload.progress():
            show(progress)
    assert_type(upload.result.asset, Asset)
    assert_type(upload.result.error, None)
    print(sandbox.stored(upload.result.asset.playback_id))


async def use_rows(livepeer: AsyncLivepeer) -> None:
    async with ingest(livepeer, "shows") as events:
        async for event in events:
            if isinstance(event, RowEnded) and event.state is RowState.READY:
                await livepeer.playback.get(event.playback_id)


def use_phases(asset: Asset) -> str:
    if asset.phase == "ready" or asset.phase == AssetPhase.FAILED:  # noqa: PLR1714 - as users do
        return "ended"
    match asset.phase:
        case "uploading" | AssetPhase.WAITING:
            return "early"
        case None:
            return "unknown"
        case other:
            return other.upper()


async def use_sources(livepeer: AsyncLivepeer, blocks: AsyncIterator[bytes], any_file: Any) -> None:
    for source in ("a.mp4", Path("a.mp4"), b"video", bytearray(3), memoryview(b"video")):
        await livepeer.upload(source, NewAsset("a", playback_policy=PlaybackPolicy(type="jwt")))
        await livepeer.upload(source, {"name": "a", "playback_policy": {"type": "jwt"}})
    with Path("a.mp4").open("rb") as file:  # noqa: ASYNC230 - the type is what counts
        await livepeer.upload(file)
    await livepeer.upload(io.BytesIO(b"video"))
    await livepeer.upload(blocks, "stream.mp4", length=5)
    await livepeer.upload(any_file)
