"""A link with a rate and a round-trip time, in front of a server on the loopback interface.

    python link.py PORT BYTES_PER_SECOND ROUND_TRIP_SECONDS

It prints its own port as one line of JSON, and ends when its stdin does. All connections share the
rate towards the server; the other direction only has the delay. A connection's first bytes wait a
round trip for its handshake, which took no time on the loopback interface. One thread with epoll
needs a tenth of a core at 200 Mbit/s, so the line is the bottleneck.
"""

import contextlib
import heapq
import itertools
import json
import selectors
import socket
import sys
import time

BLOCK = 64 * 1024
BOTH = 2
# What a sender may be ahead of the line.
RECEIVE_BUFFER = 128 * 1024
# The line doesn't lose the time by which this process wakes up late.
MAX_LATENESS = 0.01


class Link:
    """All connections, the line that they share, and the bytes in flight."""

    def __init__(self, target, rate, round_trip):
        self.target = target
        self.rate = rate
        self.delay = round_trip / 2
        self.line_free_at = 0.0
        self.selector = selectors.DefaultSelector()
        # (time, number, function, arguments), the next first.
        self.timers = []
        self.numbers = itertools.count()

    def call_at(self, when, function, *arguments):
        """Call a function at a time."""
        heapq.heappush(self.timers, (when, next(self.numbers), function, arguments))

    def run(self):
        """Forward until stdin ends."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        self.selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        self.selector.register(sys.stdin, selectors.EVENT_READ, sys.exit)
        while True:
            timeout = self.timers[0][0] - time.monotonic() if self.timers else None
            for key, _ in self.selector.select(timeout):
                key.data()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                _, _, function, arguments = heapq.heappop(self.timers)
                function(*arguments)

    def _accept(self, listener):
        client = listener.accept()[0]
        server = socket.create_connection(("127.0.0.1", self.target))
        ended = []
        upward = Direction(self, client, server, ended, is_paced=True)
        downward = Direction(self, server, client, ended, is_paced=False)
        for each in (upward, downward):
            self.call_at(time.monotonic() + 2 * self.delay, each.resume)


class Direction:
    """One direction of a connection.

    Attributes:
        ended: The directions of the connection that have ended; the second closes it.
        is_paced: Whether the rate applies.
    """

    def __init__(self, link, source, destination, ended, *, is_paced):
        source.settimeout(0)
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link = link
        self.source = source
        self.destination = destination
        self.ended = ended
        self.is_paced = is_paced

    def resume(self):
        """Wait for bytes."""
        self.link.selector.register(self.source, selectors.EVENT_READ, self.read)

    def read(self):
        """Read a block, and deliver it once it has passed the line."""
        link, now = self.link, time.monotonic()
        try:
            block = self.source.recv(BLOCK)
        except OSError:
            block = b""
        passed = now
        if self.is_paced:
            free_at = max(now - MAX_LATENESS, link.line_free_at)
            passed = link.line_free_at = free_at + len(block) / link.rate
        link.call_at(passed + link.delay, self.deliver, block)
        if not block:
            link.selector.unregister(self.source)
        elif passed > now:
            link.selector.unregister(self.source)
            link.call_at(passed, self.resume)

    def deliver(self, block):
        """Write a block; an empty one ends the direction."""
        with contextlib.suppress(OSError):
            if block:
                self.destination.settimeout(None)
                self.destination.sendall(block)
                self.destination.settimeout(0)
                return
            self.ended.append(self)
            self.destination.shutdown(socket.SHUT_WR)
        if len(self.ended) == BOTH:
            self.source.close()
            self.destination.close()


if __name__ == "__main__":
    Link(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])).run()
