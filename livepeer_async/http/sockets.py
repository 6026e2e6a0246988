"""TCP options of the connections, and the sockets of closed event loops."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from typing import Any

# Bytes that the kernel buffers beyond those in flight. Buffered bytes count as sent in the progress
# and in the throughput that adapts the concurrency.
MAX_UNSENT = 1024 * 1024
PROBES = 4
# l_onoff = 1, l_linger = 0.
_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def tune_socket(sock: socket.socket, *, dead_after: float) -> None:
    """Reset the connection on close, and detect a dead peer with keep-alive probes.

    A reset discards the send buffer. After a FIN, the rest of a cancelled chunk would still reach
    the server, beside the next request. No response is lost: a connection is only closed after its
    response was read or is no longer needed.

    Only a live peer acknowledges TCP's probes, however slow it is. TCP_USER_TIMEOUT limits how long
    data or a probe may stay unacknowledged; on platforms without it, the number of probes does.

    Args:
        sock: a connected TCP socket.
        dead_after: seconds without an acknowledgement after which the peer counts as dead.

    Source: RFC 9293, 3.8.4 (keep-alives); RFC 5482 (user timeout).
    """
    seconds = max(1, round(dead_after))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # macOS
    options = {
        "TCP_NOTSENT_LOWAT": MAX_UNSENT,
        idle: max(1, seconds // 2),
        "TCP_KEEPINTVL": max(1, seconds // (2 * PROBES)),
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": 1000 * seconds,
    }
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def asyncio_transport_of(stream: Any) -> Any:
    """Return the asyncio transport of an httpcore network stream; `None` for other streams."""
    # Neither httpcore nor anyio has a public attribute for it.
    inner = getattr(stream, "_stream", None)
    return getattr(getattr(inner, "transport_stream", inner), "_transport", None)


def close_abandoned(transport: Any) -> None:
    """Close the socket of an asyncio transport whose event loop is closed.

    The transport's public methods need the loop, and its finalizer warns. uvloop has closed its
    sockets together with the loop.
    """
    close = getattr(transport, "_call_connection_lost", None)
    if close is None or getattr(transport, "_sock", None) is None:
        return
    # A task that still waits for the connection can't be woken. The socket is closed nevertheless.
    with suppress(RuntimeError):
        close(None)
