"""How late an event loop is beside uploads over TLS."""

import contextlib
import socket
import time

from suite.figures import OURS, Figure, percentile
from suite.processes import has_ended, run
from suite.setup import MIB, alternate, free_port

# Several seconds, of which the handshakes and the start of the threads are a small part.
UPLOADS, LENGTH = 16, 256 * MIB
PING_SECONDS, CONNECT_SECONDS = 0.02, 30.0
PING = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def measure(setup):
    """Measure a ticker on the loop, and a handler from outside."""
    what = f"{UPLOADS} uploads over TLS on the loop"
    figures = {
        "p50": Figure(
            "loop", "ticker-p50", f"beside {what}, a 200 Hz ticker is late, median", "ms"
        ),
        "p99": Figure("loop", "ticker-p99", f"beside {what}, a 200 Hz ticker is late, p99", "ms"),
        "ping50": Figure("loop", "handler-p50", f"beside {what}, a trivial handler, median", "ms"),
        "ping99": Figure("loop", "handler-p99", f"beside {what}, a trivial handler, p99", "ms"),
    }
    folder = setup.copies(LENGTH, UPLOADS)
    with setup.tls_sink() as origin:
        for side, name in alternate({OURS: "ours", "httpx": "httpx"}, setup.runs):
            values = measure_side(setup, name, origin, folder)
            for key, figure in figures.items():
                figure.add(side, values[key])
    return list(figures.values())


def measure_side(setup, side, origin, folder):
    """Measure once; return the values by name."""
    port, times = free_port(), []
    command = setup.ours("loop.py", side, origin, folder, port)
    printed = run(command, setup.trust, lambda process: ping(process, port, times)).printed
    return {**printed, "ping50": percentile(times, 0.5), "ping99": percentile(times, 0.99)}


def ping(process, port, times):
    """Send requests to the handler until it closes; collect the milliseconds."""
    sock = connect(process, port)
    if sock is None:
        return
    with sock, contextlib.suppress(OSError):
        began = time.perf_counter()
        sock.sendall(PING)
        while sock.recv(4096):
            times.append(1000 * (time.perf_counter() - began))
            time.sleep(PING_SECONDS)
            began = time.perf_counter()
            sock.sendall(PING)


def connect(process, port):
    """Connect once the handler listens; return None if the client ends or takes too long."""
    until = time.monotonic() + CONNECT_SECONDS
    while not has_ended(process) and time.monotonic() < until:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS)
        except OSError:
            time.sleep(0.01)
    return None
