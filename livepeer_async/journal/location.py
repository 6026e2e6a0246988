"""Where a journal is: a file, or a PostgreSQL database that several machines share. Pure."""

from __future__ import annotations

from typing import Any, TypeGuard

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
HIDDEN = "..."


def is_postgres_url(journal: Any) -> TypeGuard[str]:
    """Whether a journal is the URL of a PostgreSQL database, rather than the path of a file."""
    return isinstance(journal, str) and journal.lower().startswith(POSTGRES_SCHEMES)


def hide_password(url: str) -> str:
    """Return the URL of a database for messages: user, hosts and database, without secrets.

    Another unquoted `@` may belong to a password, so nothing is shown of what is around it.
    """
    scheme, rest = url.split("://", 1)
    # As libpq reads it: the first `@` before a slash ends user and password.
    userinfo, at, server = rest.partition("@")
    if "/" in userinfo or not at:
        userinfo, at, server = "", "", rest
    shown = HIDDEN if "@" in server else server.partition("?")[0].partition("#")[0]
    return f"{scheme}://{userinfo.partition(':')[0]}{at}{shown}"
