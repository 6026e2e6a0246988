"""Identity of the bytes of a source, and how two of them differ. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct


class SourceIdentity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Identity of the bytes of a source, which a later run compares.

    Attributes:
        length: bytes; 0 if the server fetches them itself.
        modified_ns: modification time of a file, in nanoseconds since 1970.
        inode: inode number of a file.
        sha256: of bytes in memory, in hex.
        url: fingerprint of the URL that they come from, as `url_fingerprint` returns it.
    """

    length: int
    modified_ns: int | None = None
    inode: int | None = None
    sha256: str | None = None
    url: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is more than a length, which many sources share."""
        return self.modified_ns is not None or self.sha256 is not None


def is_touched(before: SourceIdentity, now: SourceIdentity) -> bool:
    """Whether two sources may have the same bytes, although they aren't known to.

    `touch`, a copy to another file system and a restored backup change the modification time and
    the inode alone.
    """
    is_same_url = before.url == now.url
    has_other_bytes = None not in (before.sha256, now.sha256) and before.sha256 != now.sha256
    return before.length == now.length and is_same_url and not has_other_bytes


def describe_changes(before: SourceIdentity, now: SourceIdentity) -> str:
    """Describe how two identities differ; "" if they don't."""
    changes: list[str] = []
    if before.length != now.length:
        changes.append(f"size from {before.length} to {now.length} bytes")
    if before.modified_ns != now.modified_ns:
        times = _format_times(before.modified_ns, now.modified_ns)
        changes.append(f"modification time from {times[0]} to {times[1]}")
    if before.inode != now.inode and None not in (before.inode, now.inode):
        changes.append(f"inode from {before.inode} to {now.inode}")
    if before.sha256 != now.sha256 and None not in (before.sha256, now.sha256):
        changes.append("another SHA-256")
    if before.url != now.url:
        changes.append("another URL")
    return ", ".join(changes)


def _format_times(*times_ns: int | None) -> list[str]:
    """Format times, with fractions of a second if they only differ in these."""
    seconds = {time_ns // 10**9 for time_ns in times_ns if time_ns is not None}
    is_close = len(seconds) == 1 and None not in times_ns
    return [_format_time(time_ns, has_fraction=is_close) for time_ns in times_ns]


def _format_time(time_ns: int | None, *, has_fraction: bool) -> str:
    if time_ns is None:
        return "unknown"
    try:
        shown = f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return f"{time_ns} ns"
    fraction = f".{time_ns % 10**9:09}" if has_fraction else ""
    return f"{shown}{fraction} UTC"
