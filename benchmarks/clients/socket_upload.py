"""Sends a file over a blocking socket: the least that Python can do.

    python socket_upload.py ORIGIN FILE [COUNT]

With COUNT, each file is a request for an upload and a creation with all bytes.
"""

import json
import socket
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

from process import MIB


def connect(origin):
    """Open a connection."""
    url = urlsplit(origin)
    sock = socket.create_connection((url.hostname, url.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if url.scheme == "https":
        return ssl.create_default_context().wrap_socket(sock, server_hostname=url.hostname)
    return sock


def send_file(sock, path):
    """Send a file in one request."""
    length = Path(path).stat().st_size
    sock.sendall(head("PATCH /discard", f"Content-Length: {length}"))
    buffer = bytearray(MIB)
    view = memoryview(buffer)
    with Path(path).open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sock.sendall(view[:count])
    return read_response(sock)


def send_small(sock, path):
    """Request an upload, and create it with all bytes."""
    content = Path(path).read_bytes()
    body = json.dumps({"name": Path(path).name}).encode()
    sock.sendall(head("POST /api/asset/request-upload", f"Content-Length: {len(body)}") + body)
    target = urlsplit(json.loads(read_response(sock))["tusEndpoint"])
    length = f"Content-Length: {len(content)}\r\nUpload-Length: {len(content)}"
    sock.sendall(head(f"POST {target.path}?{target.query}", length) + content)
    read_response(sock)


def head(line, headers):
    """Build the head of a request."""
    return f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n".encode()


def read_response(sock):
    """Read a response; return its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += sock.recv(65536)
    start, _, body = received.partition(b"\r\n\r\n")
    if not start.startswith(b"HTTP/1.1 2"):
        sys.exit(f"the response is {start[:60]!r}; wanted a success")
    length = int(start.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += sock.recv(65536)
    return body


def main(origin, path, count=None):
    """Send the file."""
    with connect(origin) as sock:
        if count is None:
            send_file(sock, path)
        for _ in range(int(count or 0)):
            send_small(sock, path)


main(*sys.argv[1:])
