import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepeer_async.errors import ConfigurationError, IntegrityError
from livepeer_async.models import Asset, AssetHash
from livepeer_async.polling.verify import Verified, check_expected, verify_asset

CONTENT = b"0123456789"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def asset(size=10, **hashes):
    entries = tuple(AssetHash(hash=value, algorithm=name) for name, value in hashes.items())
    return Asset(id="a1", size=size, hash=entries or None)


@pytest.mark.parametrize(
    ("found", "sha256", "verified"),
    [
        (asset(), None, Verified.SIZE),
        (asset(size=None), None, Verified.NOT_PROVABLE),
        (asset(size=0), None, Verified.NOT_PROVABLE),
        (asset(sha256=SHA256), None, Verified.SIZE),
        (asset(sha256=SHA256), SHA256, Verified.HASH),
        (asset(sha256=SHA256.upper()), SHA256, Verified.HASH),
        (asset(sha256=SHA256), SHA256.upper(), Verified.HASH),
        (asset(**{"SHA-256": SHA256}), SHA256, Verified.HASH),
        (asset(md5="x", sha256=SHA256), SHA256, Verified.HASH),
        (asset(size=None, sha256=SHA256), SHA256, Verified.HASH),
        (asset(), SHA256, Verified.NOT_PROVABLE),
        (asset(md5="x"), SHA256, Verified.NOT_PROVABLE),
        (asset(sha256=None), SHA256, Verified.NOT_PROVABLE),
        (asset(sha256=""), SHA256, Verified.NOT_PROVABLE),
        (Asset(id="a1", hash=(AssetHash(hash=SHA256),)), SHA256, Verified.NOT_PROVABLE),
    ],
)
def test_result_depends_on_the_size_and_hash_of_the_asset(found, sha256, verified):
    assert verify_asset(found, length=10, sha256=sha256) is verified


@pytest.mark.parametrize("sha256", [None, SHA256])
@pytest.mark.parametrize("size", [1, 9, 11, 2**40])
def test_different_size_raises(size, sha256):
    with pytest.raises(IntegrityError, match=f"has {size} bytes; wanted 10") as caught:
        verify_asset(asset(size=size, sha256=SHA256), length=10, sha256=sha256)
    error = caught.value
    assert (error.asset_id, error.wanted, error.found) == ("a1", 10, size)


def test_different_hash_of_the_same_size_raises():
    with pytest.raises(IntegrityError, match=f"SHA-256 {OTHER}; wanted {SHA256}") as caught:
        verify_asset(asset(sha256=OTHER), length=10, sha256=SHA256)
    error = caught.value
    assert (error.asset_id, error.wanted, error.found) == ("a1", SHA256, OTHER)


def test_encrypted_asset_is_verified_as_not_provable():
    found = asset(size=9, sha256=OTHER)
    verified = verify_asset(found, length=10, sha256=SHA256, is_encrypted=True)
    assert verified is Verified.NOT_PROVABLE


@given(st.none() | st.integers(0, 20), st.integers(1, 20), st.booleans(), st.booleans())
def test_verified_content_is_identical(size, length, has_hash, is_same):
    found = asset(size=size, **({"sha256": SHA256 if is_same else OTHER} if has_hash else {}))
    try:
        verified = verify_asset(found, length=length, sha256=SHA256)
    except IntegrityError:
        assert (size and size != length) or not is_same
        return
    assert not size or size == length
    assert (verified is Verified.HASH) == has_hash
    assert is_same or not has_hash


def test_unknown_length_is_not_compared():
    assert verify_asset(asset(size=11), length=None) is Verified.NOT_PROVABLE
    assert verify_asset(asset(size=11, sha256=SHA256), length=None, sha256=SHA256) is Verified.HASH


@pytest.mark.parametrize("length", [0, -1, 1.5, "10", True])
def test_invalid_length_is_refused(length):
    with pytest.raises(ConfigurationError, match="wanted bytes, at least 1"):
        check_expected(length, None)


@pytest.mark.parametrize("sha256", ["", "abc", SHA256 + "0", SHA256[:-1] + "g", b"0" * 64])
def test_invalid_sha256_is_refused(sha256):
    with pytest.raises(ConfigurationError, match="wanted 64 hex digits"):
        check_expected(1, sha256)


def test_valid_length_and_sha256_are_accepted():
    check_expected(None, None)
    check_expected(1, SHA256.upper())
