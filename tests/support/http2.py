"""An HTTP/2 server on real sockets, without TLS: clients need `http1=False, http2=True`."""

import asyncio
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from support.servers import listen

CODES = h2.errors.ErrorCodes


class Http2Server:
    """A tus server that locks its upload, with faults; the upload begins with its first PATCH.

    Attributes:
        length: Upload-Length.
        stored: The bytes that arrived.
        statuses: (method, status) of each response.
        resets: The error codes of the streams that the client has reset.
        connections: The number of connections accepted.
        ended: The number of PATCHes that the client reset, or whose connection it closed.
        faults: For PATCHes in order: a function of the connection and the stream ID, called after
            `after` bytes of the body; or None for none.
        grants: Whether the client may send more than the first window.
    """

    def __init__(self, length, *faults, after=0, grants=True):
        self.length = length
        self.stored = bytearray()
        self.statuses = []
        self.resets = []
        self.connections = 0
        self.ended = 0
        self.faults = list(faults)
        self.after = after
        self.grants = grants
        self.writer = None

    async def handle(self, reader, writer):
        self.connections += 1
        connection = _Connection(self, reader, writer)
        try:
            await connection.run()
        finally:
            self.ended += len(connection.patches)
            writer.transport.abort()


class _Connection:
    def __init__(self, server, reader, writer):
        self.server = server
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(client_side=False)
        self.h2 = h2.connection.H2Connection(config)
        # The PATCH that holds the lock: its stream, fault and received bytes.
        self.patches = {}
        # Bytes that the client can't send again until its stream ends.
        self.held_back = 0

    async def run(self):
        self.h2.initiate_connection()
        self.flush()
        while block := await self.reader.read(64 * 1024):
            try:
                events = self.h2.receive_data(block)
            except h2.exceptions.ProtocolError:
                return  # after a GOAWAY
            for event in events:
                self.receive(event)
            self.flush()

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def receive(self, event):
        server = self.server
        match event:
            case h2.events.RequestReceived():
                self.receive_head(event.stream_id, dict(event.headers))
            case h2.events.DataReceived() if event.stream_id in self.patches:
                self.receive_body(event)
            case h2.events.StreamEnded() if event.stream_id in self.patches:
                del self.patches[event.stream_id]
                self.respond(event.stream_id, "PATCH", 204, offset=len(server.stored))
            case h2.events.StreamReset():
                server.ended += event.stream_id in self.patches
                self.patches.pop(event.stream_id, None)
                server.resets.append(event.error_code)
                if self.held_back:
                    self.h2.increment_flow_control_window(self.held_back)
                    self.held_back = 0

    def receive_head(self, stream_id, headers):
        server, method = self.server, headers[b":method"].decode()
        if method == "PATCH" and not self.patches:
            self.patches[stream_id] = server.faults.pop(0) if server.faults else None
            if self.patches[stream_id] and not server.after:
                self.fail(stream_id)
        elif method == "PATCH" or self.patches:
            self.respond(stream_id, method, 423)
        elif method == "HEAD":
            self.respond(stream_id, method, 200, offset=len(server.stored))
        else:
            self.respond(stream_id, method, 200, body=b"beginning", ends=method != "GET")

    def receive_body(self, event):
        server = self.server
        server.stored += event.data
        if not server.grants:
            self.held_back += event.flow_controlled_length
        else:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if self.patches[event.stream_id] and len(server.stored) >= server.after:
            self.fail(event.stream_id)

    def fail(self, stream_id):
        fault, self.patches[stream_id] = self.patches[stream_id], None
        fault(self, stream_id)

    def respond(self, stream_id, method, status, *, offset=None, body=b"", ends=True):
        self.server.statuses.append((method, status))
        headers = [(":status", str(status)), ("tus-resumable", "1.0.0")]
        if offset is not None:
            headers += [("upload-offset", str(offset)), ("upload-length", str(self.server.length))]
        self.h2.send_headers(stream_id, headers, end_stream=ends and not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=ends)

    def reset(self, stream_id, code):
        self.patches.pop(stream_id, None)
        self.h2.reset_stream(stream_id, code)


def reset_with(code):
    return lambda connection, stream_id: connection.reset(stream_id, code)


def go_away(connection, stream_id):
    connection.patches.clear()
    connection.h2.close_connection(CODES.NO_ERROR, last_stream_id=0)


def disconnect(connection, stream_id):
    connection.writer.transport.abort()


def hang(connection, stream_id):
    connection.server.grants = False


def refuse_with(status, body=b"", code=None, *, ends=True):
    """Respond before the whole body has arrived, and reset the stream with `code`."""

    def refuse(connection, stream_id):
        connection.respond(stream_id, "PATCH", status, body=body, ends=ends)
        if code is not None:
            connection.reset(stream_id, code)

    return refuse


@asynccontextmanager
async def serve_http2(server):
    """Run a server; yield the URL of its upload."""
    async with listen(server.handle) as port:
        yield f"http://127.0.0.1:{port}/files/secretupload"


@asynccontextmanager
async def http2_client(library, **options):
    async with library.AsyncClient(http1=False, http2=True, **options) as client:
        yield client
        await asyncio.sleep(0)
