"""Opens TCP connections on plain sockets, without a transport of the event loop."""

from __future__ import annotations

import asyncio
import socket
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import anyio

from livepeer_async.concurrency import plain_task_group

# Seconds after which the next address is tried beside the ones before. Source: RFC 8305, 8.
NEXT_ADDRESS_SECONDS = 0.25


class _Address(NamedTuple):
    """An address that a host name resolved to."""

    family: int
    address: Any


async def connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that accepts.

    Raises:
        OSError: no address accepts, or the name can't be resolved.

    Source: RFC 8305 ("Happy Eyeballs").
    """
    addresses = await _resolve(host, port)
    if len(addresses) == 1:
        return await _connect_to(addresses[0])
    race = _Race()
    async with plain_task_group() as tasks:
        for address in addresses:
            failed = anyio.Event()
            tasks.start_soon(race.run, address, failed, tasks.cancel_scope)
            with anyio.move_on_after(NEXT_ADDRESS_SECONDS):
                await failed.wait()
    return race.finish()


class _Race:
    """Attempts to connect to several addresses, of which the first success counts."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._errors: list[OSError] = []

    async def run(self, address: _Address, failed: anyio.Event, others: anyio.CancelScope) -> None:
        try:
            sock = await _connect_to(address)
        except OSError as error:
            self._errors.append(error)
            failed.set()
            return
        if self._socket is not None:
            sock.close()
            return
        self._socket = sock
        others.cancel()

    def finish(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        try:
            raise self._errors[0]
        finally:
            # Breaks the cycle between this frame and the errors' tracebacks.
            self._errors.clear()


async def _resolve(host: str, port: int) -> list[_Address]:
    """Return the addresses of a host, IPv6 and IPv4 in turns."""
    try:
        # Without a thread.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    by_family: dict[int, list[_Address]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, []).append(_Address(family, address))
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return list(dict.fromkeys(address for address in turns if address is not None))


async def _connect_to(address: _Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - it has no keyword
        await asyncio.get_running_loop().sock_connect(sock, address.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock
