"""Broken connections, and responses before the end of the body."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from conformance.exchange import patch_by_hand, read_head, reset
from conformance.expected import CLOSES_AFTER_REJECTION, HEAD_INTERRUPTS_PATCH, expected
from conformance.servers import PART

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from conformance.exchange import Exchanges

SENT = bytes(itertools.islice(itertools.cycle(range(251)), PART + PART // 2 + 5))
"""A whole part and half of another: every server keeps some bytes of a cut PATCH."""

CUT = PART + PART // 4
"""The byte after which the connection breaks."""

READ_SECONDS = 0.5
"""Enough for a server on the same machine to process what it has read."""

SETTLE_SECONDS = 30.0


def wait_until_read(raw: socket.socket) -> None:
    """Wait until the server has read all bytes sent."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while unread(raw) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(READ_SECONDS)


def unread(raw: socket.socket) -> int:
    """Count the bytes in the kernel's receive queue; 0 without /proc."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return 0
    ports = (raw.getpeername()[1], raw.getsockname()[1])
    for line in table.read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if tuple(int(it.rpartition(":")[2], 16) for it in (local, remote)) == ports:
            return int(queues.rpartition(":")[2], 16)
    return 0


def close(raw: socket.socket) -> None:
    raw.close()


def settled(tus: Exchanges, url: str, wanted: int) -> int:
    """Poll the offset until it is `wanted`: a server may need a moment after a drop."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (offset := tus.offset(url)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return offset


@pytest.mark.parametrize("drop", [close, reset])
def test_bytes_before_a_drop_are_kept(
    tus: Exchanges, drop: Callable[[socket.socket], None]
) -> None:
    ticket, url = tus.create(len(SENT))
    with patch_by_hand(url, offset=0, length=len(SENT)) as raw:
        raw.sendall(SENT[:CUT])
        # An RST discards what the server has not read, and so does a FIN with 2.x.
        wait_until_read(raw)
        drop(raw)
    kept = CUT - CUT % tus.server.part
    assert settled(tus, url, kept) == kept
    for start in range(kept, len(SENT), PART):
        tus.check("PATCH", tus.patch(url, start, SENT[start : start + PART]))
    assert tus.server.stored(ticket) == SENT


def test_rejection_arrives_before_the_end_of_the_body(tus: Exchanges) -> None:
    _, url = tus.create(len(SENT))
    with patch_by_hand(url, offset=3, length=len(SENT)) as raw:
        raw.sendall(SENT[:1024])
        status, headers = read_head(raw)
        assert status == expected(tus.server.name, "PATCH with a wrong offset").status
        raw.settimeout(SETTLE_SECONDS)
        if tus.server.name in CLOSES_AFTER_REJECTION:
            assert headers["connection"] == "close"
            return
        # The server discards the rest, and the connection serves the next request.
        raw.sendall(SENT[1024:])
        path = urlsplit(url).path
        raw.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n\r\n".encode())
        status, headers = read_head(raw)
        assert status == expected(tus.server.name, "HEAD").status
        assert headers["upload-offset"] == "0"


def test_head_during_a_patch_returns_the_offset(tus: Exchanges) -> None:
    ticket, url = tus.create(len(SENT))
    kept = CUT - CUT % tus.server.part
    with patch_by_hand(url, offset=0, length=len(SENT)) as raw:
        raw.sendall(SENT[:CUT])
        wait_until_read(raw)
        if tus.server.name in HEAD_INTERRUPTS_PATCH:
            assert tus.offset(url) == kept
        else:
            assert settled(tus, url, kept) == kept
            raw.sendall(SENT[CUT:])
        status, headers = read_head(raw)
    assert status == expected(tus.server.name, "PATCH").status
    if tus.server.name in HEAD_INTERRUPTS_PATCH:
        assert int(headers["upload-offset"]) == kept
        tus.check("PATCH", tus.patch(url, kept, SENT[kept:]))
    assert tus.server.stored(ticket) == SENT


def test_second_writer_at_the_same_offset_is_rejected(tus: Exchanges) -> None:
    _, url = tus.create(len(SENT))
    with patch_by_hand(url, offset=0, length=len(SENT)) as raw:
        raw.sendall(SENT[:CUT])
        wait_until_read(raw)
        tus.check("PATCH with a wrong offset", tus.patch(url, 0, b"0123456789"))
