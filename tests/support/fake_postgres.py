"""A server that speaks as much of PostgreSQL's protocol as a client needs to connect.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import contextlib
import socket
import struct
import threading

# Requests for encryption, which `N` refuses.
ENCRYPTION = {80877103, 80877104}


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def fatal(code, text):
    """Return a fatal error with an SQLSTATE."""
    fields = (b"SFATAL", b"VFATAL", b"C" + code.encode(), b"M" + text.encode(), b"")
    return message(b"E", b"\0".join(fields) + b"\0")


def welcome(version):
    """Return what a server of a version answers to a client that it trusts."""
    parameters = {"server_version": version, "client_encoding": "UTF8"}
    return b"".join(
        [
            message(b"R", struct.pack("!I", 0)),
            *(message(b"S", f"{it}\0{value}\0".encode()) for it, value in parameters.items()),
            message(b"K", struct.pack("!II", 1, 2)),
            message(b"Z", b"I"),
        ]
    )


class FakePostgres:
    """Answers the first connections, and forwards later ones; use it as a context manager.

    Args:
        answers: What is sent to each of the first clients.
        target: The port of a server for later ones; None closes their connections.

    Attributes:
        port: The port.
        connections: The number of connections accepted.
    """

    def __init__(self, *answers, target=None):
        self.connections = 0
        self._answers = list(answers)
        self._target = target
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._stack.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._stack.enter_context(self._listener.accept()[0])
                self.connections += 1
                self._answer(client)

    def _answer(self, client):
        while True:
            head = client.recv(8, socket.MSG_WAITALL)
            length, code = struct.unpack("!II", head)
            if code not in ENCRYPTION:
                break
            client.sendall(b"N")
        startup = head + client.recv(length - 8, socket.MSG_WAITALL)
        if self._answers:
            client.sendall(self._answers.pop(0))
        elif self._target is not None:
            server = socket.create_connection(("127.0.0.1", self._target))
            self._stack.enter_context(server)
            server.sendall(startup)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=copy, args=(source, sink), daemon=True).start()
            return
        client.shutdown(socket.SHUT_WR)


def copy(source, sink):
    """Copy bytes until the end."""
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)
