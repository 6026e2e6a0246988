"""File descriptors: waits while none is free, and limits how many uploads share them."""

from __future__ import annotations

import codecs
import concurrent.futures
import mimetypes
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Literal, TypeVar

from livepeer_async.concurrency import Clock
from livepeer_async.errors import TooManyOpenFiles
from livepeer_async.http.retry import backoff
from livepeer_async.http.shortages import RAISE_LIMIT, is_shortage, open_file_limit, shortage_error
from livepeer_async.telemetry.events import DESCRIPTORS_EXHAUSTED, log_event

T = TypeVar("T")
Opened = Literal["file", "connection"]


# Seconds without a single success after which a shortage is an error.
SHORTAGE_TIMEOUT = 30.0
# Seconds between two attempts.
MIN_DELAY = 0.05
MAX_DELAY = 2.0
THREAD_DELAY = 0.1
# A file or a download, and a connection.
PER_UPLOAD = 2
# For API calls, the journal's temporary files and folders that are listed.
RESERVED = 8
# Seconds after which one more upload is tried beside those that found descriptors.
GROWTH_PERIOD = 10.0
# With room for this number of uploads, something other than descriptors limits them.
MANY_UPLOADS = 32
_FOLDERS = ("/proc/self/fd", "/dev/fd")


def prepare() -> None:
    """Load now what the standard library and anyio would otherwise load during uploads.

    Without a descriptor, an import fails, `mimetypes` raises the error of its file, `tempfile`
    finds no usable folder, and an encoding counts as unknown from then on.

    Raises:
        TooManyOpenFiles: no descriptor is free now.
    """
    for load in (
        lambda: concurrent.futures.ThreadPoolExecutor,
        lambda: codecs.lookup("idna"),
        lambda: import_module("anyio._backends._asyncio"),
        lambda: mimetypes.guess_type(""),
        tempfile.gettempdir,
    ):
        try:
            load()
        except (OSError, ImportError, LookupError) as error:
            if is_shortage(error):
                raise shortage_error(error, "the client can't be created") from error


def open_in_thread(attempt: Callable[[], T], finding: str) -> T:
    """Call a function that opens a file, again while no descriptor is free; blocks.

    Args:
        attempt: the function.
        finding: what can't be opened, for the error.

    Raises:
        TooManyOpenFiles: no descriptor was free for `SHORTAGE_TIMEOUT` seconds.
    """
    deadline = time.monotonic() + SHORTAGE_TIMEOUT
    while True:
        try:
            return attempt()
        except OSError as error:
            if not is_shortage(error):
                raise
            if time.monotonic() >= deadline:
                raise shortage_error(error, finding) from error
        time.sleep(THREAD_DELAY)


class Descriptors:
    """The descriptors of one client: waits for free ones, and limits concurrent uploads.

    Args:
        clock: time and jitter.

    Attributes:
        on_shortage: called with a message when a shortage begins; logs a warning by default.
        close_idle: closes what isn't needed at the moment, such as idle connections.

    Raises:
        TooManyOpenFiles: no descriptor is free now, and this process has created no client yet.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.on_shortage: Callable[[str], None] = partial(log_event, DESCRIPTORS_EXHAUSTED, "%s")
        self.close_idle: Callable[[], Awaitable[None]] | None = None
        prepare()
        self._clock = clock or Clock()
        # When opening began to fail, by what is opened.
        self._since: dict[Opened, float] = {}
        self._failures = 0
        self._is_new = False
        self._cap: int | None = None
        self._cap_at = 0.0
        self._room: int | None = None
        self._reported_limit: int | None = None

    def record_success(self, kind: Opened) -> None:
        """Record that something was opened, which ends its shortage."""
        if self._since.pop(kind, None) is not None:
            self._failures = 0

    async def wait(self, kind: Opened, shortage: TooManyOpenFiles) -> bool:
        """Wait before the next attempt to open something.

        Returns:
            Whether to try again: nothing of this kind was opened for `SHORTAGE_TIMEOUT` seconds
            otherwise.
        """
        now = self._clock.now()
        if not self._since:
            found, advice = shortage.args[0], shortage.advice
            self.on_shortage(f"{found}; trying again with fewer uploads at once; {advice}")
        if now - self._since.setdefault(kind, now) >= SHORTAGE_TIMEOUT:
            return False
        self._is_new = True
        self._failures += 1
        if self.close_idle is not None:
            await self.close_idle()
        delay = backoff(self._failures, first_delay=MIN_DELAY, max_delay=MAX_DELAY)
        await self._clock.sleep(delay * (0.5 + self._clock.random() / 2))
        return True

    async def open_file(
        self,
        attempt: Callable[[], Awaitable[T]],
        finding: str,
        *,
        after_wait: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Call a function that opens a file, again while no descriptor is free.

        Args:
            attempt: the function.
            finding: what can't be opened, for the error.
            after_wait: called after each wait, to wait for something else.

        Raises:
            TooManyOpenFiles: no file was opened for `SHORTAGE_TIMEOUT` seconds.
        """
        while True:
            try:
                opened = await attempt()
            except OSError as error:
                if not is_shortage(error):
                    raise
                shortage = shortage_error(error, finding)
                if not await self.wait("file", shortage):
                    raise shortage from error
            else:
                self.record_success("file")
                return opened
            if after_wait is not None:
                await after_wait()

    def max_uploads(self, running: int) -> int | None:
        """Return how many uploads may run at once; `None` if descriptors don't limit them.

        A shortage halves the number of running uploads. Later, one more is tried from time to time.

        Args:
            running: uploads that run now.
        """
        now = self._clock.now()
        if self._is_new:
            self._is_new, self._cap, self._cap_at = False, max(1, running // 2), now
        elif self._cap is not None and now - self._cap_at >= GROWTH_PERIOD and not self._since:
            self._cap, self._cap_at = self._cap + 1, now
        if not running:
            self._measure_room()
        return min((it for it in (self._cap, self._room) if it is not None), default=None)

    def _measure_room(self) -> None:
        """Find out how many uploads the free descriptors allow, and tell about a low limit once."""
        self._room = _find_room()
        limit = open_file_limit()
        if self._room is None or self._room >= MANY_UPLOADS or limit == self._reported_limit:
            return
        self._reported_limit = limit
        uploads = f"{self._room} upload{'s' if self._room > 1 else ''}"
        self.on_shortage(
            f"too many open files (limit {limit}) for more than {uploads} at once; {RAISE_LIMIT}"
        )


def _find_room() -> int | None:
    """Return how many uploads the free descriptors allow; `None` if that is unknown."""
    limit = open_file_limit()
    if limit is None:
        return None
    for folder in _FOLDERS:
        try:
            # The listing's own descriptor is one of them.
            free = limit - sum(1 for _ in Path(folder).iterdir()) + 1
        except OSError as error:
            if is_shortage(error):
                return 1
        else:
            return max(1, (free - RESERVED) // PER_UPLOAD)
    return None
