import pytest

from support.sandbox import make_bytes, sandbox_and_client


@pytest.fixture
def journal(request, tmp_path):
    """The path of a journal, or with `support.records.ON_BOTH` also the URL of a database."""
    if getattr(request, "param", "sqlite") == "postgres":
        return request.getfixturevalue("empty_database").url
    return tmp_path / "uploads.journal"


@pytest.fixture
async def url():
    """The URL of a video, in another sandbox."""
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(make_bytes(50_000), "origin.mp4")
        yield (await livepeer.assets.get(asset.id)).download_url
