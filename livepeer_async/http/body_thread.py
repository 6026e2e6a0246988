"""Sends request bodies on a socket that never blocks: by a worker thread, or by the event loop.

The thread reads, hashes and encrypts a file outside the event loop, and mostly without the
interpreter's lock, so several uploads use several cores.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress

from livepeer_async.http.early_responses import MAX_RECEIVED, is_final_response
from livepeer_async.http.loops import CHECK_SECONDS
from livepeer_async.http.socket_stream import (
    READ,
    READ_SIZE,
    WOULD_BLOCK,
    WRITE,
    SocketStream,
)
from livepeer_async.http.streams import ThreadBody

# Bytes that a thread reads at once.
BLOCK = 512 * 1024
_EVENTS = {READ: select.POLLIN, WRITE: select.POLLOUT}


class EarlyResponse:
    """What the server sends while a request body is sent to it.

    Args:
        stream: the connection.

    Attributes:
        received: the bytes.
        has_started: whether a final response has started, or none can arrive any more.
    """

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self.received = bytearray()
        self.has_started = False
        self.error: OSError | None = None

    @property
    def directions(self) -> tuple[str, ...]:
        """What a wait for the socket must also end with: `READ`, unless the buffer is full."""
        return () if len(self.received) >= MAX_RECEIVED else (READ,)

    def check(self) -> bool:
        """Read what has arrived; return whether the rest of the body needn't be sent."""
        while not self.has_started and self.directions and self._stream.is_readable:
            try:
                block = self._stream.sock.recv(READ_SIZE)
            except WOULD_BLOCK:
                break  # TLS has received a record without data
            except OSError as error:
                self.error, self.has_started = error, True
                break
            self.received += block
            self._stream.has_ended = not block
            self.has_started = not block or is_final_response(self.received)
        return self.has_started


class BodyThread:
    """Sends a body in a worker thread.

    Args:
        stream: the connection; nothing else uses it until `run` has ended.
        body: the body.
        early: reads an early response.
        stall: seconds in which the socket must accept a part.

    Attributes:
        sent: bytes that the socket has accepted.
    """

    def __init__(
        self, stream: SocketStream, body: ThreadBody, early: EarlyResponse, stall: float
    ) -> None:
        self._stream = stream
        self._body = body
        self._early = early
        self._stall = stall
        self.sent = 0
        self._aborted = threading.Event()
        # Held while the thread uses the socket.
        self._lock = threading.Lock()
        self._poll = select.poll()

    def run(self) -> None:
        """Send the body until its end, or until a response starts.

        Raises:
            TimeoutError: the socket accepts nothing in time.
            OSError: the connection is broken.
            SourceError: the source can't be read.
        """
        while not self._aborted.is_set():
            block = self._body.read(BLOCK)
            with self._lock:
                if not block or not self._send(block):
                    return

    def abort(self) -> None:
        """Reset the connection at once, and end the thread when it has read its block.

        A thread that reads from a disk which hangs can't be interrupted.
        """
        self._aborted.set()
        with suppress(OSError):
            # Ends a wait of the thread, and sends nothing. The method of `SSLSocket` would end
            # its encryption too, and the thread would send plain bytes.
            socket.socket.shutdown(self._stream.sock, socket.SHUT_RD)
        with self._lock:
            self._stream.close()

    def _send(self, block: memoryview) -> bool:
        """Send a block; return whether the next one may follow."""
        rest, is_ready = block, False
        while rest:
            if self._aborted.is_set() or (not is_ready and self._early.check()):
                return False
            count, wanted = self._stream.send_now(rest)
            if wanted is not None:
                self._wait(wanted)
            self.sent += count
            rest, is_ready = rest[count:], wanted is None
        return True

    def _wait(self, *directions: str) -> None:
        events = sum(_EVENTS[direction] for direction in {*directions, *self._early.directions})
        self._poll.register(self._stream.sock.fileno(), events)
        ends_at = time.monotonic() + self._stall
        while not self._poll.poll(min(CHECK_SECONDS, self._stall) * 1000):
            if self._aborted.is_set() or self._stream.is_abandoned:
                # The interpreter's exit waits for the thread.
                self._aborted.set()
                return
            if time.monotonic() >= ends_at:
                raise TimeoutError
