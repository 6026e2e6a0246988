"""TCP options of the connections that requests are sent through."""

from __future__ import annotations

import socket
import struct
import sys

# Bytes that the kernel accepts beyond those in flight. What it has accepted counts as sent, in the
# progress that is shown and in the rate that the number of uploads adapts to.
UNSENT = 1024 * 1024
PROBES = 4
# l_onoff = 1, l_linger = 0.
_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def tune_socket(sock: socket.socket, *, dead_after: float) -> None:
    """Reset the connection on close, and let TCP notice a peer that is gone.

    A reset overtakes what the send buffer still holds. After a FIN, the rest of an abandoned chunk
    would reach the server beside its successor. Nothing is lost: a connection is only closed once
    its response was read, or is no longer wanted.

    A slow server and a dead one look the same to the clock, but only a live one acknowledges TCP's
    probes. TCP_USER_TIMEOUT bounds how long data, or a probe, may stay unacknowledged; where the
    platform lacks it the number of probes does.

    Args:
        sock: a connected TCP socket.
        dead_after: seconds without an acknowledgement after which the peer counts as gone.

    Source: RFC 9293, 3.8.4 (keep-alives); RFC 5482 (user timeout).
    """
    seconds = max(1, round(dead_after))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # macOS
    options = {
        "TCP_NOTSENT_LOWAT": UNSENT,
        idle: max(1, seconds // 2),
        "TCP_KEEPINTVL": max(1, seconds // (2 * PROBES)),
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": 1000 * seconds,
    }
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
