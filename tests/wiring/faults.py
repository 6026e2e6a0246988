"""A cable that knows where a PATCH begins and ends, and strikes there.

In comes what is to happen to the PATCHes of one upload, in their order; out comes what happened.
Nothing else is struck: the answer to a creation that is lost ends an upload by rule, which has a
test of its own.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from cable import Cable, cut

BLOCK = 256 * 1024
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Kind(StrEnum):
    """What happens to a PATCH."""

    RST = "cut in the PATCH by RST"
    FIN = "cut in the PATCH by FIN"
    # The server works on a chunk that it has got whole, and nobody waits for the answer.
    UNAWAITED = "cut between PATCH and answer"
    ANSWER_LOST = "answer lost at its first byte"


@dataclass(frozen=True)
class Fault:
    """What happens, and for a cut in the body: which part of it, 0 to 1, gets through."""

    kind: Kind
    part: float

    def passes(self, size):
        """Count the bytes of a body of `size` bytes that get through; a cut in it costs one."""
        if self.kind in {Kind.RST, Kind.FIN}:
            return min(int(self.part * size), size - 1)
        return size


class StrikingCable(Cable):
    """Carries one upload to a port and strikes its PATCHes in turn; `None` leaves one alone.

    `strikes` names another method to strike instead. `struck` counts what happened, `requests`
    lists the methods, `sent` counts the bytes of all bodies that were carried.
    """

    def __init__(self, port, faults=(), *, strikes="PATCH"):
        super().__init__(port)
        self.faults = list(faults)
        self.strikes = strikes
        self.requests = []
        self.struck = Counter()
        self.sent = 0

    async def carry(self, reader, writer):
        self.connections += 1
        there = await asyncio.open_connection("127.0.0.1", self.target)
        # `drain` shall wait until the kernel has all: a cut would lose what counts as carried.
        there[1].transport.set_write_buffer_limits(high=0)
        losing = asyncio.Event()
        back = asyncio.create_task(self.carry_answers(there[0], writer, losing))
        try:
            while (fault := await self.carry_request(reader, there[1], losing)) is None:
                pass
            self.struck[fault.kind] += 1
            cut(writer, there[1], is_rst=fault.kind is Kind.RST)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            back.cancel()
            for end in (writer, there[1]):
                end.close()

    async def carry_request(self, reader, there, losing):
        """Carry one request, or what gets through of it; give the fault that cuts it off."""
        head = await reader.readuntil(b"\r\n\r\n")
        found = LENGTH.search(head)
        size = int(found[1]) if found else 0
        method = head.split(b" ", 1)[0].decode()
        self.requests.append(method)
        fault = self.faults.pop(0) if method == self.strikes and self.faults else None
        if fault is not None and fault.kind is Kind.ANSWER_LOST:
            losing.set()
        there.write(head)
        left = size if fault is None else fault.passes(size)
        while left:
            block = await reader.read(min(BLOCK, left))
            if not block:
                raise ConnectionResetError
            there.write(block)
            await there.drain()
            left -= len(block)
            self.sent += len(block)
        await there.drain()
        return None if losing.is_set() else fault

    async def carry_answers(self, there, writer, losing):
        try:
            while block := await there.read(BLOCK):
                if losing.is_set():
                    self.struck[Kind.ANSWER_LOST] += 1
                    cut(writer, is_rst=False)
                    return
                writer.write(block)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()
