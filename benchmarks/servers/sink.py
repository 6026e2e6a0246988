"""HTTP server that discards bodies: tus uploads, the API calls of an upload, and plain requests.

    python sink.py [http|https]

The argument is the scheme of the URLs in responses: https behind a TLS terminator. The program
prints its port as one line of JSON, and ends when its stdin does. One thread serves all connections
with epoll, and the kernel discards bodies (MSG_TRUNC): the client is what must be measured.
`/discard` accepts any body, `/ping` and `/statistics` are for the benchmarks, and the rest is in
`fake_api.py`.
"""

import json
import re
import selectors
import socket
import sys
from collections import Counter

from fake_api import FakeApi

BLOCK = 1 << 20
MAX_HEAD = 64 * 1024
SCRATCH = bytearray(BLOCK)


class Connection:
    """A connection of a client.

    Attributes:
        received: Bytes that aren't processed yet: a head, or a document.
        upload: The upload that the current body belongs to, or None.
        left: Bytes of the current body that haven't arrived; None between requests.
    """

    def __init__(self, sock):
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.received = b""
        self.request = None
        self.upload = None
        self.left = None
        self.is_discarded = False

    def read(self, server):
        """Process what has arrived; return False at the end of the connection."""
        if self.left is not None and self.is_discarded:
            return self._discard(server)
        block = self.sock.recv(MAX_HEAD)
        if not block:
            return False
        self.received += block
        while self._advance(server):
            pass
        return True

    def _discard(self, server):
        count = self.sock.recv_into(SCRATCH, min(BLOCK, self.left), socket.MSG_TRUNC)
        if not count:
            return False
        self._count(server, count)
        if not self.left:
            self._respond(server, b"")
        return True

    def _count(self, server, count):
        self.left -= count
        server.statistics["bytes"] += count
        if self.upload is not None and self.upload.is_expected:
            self.upload.offset += count

    def _advance(self, server):
        """Process one head or document; return whether there may be another."""
        if self.left is None:
            head, found, rest = self.received.partition(b"\r\n\r\n")
            if not found:
                return False
            self.received = rest
            self._begin(server, parse_head(head))
        if self.is_discarded:
            count = min(len(self.received), self.left)
            self._count(server, count)
            self.received = self.received[count:]
            if self.left:
                return False
            self._respond(server, b"")
        else:
            if len(self.received) < self.left:
                return False
            document, self.received = self.received[: self.left], self.received[self.left :]
            self._respond(server, document)
        return bool(self.received)

    def _begin(self, server, request):
        self.request = request
        self.left = int(request.headers.get("content-length", 0))
        if "transfer-encoding" in request.headers:
            raise ValueError("a chunked body; wanted a Content-Length")
        self.upload = server.api.begin_upload(request)
        self.is_discarded = self.upload is not None or request.path == "/discard"
        if "expect" in request.headers and self.left:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _respond(self, server, document):
        request, upload = self.request, self.upload
        self.request = self.upload = self.left = None
        server.statistics["requests"] += 1
        server.statistics[f"{request.method} {request.path.partition('?')[0]}"] += 1
        self._send(server.respond(request, upload, document))

    def _send(self, block):
        """Send a response, which is longer than the socket's buffer if it is a list."""
        sent = self.sock.send(block)
        if sent < len(block):
            self.sock.settimeout(None)
            self.sock.sendall(block[sent:])
            self.sock.settimeout(0)


class Request:
    """The head of a request."""

    def __init__(self, method, path, headers):
        self.method = method
        self.path = path
        self.headers = headers


def parse_head(head):
    """Parse the head of a request."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers)


class Server:
    """All connections, and what they have in common."""

    def __init__(self, scheme):
        self.api = FakeApi(scheme)
        self.statistics = Counter()

    def respond(self, request, upload, document):
        """Return the response to a request that has arrived completely."""
        if request.path == "/statistics":
            return response(200, json.dumps(summary(self.statistics)).encode())
        if request.path in {"/discard", "/ping"}:
            return response(204 if request.method == "PATCH" else 200)
        return response(*self.api.respond(request, upload, document))

    def run(self):
        """Serve until stdin ends."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is sys.stdin:
                        return
                    if key.fileobj is listener:
                        sock = listener.accept()[0]
                        self.statistics["connections"] += 1
                        selector.register(sock, selectors.EVENT_READ, Connection(sock))
                    elif not self._serve(key.data):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()

    def _serve(self, connection):
        try:
            return connection.read(self)
        except OSError:
            return False


def summary(statistics):
    """Join the counts of paths that differ in an ID."""
    joined = Counter()
    for name, count in statistics.items():
        joined[re.sub(r"/[0-9a-f-]{16,}\Z", "/ID", name)] += count
    return joined


REASONS = {200: "OK", 201: "Created", 204: "No Content", 404: "Not Found", 409: "Conflict"}


def response(status, body=b"", headers=""):
    """Build a response."""
    length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"  # noqa: PLR2004 - HTTP
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n{length}{headers}\r\n"
    return head.encode("latin-1") + body


if __name__ == "__main__":
    Server(*sys.argv[1:] or ["http"]).run()
