"""Shortages of file descriptors: recognises their errors, and makes typed ones of them.

A process may hold `ulimit -n` descriptors (EMFILE), and the system a number of its own (ENFILE).
Every file, connection and SQLite database needs one, so a shortage shows up anywhere, in disguise
too: SQLite can't open a file, a host name can't be resolved, and a module can't be imported. It
ends when other work does.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from livepeer_async.errors import TooManyOpenFiles
from livepeer_async.redaction import chain

if sys.platform != "win32":
    import resource

RAISE_LIMIT = "raise the limit, for example with `ulimit -n 4096`"
# What SQLite opens at once: a database, its WAL and its shared memory.
_SQLITE_FILES = 3
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE})


def is_shortage(error: BaseException) -> bool:
    """Whether an error, or one in its chain, says that no descriptor was free."""
    return any(_is_link_shortage(link) for link in chain(error))


def open_file_limit() -> int | None:
    """Return how many descriptors this process may hold; `None` if unknown or unlimited."""
    if sys.platform == "win32":
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def is_scarce(descriptor: int) -> bool:
    """Whether half of the descriptors were in use when this one, the lowest free, was opened."""
    limit = open_file_limit()
    return limit is not None and descriptor >= limit // 2


def shortage_error(error: BaseException, finding: str) -> TooManyOpenFiles:
    """Return the typed error for a shortage.

    Args:
        error: the shortage.
        finding: what couldn't be opened, such as `'a.mp4' can't be read`.
    """
    codes = {getattr(link, "errno", None) for link in chain(error)}
    if errno.ENFILE in codes and errno.EMFILE not in codes:
        advice = "close other programs, or raise the system's limit of open files"
        return TooManyOpenFiles(f"too many open files in the system: {finding}", advice=advice)
    limit = open_file_limit()
    shown = "" if limit is None else f" (limit {limit})"
    shortage = TooManyOpenFiles(f"too many open files{shown}: {finding}", advice=RAISE_LIMIT)
    shortage.limit = limit
    return shortage


def _is_link_shortage(link: BaseException) -> bool:
    if isinstance(link, TooManyOpenFiles):
        return True
    if isinstance(link, socket.gaierror | ImportError):
        # The resolver couldn't open its configuration, or a socket; a library couldn't be loaded.
        return not _is_free(1)
    # Only errors of SQLite have this attribute; not every client has a journal.
    sqlite_name = getattr(link, "sqlite_errorname", "") or ""
    if sqlite_name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return not _is_free(_SQLITE_FILES)
    return isinstance(link, OSError) and link.errno in _SHORTAGES


def _is_free(count: int) -> bool:
    """Whether this number of descriptors is free at once."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(count))
    except OSError as error:
        return error.errno not in _SHORTAGES
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True
