"""A TCP or TLS socket that an event loop uses without a transport.

The TLS socket is Python's own `SSLSocket`, so OpenSSL encrypts straight into the descriptor.
Through anyio and asyncio, each byte is copied into a `MemoryBIO`, out of it again and into the
buffer of a transport.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

from livepeer_async.concurrency import LoopLocal

T = TypeVar("T")

READ_SIZE = 64 * 1024
CLOSED = "the connection was closed"
READ, WRITE = "read", "write"
# What a socket raises instead of blocking.
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_HANDSHAKES = LoopLocal(partial(anyio.Lock, fast_acquire=True))


class SocketStream:
    """A connected socket that one task uses at a time.

    Args:
        sock: connected, not blocking.

    Attributes:
        sock: as passed, or the TLS socket that replaced it.
        is_closed: whether `close` was called.
        has_ended: whether the peer's end of the connection was read. TLS reports it by a message,
            after which the socket itself may stay open, and isn't readable.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.is_closed = self.has_ended = False
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    @property
    def is_readable(self) -> bool:
        """Whether the kernel has received bytes, or the end of the connection."""
        return bool(self._poll.poll(0))

    @property
    def is_abandoned(self) -> bool:
        """Whether its event loop is closed."""
        return self._loop.is_closed()

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Encrypt the connection.

        Raises:
            TimeoutError: the peer makes no progress for that many seconds.
            OSError: the handshake failed; `ssl.SSLError` is one.
        """
        encrypted = context.wrap_socket(
            self.sock, server_hostname=host, do_handshake_on_connect=False
        )
        self.sock = encrypted
        while (wanted := await _shake_hands(encrypted)) is not None:
            await self.wait(seconds, wanted)

    async def receive(self, seconds: float) -> bytes:
        """Wait for bytes; none at the end of the connection.

        Raises:
            TimeoutError: nothing arrives in time.
            OSError: the connection is broken.
        """
        if self.has_ended:
            return b""
        if not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            await self.wait(seconds, READ)
        block = await self._call(partial(self.sock.recv, READ_SIZE), READ, seconds)
        self.has_ended = not block
        return block

    async def send(self, data: bytes, seconds: float) -> None:
        """Send all bytes; the time limit applies to each part that the socket accepts.

        Raises:
            TimeoutError: the socket accepts nothing in time.
            OSError: the connection is broken.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[await self._call(partial(self.sock.send, rest), WRITE, seconds) :]

    def send_now(self, block: memoryview) -> tuple[int, str | None]:
        """Send what the socket accepts; return the bytes, and what to wait for if there are none.

        Wait for it outside of a handler, or the socket's exception becomes the reason of a timeout.
        """
        try:
            return self.sock.send(block), None
        except WOULD_BLOCK as error:
            return 0, wanted_direction(error, WRITE)

    async def wait(self, seconds: float, *directions: str) -> None:
        """Wait until the socket is readable (`READ`) or writable (`WRITE`).

        Raises:
            TimeoutError: it isn't in time.
            RuntimeError: it was closed meanwhile.
        """
        if self.is_closed:
            raise RuntimeError(CLOSED)
        loop, descriptor = self._loop, self.sock.fileno()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(seconds, _end, waiter, TimeoutError)
        try:
            if READ in directions:
                loop.add_reader(descriptor, _end, waiter)
            if WRITE in directions:
                loop.add_writer(descriptor, _end, waiter)
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
            self._stop_watching()

    def close(self) -> None:
        """Close the socket at once; its event loop may be closed."""
        if self.is_closed:
            return
        self._stop_watching()
        self.is_closed = True
        if self._waiter is not None and not self._loop.is_closed():
            _end(self._waiter, RuntimeError)
        self.sock.close()

    def _stop_watching(self) -> None:
        if not (self.is_closed or self._loop.is_closed()):
            self._loop.remove_reader(self.sock.fileno())
            self._loop.remove_writer(self.sock.fileno())

    async def _call(self, call: Callable[[], T], direction: str, seconds: float) -> T:
        """Call a function of the socket, again whenever the socket is ready for it."""
        while True:
            try:
                return call()
            except WOULD_BLOCK as error:
                wanted = wanted_direction(error, direction)
            await self.wait(seconds, wanted)


async def _shake_hands(sock: ssl.SSLSocket) -> str | None:
    """Continue a handshake; return what it waits for, or `None` if it is complete.

    Each step takes a millisecond or more. Only one is taken in an iteration of the event loop.
    """
    async with _HANDSHAKES.get():
        wanted = None
        try:
            sock.do_handshake()
        except WOULD_BLOCK as error:
            wanted = wanted_direction(error, WRITE)
        await checkpoint()
        return wanted


def wanted_direction(error: OSError, direction: str) -> str:
    """Return what a call has to wait for, of which TLS may need the other direction."""
    if isinstance(error, ssl.SSLWantReadError):
        return READ
    return WRITE if isinstance(error, ssl.SSLWantWriteError) else direction


def _end(waiter: asyncio.Future[None], kind: type[Exception] | None = None) -> None:
    if waiter.done():
        return
    if kind is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(kind(CLOSED) if kind is RuntimeError else kind())
