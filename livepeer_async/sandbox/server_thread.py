"""Runs uvicorn in a thread with its own event loop.

A client that blocks its loop does not stop the server, and the server's work (writing, hashing)
does not stop the client. uvicorn installs signal handlers in the main thread only, so those of the
program stay.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

import anyio
from anyio.abc import TaskGroup
from uvicorn import Config, Server

from livepeer_async.sandbox.connection import App, Connection

T = TypeVar("T")

# As the server's; clients should keep idle connections for less.
KEEP_ALIVE_SECONDS = 5

# Steps of the loop that asyncio takes from accepting a connection to creating its protocol. A
# connection that is in between when the server closes would be lost and stay open.
ACCEPTING_STEPS = 4

# Requests whose connection is closed end by themselves and close their files; a fault that sleeps
# does not, and is cancelled after this.
ENDING_SECONDS = 0.1

# Time limit of a call into the loop, which never waits there.
CALL_SECONDS = 30.0

# uvicorn refreshes its Date header this often.
TICK_SECONDS = 1.0


class ServerThread:
    """A thread that serves an application on a listening socket until it is stopped."""

    def __init__(
        self, app: App, listener: socket.socket, *, on_start: Callable[[TaskGroup], None]
    ) -> None:
        self._listener = listener
        self._on_start = on_start
        config = Config(
            cast("Any", app),
            http=Connection,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            # Otherwise uvicorn reads WEB_CONCURRENCY and raises an error for a bad value.
            workers=1,
            ws="none",
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="livepeer-sandbox", daemon=True)
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start, and return once the server accepts connections.

        Raises:
            RuntimeError: the server could not start.
        """
        self._thread.start()
        self._server.startup_ended.wait()
        if not self._server.started:
            self._thread.join()
            raise RuntimeError("the sandbox could not start") from self._error

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the server's event loop, and return its result; blocks briefly."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - raised in the calling thread
                future.set_exception(error)

        self._server.call_soon(run)
        return future.result(CALL_SECONDS)

    def stop(self) -> None:
        """Stop, wait for the thread to end, and raise the server's error if there is one."""
        self._server.request_stop()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            # Not the program's loop, which may be uvloop: cutting connections needs this one.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised by `stop()` in the waiting thread
            self._error = error
        finally:
            self._listener.close()
            self._server.startup_ended.set()

    async def _serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._on_start(tasks)
            await self._server.serve(sockets=[self._listener])
            tasks.cancel_scope.cancel()


class _Server(Server):
    """uvicorn's server, stopped by an event instead of a flag that it polls ten times a second.

    uvicorn takes 0.2 s to stop and waits for open connections: too long for a server that hundreds
    of tests start, and endless for a request that a fault has stalled.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.startup_ended = threading.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def request_stop(self) -> None:
        """Ask the server to stop; may be called in any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._stop.set)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call a function in the event loop of the started server; may be called in any thread.

        Raises:
            RuntimeError: the server has ended.
        """
        if self._loop is None:
            raise RuntimeError("the sandbox has not been started")
        self._loop.call_soon_threadsafe(function)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and wake the starting thread."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.startup_ended.set()

    async def main_loop(self) -> None:
        """Wait until the server is asked to stop."""
        while not self._stop.is_set():
            await self.on_tick(0)
            with anyio.move_on_after(TICK_SECONDS):
                await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections at once, without responses to the requests on them."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        for _ in range(ACCEPTING_STEPS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            cast("Connection", connection).transport.abort()
        await self._end_tasks()
        for server in self.servers:
            await server.wait_closed()

    async def _end_tasks(self) -> None:
        tasks = list(self.server_state.tasks)
        if not tasks:
            return
        _, sleeping = await asyncio.wait(tasks, timeout=ENDING_SECONDS)
        for task in sleeping:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
