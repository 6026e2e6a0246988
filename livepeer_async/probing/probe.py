"""The option `probe`, and its check of a path or an open source before it is uploaded."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import RunVar
from msgspec import Struct

from livepeer_async.defaults import RuleName
from livepeer_async.errors import ConfigurationError, SourceUnsupported
from livepeer_async.probing.media import BoundedReader, is_available, read_facts
from livepeer_async.probing.rules import (
    RULE_NAMES,
    MediaFacts,
    Problem,
    build_command,
    find_problems,
)

# A local file takes a few milliseconds. A slower one is uploaded, as one that can't be judged.
TIMEOUT = 5.0
# Files that are probed concurrently in an event loop.
MAX_CONCURRENT: Final = 4
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("probe_limiter")

ReadInto = Callable[[int, memoryview], Coroutine[Any, Any, int]]


class Probe(Struct, frozen=True, kw_only=True):
    """Which rules of Livepeer's pipeline a file is checked for before it is uploaded.

    The rules: `tracks`, there is a video or an audio track; `video-codec`, it isn't mjpeg, png or
    prores, nor is cover art; `container`, VP9 isn't in an MP4 or QuickTime file; `pixel-format`, it
    is yuv420p or yuvj420p; `frame-rate`, it is above 0. A file that can't be judged breaks no rule.

    Attributes:
        ignore: names of the rules to switch off.

    Raises:
        ConfigurationError: there is no rule of that name.
    """

    ignore: Collection[RuleName] = ()

    def __post_init__(self) -> None:
        names = {self.ignore} if isinstance(self.ignore, str) else set[str](self.ignore)
        unknown = sorted(names - set(RULE_NAMES))
        if unknown or isinstance(self.ignore, str):
            found = repr(self.ignore) if isinstance(self.ignore, str) else f"{unknown[0]!r} in it"
            raise ConfigurationError(
                f"Probe.ignore is {found}; wanted a collection of {', '.join(RULE_NAMES)}"
            )


def as_probe(probe: Probe | bool | None) -> Probe | None:  # noqa: FBT001 - the caller's option
    """Return the rules for an option; `None` if nothing is probed.

    Raises:
        ConfigurationError: it is something else, or PyAV isn't installed.
    """
    if probe is None or probe is False:
        return None
    if probe is not True and not isinstance(probe, Probe):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"probe is {probe!r}; wanted a bool or a Probe")
    if not is_available():
        raise ConfigurationError("probe needs PyAV, which isn't installed; pip install av")
    return Probe() if probe is True else probe


async def probe_path(probe: Probe, path: str) -> None:
    """Check a file before its upload.

    The thread is abandoned after `TIMEOUT`, or when the task is cancelled: on a network mount, a
    read may never return. It has the file open for itself.

    Raises:
        SourceUnsupported: the pipeline would refuse the file.
    """
    with anyio.move_on_after(TIMEOUT):
        read = partial(_read_path_facts, path)
        facts = await anyio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=_get_limiter())
        problems = find_problems(facts, ignore=probe.ignore) if facts else ()
        if facts and problems:
            exists = partial(_find_conversion, path, facts, problems)
            command = await anyio.to_thread.run_sync(exists, abandon_on_cancel=True)
            raise _unsupported(path, problems, command)


async def probe_open(probe: Probe, name: str, length: int, read_into: ReadInto) -> None:
    """Check an open source before its upload.

    The thread isn't abandoned: it would read the source together with the upload.

    Args:
        probe: the rules.
        name: of the source.
        length: its bytes.
        read_into: reads into a buffer from a position on, and returns the number of bytes.

    Raises:
        SourceUnsupported: the pipeline would refuse the source.
        SourceError: it can't be read.
    """
    read = partial(_read_open_facts, length, read_into)
    facts = await anyio.to_thread.run_sync(read, limiter=_get_limiter())
    problems = find_problems(facts, ignore=probe.ignore) if facts else ()
    if facts and problems:
        command = build_command(name, facts, problems, is_taken=lambda _: False)
        raise _unsupported(name, problems, command)


def _get_limiter() -> anyio.CapacityLimiter:
    """Return the limiter of the running event loop."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(MAX_CONCURRENT)
        _limiter.set(limiter)
        return limiter


def _read_path_facts(path: str) -> MediaFacts | None:
    # What can't be opened is reported when it is opened for the upload.
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - `Path` takes "" for a folder
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above

            def read_at(position: int, size: int) -> bytes:
                file.seek(position)
                return file.read(size) or b""

            length = os.fstat(file.fileno()).st_size
            return read_facts(BoundedReader(read_at, length, seconds=TIMEOUT))
    return None


def _read_open_facts(length: int, read_into: ReadInto) -> MediaFacts | None:
    def read_at(position: int, size: int) -> bytes:
        anyio.from_thread.check_cancelled()
        buffer = bytearray(max(0, min(size, length - position)))
        count = anyio.from_thread.run(read_into, position, memoryview(buffer)) if buffer else 0
        return bytes(buffer[:count])

    return read_facts(BoundedReader(read_at, length, seconds=TIMEOUT))


def _find_conversion(path: str, facts: MediaFacts, problems: tuple[Problem, ...]) -> str:
    return build_command(path, facts, problems, is_taken=os.path.lexists)


def _unsupported(source: str, problems: tuple[Problem, ...], command: str) -> SourceUnsupported:
    return SourceUnsupported(
        source=source,
        rules=tuple(problem.rule for problem in problems),
        found=" and ".join(problem.found for problem in problems),
        wanted=" and ".join(problem.wanted for problem in problems),
        command=command,
    )
