"""The server of an entered sandbox: its socket, its thread, and the state that it serves."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from anyio.abc import TaskGroup

from livepeer_async.sandbox.app import make_app
from livepeer_async.sandbox.connection import App, Receive, Scope, Send
from livepeer_async.sandbox.server_thread import ServerThread
from livepeer_async.sandbox.state import ServerState

T = TypeVar("T")

# Connections waiting to be accepted; a test may open hundreds at once.
BACKLOG = 1024


class RunningServer:
    """Serves a state until it is stopped; `reset` replaces the state.

    Args:
        make_state: creates a state, from the directory of its files and the server's origin.
        address: host and port to listen on.
        directory: directory of the files; None for a temporary one, deleted at the end.

    Attributes:
        state: the state that new requests are served from.
        is_running: whether it has not been stopped.
    """

    def __init__(
        self,
        make_state: Callable[[Path, str], ServerState],
        *,
        address: tuple[str, int],
        directory: Path | None,
    ) -> None:
        self._make_state = make_state
        self._tasks: TaskGroup
        with ExitStack() as stack:
            listener = _listen(*address)
            stack.callback(listener.close)
            host, port = listener.getsockname()[:2]
            self._origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            self._directory = directory or _make_directory(stack)
            self._directory.mkdir(parents=True, exist_ok=True)
            self.state = make_state(self._directory, self._origin)
            self._app = make_app(self.state)
            self._thread = ServerThread(self._serve, listener, on_start=self._use_task_group)
            self._thread.start()
            stack.callback(self._thread.stop)
            self._stack = stack.pop_all()
        self.is_running = True

    def stop(self) -> None:
        """Stop, close all connections, and delete the temporary directory."""
        self.is_running = False
        self._stack.close()

    def reset(self) -> None:
        """Serve a new state, without assets; requests in flight end in the old one."""
        self.call(self._replace_state)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the server's event loop, which alone changes the state.

        Raises:
            RuntimeError: the server has been stopped.
        """
        self.check_running()
        return self._thread.call(function)

    def check_running(self) -> None:
        """Check that the server has not been stopped.

        Raises:
            RuntimeError: it has been.
        """
        if not self.is_running:
            raise RuntimeError("the sandbox is not running any more")

    def _replace_state(self) -> None:
        old = self.state
        state = self._make_state(self._directory, self._origin)
        state.errors = old.errors
        state.use_task_group(self._tasks)
        self.state, self._app = state, make_app(state)
        old.discard()

    def _use_task_group(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self.state.use_task_group(tasks)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: App = self._app
        await app(scope, receive, send)


def _make_directory(stack: ExitStack) -> Path:
    temporary = TemporaryDirectory(prefix="livepeer-sandbox-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(temporary))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Accepted sockets inherit it. asyncio sets it only on sockets that name their protocol, and
    # without it every response in two writes waits 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
