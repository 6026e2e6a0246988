"""Ingestions on a cluster with slow transfers, and what the sandbox has got of them."""

from livepeer_async.sandbox import Fault, On, Slow
from support.constants import MIB

LENGTH = 9 * MIB
COUNT = 4
METHODS = ("POST", "PATCH")
SLOW = [Fault(On(method=method, path="/upload/tus"), Slow(6_000_000)) for method in METHODS]


def is_sending(sandbox):
    """Whether some bytes of a file were received, and others are in flight."""
    return any(it.received > MIB and not it.is_over for it in sandbox.requests)


def assert_exact(sandbox, videos):
    """Each file is one ready asset with its bytes, and no two writers met."""
    assert sandbox.violations == []
    ready = [it for it in sandbox.assets if it.phase == "ready" and not it.is_deleted]
    assert sorted(it.name for it in ready) == sorted(videos)
    for asset in ready:
        assert sandbox.stored(asset.playback_id).read_bytes() == videos[asset.name]


def count_repeated(sandbox, videos):
    """Return the bytes that were sent again."""
    received = sum(it.received for it in sandbox.requests if "/upload/tus" in it.path)
    return received - sum(map(len, videos.values()))
