"""An event loop that is closed while worker threads send: the interpreter's exit doesn't hang."""

import socket
import subprocess
import sys

import pytest

from support.constants import TIMEOUT

# Nothing is cancelled. At the lowest rate, the thread mostly waits for the limit.
SCRIPT = """
import asyncio, sys
from livepeer_async import Timeouts
from livepeer_async.http.messages import Request, Span
from livepeer_async.http.transport import Transport
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.scheduling.throttled_transport import ThrottledTransport
from livepeer_async.sources.blocks import read_ahead
from livepeer_async.sources.source import BytesSource

SIZE = 64 * 1024 * 1024

async def main():
    throttle = Throttle(max_rate=eval(sys.argv[2]))
    transport = ThrottledTransport(Transport(timeouts=Timeouts(stall=3600)), throttle)
    sent = asyncio.Event()

    async def send():
        request = Request(method="PATCH", url=sys.argv[1], content=Span(0, SIZE))
        source = BytesSource(memoryview(bytes(SIZE)), "clip")
        async with read_ahead(source, request.span, on_sent=lambda _: sent.set()) as reader:
            await transport.send(request, blocks=reader)

    tasks.append(asyncio.create_task(send()))
    await sent.wait()

tasks = []
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""


@pytest.mark.parametrize("max_rate", ["None", "64 * 1024"])
def test_exit_does_not_wait_for_a_thread_that_sends(max_rate):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        command = [sys.executable, "-c", SCRIPT, url, max_rate]
        done = subprocess.run(command, timeout=TIMEOUT, check=False)
    assert done.returncode == 0
