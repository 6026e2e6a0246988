"""Links to the page that plays an asset, which knows the assets of Livepeer's servers only."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    from livepeer_async.http import proxies
else:
    # Only what prints results needs it.
    proxies = deferred_module("livepeer_async.http.proxies")

# Set before the command, for its tasks: the host of the server, or None if it isn't known.
_HOST: ContextVar[str | None] = ContextVar("_HOST", default=None)


def show_links(base_url: str) -> None:
    """Show links in the output of the command, unless its server is this machine."""
    try:
        _HOST.set(urlsplit(base_url).hostname)
    except ValueError:
        _HOST.set(None)  # reported by the command


def hide_links() -> None:
    """Show no links in the output of the command, which uses an embedded sandbox."""
    _HOST.set("localhost")


def is_server_local() -> bool:
    """Whether the page plays none of the assets, because the server is this machine."""
    host = _HOST.get()
    return host is not None and proxies.is_loopback(host)


def link_to(player_url: str | None) -> str | None:
    """Return the link to print for an asset; `None` if there is none that plays it."""
    return None if is_server_local() else player_url
