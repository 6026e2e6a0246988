"""What an upload holds while it runs: a slot for its bytes, and none while the server works."""

import anyio
import pytest

from ingest.running import write_rows
from livepeer_async.ingest import RowStarted, ingest
from studio import FOR_EVER, PART, PATIENCE, SMALL_S3, content, studio, until

pytestmark = pytest.mark.anyio

LONG = {"processing_seconds": FOR_EVER}


def phases(sandbox):
    return [asset.phase for asset in sandbox.assets]


async def test_next_upload_begins_while_the_server_processes():
    sources = [content(100), content(3 * PART), content(200)]
    async with (
        studio(**LONG, **SMALL_S3) as (sandbox, livepeer),
        livepeer.upload_many(sources, concurrency=1),
    ):
        await until(lambda: phases(sandbox) == ["processing"] * 3)


async def test_next_import_begins_while_the_server_processes(tmp_path):
    async with studio() as (_, origin):
        asset = await origin.upload(content(1000), "origin.mp4")
        url = (await origin.assets.get(asset.id)).download_url
        manifest = write_rows(tmp_path, *({"url": url, "key": str(n)} for n in range(3)))
        begun = 0
        async with (
            studio(**LONG) as (_, livepeer),
            ingest(livepeer, manifest, concurrency=1) as events,
        ):
            with anyio.fail_after(PATIENCE):
                while begun < 3:
                    begun += isinstance(await anext(events), RowStarted)
