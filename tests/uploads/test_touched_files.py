"""Files of which only the modification time or the inode has changed."""

import os
import shutil

import pytest

from livepeer_async import SourceChanged
from livepeer_async.sandbox import Fault, On, Stall
from support.constants import VERY_LONG
from support.sandbox import PART, cancel_when, is_stored, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(3 * PART)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


@pytest.fixture
async def livepeer(tmp_path):
    async with sandbox_and_client(client={"journal": tmp_path / "journal"}) as (_, livepeer):
        yield livepeer


def touch(path):
    os.utime(path, (1, 1))


def restore(path):
    """Replace a file as from a backup, with another inode and time."""
    shutil.copy(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    touch(path)


def rewrite(path):
    """Change the content, but not the size."""
    path.write_bytes(make_bytes(len(VIDEO), seed=9))


async def test_message_says_that_only_the_time_differs(livepeer, path):
    await livepeer.upload(path)
    touch(path)
    with pytest.raises(SourceChanged) as caught:
        await livepeer.upload(path)
    assert "size" not in str(caught.value)
    assert "to 1970-01-01 00:00:01 UTC); pass ignore_mtime=True if" in str(caught.value)
    assert caught.value.is_touched


async def test_message_says_how_the_size_differs(livepeer, path):
    await livepeer.upload(path)
    path.write_bytes(VIDEO[:-1])
    with pytest.raises(SourceChanged) as caught:
        await livepeer.upload(path, ignore_mtime=True)
    assert "size from 196608 to 196607 bytes, modification time from" in str(caught.value)
    assert not caught.value.is_touched


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("change", [touch, restore])
async def test_touched_file_is_accepted_once_for_all_runs(livepeer, path, change, wait):
    first = await livepeer.upload(path, wait=wait)
    change(path)
    second = await livepeer.upload(path, ignore_mtime=True)
    third = await livepeer.upload(path)
    assert first.id == second.id == third.id


@pytest.mark.parametrize("verify", ["hash", "size"])
@pytest.mark.parametrize("wait", [True, False])
async def test_recorded_hash_decides(livepeer, path, wait, verify):
    first = await livepeer.upload(path, wait=wait, verify="hash")
    # A run without a hash keeps the recorded one.
    await livepeer.upload(path)
    restore(path)
    assert (await livepeer.upload(path, verify=verify)).id == first.id
    assert (await livepeer.upload(path)).id == first.id
    rewrite(path)
    with pytest.raises(SourceChanged, match="another SHA-256") as caught:
        await livepeer.upload(path, verify=verify)
    assert not caught.value.is_touched


async def test_stream_under_the_key_of_a_hashed_file_may_be_the_same(livepeer, path):
    async def read():
        yield VIDEO

    first = await livepeer.upload(path, verify="hash", key="k")
    options = {"length": len(VIDEO), "key": "k"}
    with pytest.raises(SourceChanged, match="pass ignore_mtime=True") as caught:
        await livepeer.upload(read(), "talk.mp4", **options)
    assert caught.value.is_touched
    assert (await livepeer.upload(read(), "talk.mp4", ignore_mtime=True, **options)).id == first.id


async def test_hash_decides_even_if_times_are_ignored(livepeer, path):
    await livepeer.upload(path, verify="hash")
    rewrite(path)
    with pytest.raises(SourceChanged):
        await livepeer.upload(path, verify="hash", ignore_mtime=True)
    with pytest.raises(SourceChanged):
        await livepeer.upload(path, verify="hash")


async def test_option_applies_to_many_uploads(livepeer, path):
    first = await livepeer.upload(path)
    touch(path)
    async with livepeer.upload_many([path], ignore_mtime=True) as results:
        assert [result.asset.id async for result in results] == [first.id]


@pytest.mark.parametrize("ignores", [True, False])
async def test_unfinished_upload_of_a_touched_file(tmp_path, path, ignores):
    stall = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG, after_bytes=1))
    options = {"client": {"journal": tmp_path / "journal"}, "storage": "file"}
    async with sandbox_and_client(stall, **options) as (sandbox, livepeer):
        await cancel_when(lambda: stall.fired, livepeer.upload, path)
        restore(path)
        asset = await livepeer.upload(path, ignore_mtime=ignores)
        assert is_stored(sandbox, asset, VIDEO)
        assert len(sandbox.assets) == 2 - ignores
