"""How two identities of a source differ."""

import pytest

from livepeer_async.sources.identity import SourceIdentity, describe_changes, is_touched

DAY = 86_400 * 10**9
SECOND = "1970-01-02 00:00:00"
FILE = {"length": 9, "modified_ns": DAY, "inode": 3}


@pytest.mark.parametrize(
    ("changed", "described", "touched"),
    [
        ({}, "", True),
        ({"length": 8}, "size from 9 to 8 bytes", False),
        (
            {"modified_ns": 2 * DAY},
            "modification time from 1970-01-02 00:00:00 UTC to 1970-01-03 00:00:00 UTC",
            True,
        ),
        (
            {"modified_ns": DAY + 5},
            f"modification time from {SECOND}.000000000 UTC to {SECOND}.000000005 UTC",
            True,
        ),
        ({"modified_ns": None}, "modification time from 1970-01-02 00:00:00 UTC to unknown", True),
        (
            {"modified_ns": 10**22},
            "modification time from 1970-01-02 00:00:00 UTC to 10000000000000000000000 ns",
            True,
        ),
        ({"inode": 4}, "inode from 3 to 4", True),
        ({"inode": None}, "", True),
        ({"url": "u"}, "another URL", False),
    ],
)
def test_changes_are_described(changed, described, touched):
    before, now = SourceIdentity(**FILE), SourceIdentity(**{**FILE, **changed})
    assert describe_changes(before, now) == described
    assert is_touched(before, now) is touched


@pytest.mark.parametrize(
    ("hashes", "described", "touched"),
    [("ab", "another SHA-256", False), ("aa", "", True), ("a", "", True)],
)
def test_known_hashes_decide(hashes, described, touched):
    before, now = (SourceIdentity(length=9, sha256=it or None) for it in (hashes + " ")[:2])
    now = SourceIdentity(length=9, sha256=(now.sha256 or "").strip() or None)
    assert describe_changes(before, now) == described
    assert is_touched(before, now) is touched
