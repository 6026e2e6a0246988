"""Links to the page that plays an asset, which knows the assets of Livepeer's servers only."""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import urlsplit

from livepeer_async.http.proxies import is_loopback

# Set before the command, for its tasks.
_IS_LOCAL: ContextVar[bool] = ContextVar("_IS_LOCAL", default=False)


def show_links(base_url: str) -> None:
    """Show links in the output of the command, unless its server is this machine."""
    try:
        host = urlsplit(base_url).hostname
    except ValueError:
        host = None  # reported by the command
    _IS_LOCAL.set(host is not None and is_loopback(host))


def hide_links() -> None:
    """Show no links in the output of the command, which uses an embedded sandbox."""
    _IS_LOCAL.set(True)


def is_server_local() -> bool:
    """Whether the page plays none of the assets, because the server is this machine."""
    return _IS_LOCAL.get()


def link_to(player_url: str | None) -> str | None:
    """Return the link to print for an asset; `None` if there is none that plays it."""
    return None if _IS_LOCAL.get() else player_url
