"""Checks of an HTTP client that a caller passes as `http_client`."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any, cast

from livepeer_async.errors import ConfigurationError

WANTED = "an httpx.AsyncClient or httpx2.AsyncClient"

# Connections of a bounded pool that are reserved for API calls.
SPARE_CONNECTIONS = 2


class UserClient:
    """A caller's client, which works in the event loop of its connections only.

    Args:
        client: the client.

    Attributes:
        module: the library of the client, httpx or its fork.

    Raises:
        ConfigurationError: it is something else, or closed.
    """

    def __init__(self, client: Any) -> None:
        self.module = _module_of(client)
        if client.is_closed:
            raise ConfigurationError(
                f"http_client is a closed {_type_of(client)}; wanted an open one"
            )
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_usable_here(self) -> bool:
        """Whether the client has no connections of another event loop than the running one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None and has_connections(self._client):
                return False
            self._loop = loop
        return True


def loop_error(place: str) -> ConfigurationError:
    """Return the error for a client that was used in another event loop.

    Args:
        place: the request.
    """
    return ConfigurationError(
        f"http_client has connections of another event loop; wanted a client for each event loop "
        f"({place})",
        advice="leave http_client out: the client's own connections follow the event loop",
    )


def is_loop_error(error: RuntimeError) -> bool:
    """Whether an error was raised by the event loop itself, as for another loop's connection."""
    traceback, module = error.__traceback__, ""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
    return module.partition(".")[0] in {"asyncio", "uvloop"}


def max_uploads(client: Any) -> int | None:
    """Return how many uploads a client has connections for; `None` if that is unknown."""
    # Without mounts, which have the limits of the client.
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    limit = getattr(pool, "_max_connections", None)
    return limit - SPARE_CONNECTIONS if isinstance(limit, int) and limit < sys.maxsize else None


def has_connections(client: Any) -> bool:
    """Whether a client has connections; False if it is unknown, as of a mock."""
    return any(pool.connections for pool in pools_of(client))


def speaks_http2(client: Any) -> bool:
    """Whether a client may use HTTP/2."""
    return any(getattr(pool, "_http2", False) for pool in pools_of(client))


def pools_of(client: Any) -> list[Any]:
    """Return httpcore's connection pools of a client."""
    # Neither httpx nor httpx2 has a public attribute for them.
    mounts = getattr(client, "_mounts", {}).values()
    transports = (getattr(client, "_transport", None), *mounts)
    pools = (getattr(transport, "_pool", None) for transport in transports)
    return [pool for pool in pools if hasattr(pool, "connections")]


def _module_of(client: Any) -> ModuleType:
    """Return the library that a client comes from: httpx or its fork.

    Raises:
        ConfigurationError: the client comes from neither, or isn't an `AsyncClient`.
    """
    for kind in type(client).__mro__:
        module = sys.modules.get(kind.__module__.partition(".")[0])
        is_library = hasattr(module, "AsyncClient") and hasattr(module, "RequestError")
        if module is not None and is_library and isinstance(client, module.AsyncClient):
            return module
    raise ConfigurationError(f"http_client is {_describe(client)}; wanted {WANTED}")


def _describe(client: Any) -> str:
    """Describe a wrong client by its type, because its repr may show a secret."""
    if isinstance(client, type):
        return f"the class {_name_of(cast('type[Any]', client))}, not an instance"
    name = f"an instance of {_type_of(client)}"
    if hasattr(client, "handle_async_request"):
        return f"{name}, a transport; pass httpx.AsyncClient(transport=...)"
    if hasattr(client, "send") and hasattr(client, "get"):
        return f"{name}, which is synchronous"
    return name


def _type_of(value: object) -> str:
    return _name_of(type(value))


def _name_of(kind: type[Any]) -> str:
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
