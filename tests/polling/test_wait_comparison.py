"""`assets.wait` compares a ready asset with what a browser uploaded."""

import hashlib

import pytest

from livepeer_async import ConfigurationError, IntegrityError, NewAsset, PlaybackPolicy, errors
from livepeer_async.models import Encryption
from livepeer_async.sandbox import Fault, On, WrongSize
from support.sandbox import make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(50_000)
SHA256 = hashlib.sha256(VIDEO).hexdigest()


@pytest.mark.parametrize("hashes", [True, False])
async def test_equal_size_and_hash_are_accepted(hashes):
    async with sandbox_and_client(hashes=hashes) as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "clip.mp4", wait=False)
        ready = await livepeer.assets.wait(asset.id, length=len(VIDEO), sha256=SHA256)
        assert (ready.id, ready.phase) == (asset.id, "ready")


async def test_other_size_raises():
    async with sandbox_and_client(Fault(On(), WrongSize(8_388_608))) as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "clip.mp4", wait=False)
        with pytest.raises(IntegrityError, match="has 8438608 bytes; wanted 50000") as caught:
            await livepeer.assets.wait(asset.id, length=len(VIDEO))
        assert caught.value.asset_id == asset.id
        assert (caught.value.wanted, caught.value.found) == (50_000, 8_438_608)


async def test_other_hash_raises():
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "clip.mp4", wait=False)
        with pytest.raises(IntegrityError, match="has the SHA-256"):
            await livepeer.assets.wait(asset.id, sha256="0" * 64)


async def test_encrypted_asset_is_not_compared():
    new_asset = NewAsset(
        "secret.mp4",
        playback_policy=PlaybackPolicy(type="jwt"),
        encryption=Encryption(encrypted_key="aGVsbG8="),
    )
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(VIDEO, new_asset, wait=False)
        assert (await livepeer.assets.wait(asset.id, length=1, sha256="0" * 64)).phase == "ready"


async def test_failed_asset_raises_before_the_comparison():
    async with sandbox_and_client() as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "clip.mp4")
        await livepeer.assets.delete(asset.id)
        with pytest.raises(errors.NotFound):
            await livepeer.assets.wait(asset.id, length=1)


async def test_invalid_arguments_are_refused_before_any_request():
    async with sandbox_and_client() as (sandbox, livepeer):
        with pytest.raises(ConfigurationError, match="length is 0"):
            await livepeer.assets.wait("a1", length=0)
        with pytest.raises(ConfigurationError, match="sha256 is 'abc'"):
            await livepeer.assets.wait("a1", sha256="abc")
        assert sandbox.requests == []
