"""A TCP proxy that runs in a thread and cuts connections on one side or on both."""

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading

from support.proxy import BLOCK, abort

SIDES = ("client", "server")
WAYS = ("silent", "close", "reset", "lost")
# From <asm-generic/socket.h>; the socket module lacks them.
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# The instruction `ret #0` of the classic BPF: accept no byte of a packet.
DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))


class CutProxy:
    """Forwards connections to a port on the loopback interface until they are cut.

    Use it as a context manager. Its methods may be called in any thread, and take effect before
    they return.

    Args:
        target: The server's port.

    Attributes:
        port: The proxy's own port.
        connections: The number of connections accepted.
    """

    def __init__(self, target):
        self.target = target
        self.port = 0
        self.connections = 0
        self._cut = {}
        self._pairs = set()
        self._tasks = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self.port = self._listener.getsockname()[1]
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_):
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    def cut(self, side="both", how="silent"):
        """Cut all connections, and those that are opened before `heal()`.

        Args:
            side: "client", "server" or "both". The other side is told nothing.
            how: "silent" holds the bytes to that side; those from it are forwarded if the other
                side isn't cut. "lost" drops that side's packets without acknowledgement, as an
                unplugged network does; see `can_drop_packets`. "close" and "reset" end that side's
                connection by FIN or RST. After the last three, nothing is forwarded in either
                direction.
        """
        assert side in {*SIDES, "both"}
        assert how in WAYS
        for name in SIDES if side == "both" else (side,):
            self._cut[name] = how
        self._call(self._apply())

    def heal(self):
        """Forward again, also what the open connections sent meanwhile.

        A connection that was closed on one side is reset on the other.
        """
        self._call(self._heal())

    @property
    def open(self):
        """The number of connections that are open on either side."""
        return len(self._pairs)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self):
        # By the side that receives: whether bytes are forwarded to it.
        self._passes = {side: asyncio.Event() for side in SIDES}
        self._set_directions()
        self._start_task(self._accept())

    async def _stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _set_directions(self):
        """Open and close the directions."""
        for sink, source in (SIDES, SIDES[::-1]):
            if sink not in self._cut and self._cut.get(source) in {None, "silent"}:
                self._passes[sink].set()
            else:
                self._passes[sink].clear()

    async def _apply(self):
        self._set_directions()
        if self._cut.get("client") == "lost":
            drop_packets(self._listener)
        for pair in self._pairs:
            pair.cut(self._cut)

    async def _heal(self):
        self._cut.clear()
        with contextlib.suppress(OSError):
            self._listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        for pair in self._pairs:
            pair.heal()
        self._set_directions()

    async def _accept(self):
        while True:
            sock, _ = await self._loop.sock_accept(self._listener)
            self.connections += 1
            self._start_task(self._forward(sock))

    def _start_task(self, coroutine):
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, sock):
        """Forward a connection, once bytes may pass to the server."""
        pair = Pair()
        self._pairs.add(pair)
        try:
            pair.ends["client"] = await asyncio.open_connection(sock=sock)
            pair.cut(self._cut)
            await self._passes["server"].wait()
            if not pair.is_closed("client"):
                pair.ends["server"] = await asyncio.open_connection("127.0.0.1", self.target)
                pair.cut(self._cut)
                await asyncio.gather(
                    self._copy(pair, "client", "server"), self._copy(pair, "server", "client")
                )
        except OSError:
            pass
        finally:
            self._pairs.discard(pair)
            for side in SIDES:
                pair.close(side, reset=False)

    async def _copy(self, pair, source, sink):
        """Copy bytes in one direction to its end."""
        reader, writer = pair.ends[source][0], pair.ends[sink][1]
        passes = self._passes[sink]
        try:
            while block := await reader.read(BLOCK):
                await passes.wait()
                writer.write(block)
                await writer.drain()
            await passes.wait()
            if not pair.is_closed(source) and not pair.is_closed(sink):
                writer.write_eof()
        except OSError:
            await passes.wait()
            pair.close(sink, reset=True)


class Pair:
    """The two connections of a client: to the proxy and from it to the server."""

    def __init__(self):
        self.ends = {}
        self._closed = set()

    def cut(self, how_by_side):
        for side, how in how_by_side.items():
            if side in self.ends and how == "lost":
                drop_packets(self.ends[side][1].get_extra_info("socket"))
            elif how in {"close", "reset"}:
                self.close(side, reset=how == "reset")

    def heal(self):
        for side, (_, writer) in self.ends.items():
            if self._closed:
                self.close(side, reset=True)
            elif not writer.transport.is_closing():
                with contextlib.suppress(OSError):
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def is_closed(self, side):
        return side in self._closed

    def close(self, side, *, reset):
        if side in self.ends and side not in self._closed:
            self._closed.add(side)
            abort(self.ends[side][1], reset=reset)


def can_drop_packets():
    """Whether this system lets this user attach packet filters."""
    with socket.socket() as sock, contextlib.suppress(OSError):
        drop_packets(sock)
        return True
    return False


def drop_packets(sock):
    """Drop all packets that arrive at a socket: their sender gets no acknowledgement."""
    program = struct.pack("HP", 1, ctypes.addressof(DROP_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
