"""Where a journal is: a file, or a PostgreSQL database that several machines share. Pure."""

from __future__ import annotations

from typing import Any, TypeGuard

from livepeer_async.deferred import deferred_pattern

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
HIDDEN = "..."
# Hosts with ports, separated by commas.
_HOST = r"(?:\[[^\]]*\]|[^:/,\[\]]*)(?::[0-9]*)?"
_HOSTS = deferred_pattern(rf"{_HOST}(?:,{_HOST})*")


def is_postgres_url(journal: Any) -> TypeGuard[str]:
    """Whether a journal is the URL of a PostgreSQL database, rather than the path of a file."""
    return isinstance(journal, str) and journal.lower().startswith(POSTGRES_SCHEMES)


def is_clear(url: str) -> bool:
    """Whether it is clear which part of a database's URL is the password.

    It isn't if a special character isn't quoted: libpq would take a part of the password for the
    host or the port, which its messages show.
    """
    return url.isprintable() and _is_server(_split(url)[2])


def hide_password(url: str) -> str:
    """Return the URL of a database for messages: user, hosts and database, without secrets.

    If it isn't clear which part is the password, nothing is shown of what may belong to it.
    """
    scheme, user, server = _split(url)
    if not url.isprintable():
        return f"{scheme}://{HIDDEN}"
    shown = server.partition("?")[0].partition("#")[0] if _is_server(server) else HIDDEN
    return f"{scheme}://{user}{shown}"


def _split(url: str) -> tuple[str, str, str]:
    """Return the scheme, the user with the `@`, and all that follows."""
    scheme, rest = url.split("://", 1)
    # As libpq reads it: the first `@` before a slash ends user and password.
    userinfo, at, server = rest.partition("@")
    if "/" in userinfo or not at:
        return scheme, "", rest
    return scheme, userinfo.partition(":")[0] + at, server


def _is_server(server: str) -> bool:
    hosts = server.partition("?")[0].partition("/")[0]
    return "@" not in server and _HOSTS.fullmatch(hosts) is not None
