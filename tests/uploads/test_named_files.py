"""A file that is named twice is one upload."""

import os
from pathlib import Path

import pytest

from livepeer_async import ConfigurationError, NewAsset, UploadJob
from support.sandbox import make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(1000)


async def upload_all(livepeer, sources):
    async with livepeer.upload_many(sources) as results:
        return [result async for result in results]


@pytest.fixture(params=[False, True], ids=["no journal", "journal"])
async def livepeer(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(VIDEO)
    (tmp_path / "in").mkdir()
    journal = tmp_path / "journal" if request.param else None
    async with sandbox_and_client(client={"journal": journal}) as (_, client):
        yield client


async def test_file_named_twice_is_one_upload(livepeer, tmp_path):
    names = ["a.mp4", "./a.mp4", "in/../a.mp4", tmp_path / "a.mp4", "b.mp4", UploadJob("a.mp4")]
    results = await upload_all(livepeer, names)
    assert sorted(os.fspath(result.source) for result in results) == ["a.mp4", "b.mp4"]
    assert all(result.error is None for result in results)
    assert len([asset async for asset in livepeer.assets.list()]) == 2


async def test_links_are_names_of_their_own(livepeer):
    os.symlink("a.mp4", "link.mp4")
    os.link("a.mp4", "hard.mp4")
    results = await upload_all(livepeer, ["a.mp4", "link.mp4", "hard.mp4"])
    assert len({result.asset.id for result in results}) == 3


async def test_keys_make_two_assets_of_one_file(livepeer):
    jobs = [UploadJob("a.mp4", key=key) for key in ("one", "two", "two")]
    results = await upload_all(livepeer, jobs)
    assert len({result.asset.id for result in results}) == len(results) == 2


async def test_bytes_are_never_the_same_upload(livepeer):
    results = await upload_all(livepeer, [VIDEO, VIDEO])
    assert len({result.asset.id for result in results}) == 2


async def test_other_fields_need_a_key_with_a_journal(livepeer):
    jobs = [UploadJob("a.mp4", NewAsset("one")), UploadJob("a.mp4", "one"), UploadJob("a.mp4", "2")]
    results = await upload_all(livepeer, jobs)
    failed = [result.error for result in results if result.error]
    assert len(results) == 2
    if livepeer.journal is None:
        assert failed == []
    else:
        (error,) = failed
        assert isinstance(error, ConfigurationError)
        assert "pass a key= of its own" in str(error)


async def test_changed_file_is_uploaded_again(livepeer):
    async def frames():
        yield UploadJob("a.mp4", key="first")
        Path("a.mp4").write_bytes(VIDEO + b"more")
        yield UploadJob("a.mp4", key="first")

    results = await upload_all(livepeer, frames())
    assert len(results) == 2


async def test_missing_file_fails_once(livepeer):
    (result,) = await upload_all(livepeer, ["none.mp4", "./none.mp4"])
    assert "can't be read" in str(result.error)
