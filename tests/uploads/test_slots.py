"""An upload holds a slot while it sends bytes, and none during processing."""

import anyio
import pytest

from ingest.running import write_rows
from livepeer_async.ingest import RowStarted, ingest
from support.clock import until
from support.constants import TIMEOUT, VERY_LONG
from support.sandbox import PART, SMALL_S3, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

LONG_PROCESSING = {"processing_seconds": VERY_LONG}


def phases(sandbox):
    return [asset.phase for asset in sandbox.assets]


async def test_next_upload_starts_during_processing():
    sources = [make_bytes(100), make_bytes(3 * PART), make_bytes(200)]
    async with (
        sandbox_and_client(**LONG_PROCESSING, **SMALL_S3) as (sandbox, livepeer),
        livepeer.upload_many(sources, concurrency=1),
    ):
        await until(lambda: phases(sandbox) == ["processing"] * 3)


async def test_next_import_starts_during_processing(tmp_path):
    async with sandbox_and_client() as (_, origin):
        asset = await origin.upload(make_bytes(1000), "origin.mp4")
        url = (await origin.assets.get(asset.id)).download_url
        manifest = write_rows(tmp_path, *({"url": url, "key": str(n)} for n in range(3)))
        begun = 0
        async with (
            sandbox_and_client(**LONG_PROCESSING) as (_, livepeer),
            ingest(livepeer, manifest, concurrency=1) as events,
        ):
            with anyio.fail_after(TIMEOUT):
                while begun < 3:
                    begun += isinstance(await anext(events), RowStarted)
