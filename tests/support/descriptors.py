"""A process with few file descriptors, or none that is free."""

import contextlib
import errno
import os
import resource
import sys

from support.command_line import COMMAND

_FEW = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


def with_few_descriptors(limit):
    """Return a command that runs `livepeer-async` with a limit of open files."""
    return [sys.executable, "-c", _FEW, str(limit), *COMMAND]


@contextlib.contextmanager
def low_limit(limit):
    """Lower the limit of open files until the block ends."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextlib.contextmanager
def no_free_descriptors():
    """Make each attempt to open something fail, until the block or the yielded stack ends."""
    lowest = os.dup(0)
    os.close(lowest)
    with contextlib.ExitStack() as stack:
        stack.enter_context(low_limit(lowest))
        yield stack


def shortage(code=errno.EMFILE):
    """Return the operating system's error."""
    return OSError(code, os.strerror(code))
