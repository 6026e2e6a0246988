"""A small tus server on a real socket, with the faults of real servers as options."""

from contextlib import asynccontextmanager
from typing import NamedTuple

from support.servers import listen


class ReceivedRequest(NamedTuple):
    """A request: its method, and its headers with names in lower case."""

    method: str
    headers: list

    def values(self, name):
        """Return all values of a header."""
        return [value for found, value in self.headers if found == name]


class FaultyServer:
    """Stores uploads in memory.

    Options:
        extensions, version: what OPTIONS lists; by default nothing.
        ignores_length: ignore a deferred length when it is declared.
        head: changes to the headers of each response to HEAD.
        keeps: bytes that are left of a complete upload.
        forgets: status of HEAD for a complete upload.
        script: responses in place of the real ones, as (status, headers) per method.
    """

    def __init__(self, **options):
        self.extensions = self.version = self.keeps = self.forgets = None
        self.ignores_length, self.head, self.script = False, {}, {}
        vars(self).update(options)
        self.port = 0
        self.requests = []
        self.uploads = {}

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}/files"

    @property
    def methods(self):
        return [request.method for request in self.requests]

    def stored(self, upload_url):
        return bytes(self.uploads["/" + upload_url.split("/", 3)[3]][0])

    async def serve(self, reader, writer):
        while True:
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            method, path, _ = line.split(" ")
            pairs = [line.split(":", 1) for line in lines]
            request = ReceivedRequest(
                method, [(name.lower(), value.strip()) for name, value in pairs]
            )
            headers = dict(request.headers)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append(request)
            status, response = self.respond(method, path, headers, body)
            if status is None:
                writer.transport.abort()
                return
            response = {"Content-Length": "0", **response}
            head = "".join(f"{name}: {value}\r\n" for name, value in response.items())
            writer.write(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode())

    def respond(self, method, path, headers, body):
        if self.script.get(method):
            return self.script[method].pop(0)
        if method == "OPTIONS":
            listed = {"Tus-Version": self.version, "Tus-Extension": self.extensions}
            return 204, {name: value for name, value in listed.items() if value is not None}
        if method == "POST":
            path = f"/files/{len(self.uploads) + 1:032}"
            length = headers.get("upload-length")
            self.uploads[path] = [bytearray(), None if length is None else int(length)]
            return 201, {"Location": path}
        if path not in self.uploads:
            return 404, {}
        return getattr(self, f"respond_{method.lower()}")(path, headers, body)

    def respond_head(self, path, headers, body):
        held, length = self.uploads[path]
        if len(held) == length and self.forgets:
            return self.forgets, {}
        offset = len(held) if self.keeps is None or len(held) != length else self.keeps
        known = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": length}
        response = {"Upload-Offset": offset, **known, **self.head}
        return 200, {name: value for name, value in response.items() if value is not None}

    def respond_patch(self, path, headers, body):
        held, length = self.uploads[path]
        if int(headers["upload-offset"]) != len(held):
            return 409, {}
        if "upload-length" in headers and length is None and not self.ignores_length:
            self.uploads[path][1] = int(headers["upload-length"])
        held += body
        return 204, {"Upload-Offset": len(held)}

    def respond_delete(self, path, headers, body):
        del self.uploads[path]
        return 204, {}


@asynccontextmanager
async def run_server(**options):
    server = FaultyServer(**options)
    async with listen(server.serve) as port:
        server.port = port
        yield server
