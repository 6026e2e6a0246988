"""A server of a test's own, of which no connection outlives its block."""

import asyncio
from contextlib import asynccontextmanager

from studio import until

# Turns of the loop between a connection that is accepted and the task that talks on it.
ACCEPTING_STEPS = 5


@asynccontextmanager
async def listening(talk, **options):
    """Have `talk(reader, writer)` answer each connection; give the port.

    A talk ends where the other side goes away, or with the block.
    """
    talks = set()

    async def talk_to_the_end(reader, writer):
        talks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            talks.discard(asyncio.current_task())

    server = await asyncio.start_server(talk_to_the_end, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting(server)
        server.close()
        for task in talks:
            task.cancel()
        await until(lambda: not talks)


async def stop_accepting(server):
    """Take no more connections, and let those that were accepted begin.

    Closed in between, a server refuses its own connection, which then nobody closes (CPython 3.11,
    `Server._attach`); nor would anybody that of a task that is cancelled before it has begun.
    """
    for sock in server.sockets:
        asyncio.get_running_loop().remove_reader(sock.fileno())
    for _ in range(ACCEPTING_STEPS):
        await asyncio.sleep(0)
