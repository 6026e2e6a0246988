"""Observers of requests: failures that are retried, and requests that wait for long.

An observer belongs to the task that adds it and to the tasks that this one starts. It therefore
sees the requests of one call or of one upload, although all share a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from livepeer_async.http.messages import Request
from livepeer_async.http.retry import RetryEvent
from livepeer_async.models.model import Model

# Seconds without progress after which a wait is reported, and between two reports of it. A person
# takes a screen that is silent for longer as hanging.
REPORT_AFTER = 5.0
_KIB, _MIB = 1024, 1024 * 1024


class WaitEvent(Model, frozen=True, kw_only=True):
    """Something that makes no progress and hasn't failed yet.

    Attributes:
        reason: what is missing, such as "no response", without secrets.
        seconds: since the last progress; 0 when the wait is over.
        place: method and URL of the request, without secrets; "" for other waits.
    """

    reason: str
    seconds: float
    place: str = ""

    def __str__(self) -> str:
        place = f" ({self.place})" if self.place else ""
        return f"{self.reason} for {self.seconds:.0f} s{place}"


RequestEvent = RetryEvent | WaitEvent | None
Observer = Callable[[RequestEvent], None]

_OBSERVERS: ContextVar[tuple[Observer, ...]] = ContextVar("_OBSERVERS", default=())


def ignore_event(event: RequestEvent) -> None:
    """Do nothing with an event."""


@contextmanager
def observe_requests(observer: Observer) -> Generator[None, None, None]:
    """Call a function with the events of all requests that are sent within the block.

    Tasks that are started within the block are observed too.

    Args:
        observer: called in the event loop with a `RetryEvent` for each failure that is retried,
            with a `WaitEvent` every few seconds while a request makes no progress, and with `None`
            when a request succeeds after failures. It must neither block nor raise.
    """
    token = _OBSERVERS.set((*_OBSERVERS.get(), observer))
    try:
        yield
    finally:
        _OBSERVERS.reset(token)


@contextmanager
def replace_observers(observer: Observer) -> Generator[None, None, None]:
    """Let only this observer see the requests of the block, which are not those of one caller."""
    token = _OBSERVERS.set((observer,))
    try:
        yield
    finally:
        _OBSERVERS.reset(token)


def current_observers() -> tuple[Observer, ...]:
    """Return the observers of the current task."""
    return _OBSERVERS.get()


def report_event(event: RequestEvent) -> None:
    """Call the observers of the current task."""
    for observer in _OBSERVERS.get():
        observer(event)


def report_recovery(failures: int) -> None:
    """Report a success, if it comes after failures."""
    if failures:
        report_event(None)


class Watch:
    """Reports a wait in its block that takes longer than `REPORT_AFTER`.

    Args:
        reason: what is missing; `None` while nothing is watched.
        request: the request that waits.
    """

    __slots__ = ("_handle", "_has_reported", "_observers", "_reason", "_request", "_since")

    def __init__(self, reason: str | None = None, request: Request | None = None) -> None:
        self._reason = reason
        self._request = request
        self._observers = _OBSERVERS.get()
        self._handle: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._has_reported = False

    def __enter__(self) -> Self:
        self.restart(self._reason)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._end_report()
        self._observers = ()

    def restart(self, reason: str | None) -> None:
        """Record progress, and what is missing from now on."""
        if not self._observers:
            return
        self._end_report()
        loop = asyncio.get_running_loop()
        self._reason, self._since = reason, loop.time()
        if reason is not None and self._handle is None:
            self._handle = loop.call_at(self._since + REPORT_AFTER, self._check)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now, due = loop.time(), self._since + REPORT_AFTER
        if due <= now:
            due = now + REPORT_AFTER
            self._report(now - self._since)
        self._handle = loop.call_at(due, self._check)

    def _report(self, seconds: float) -> None:
        if self._reason is None:
            return
        self._has_reported = seconds > 0
        place = self._request.place if self._request else ""
        event = WaitEvent(reason=self._reason, seconds=seconds, place=place)
        for observer in self._observers:
            observer(event)

    def _end_report(self) -> None:
        if self._has_reported:
            self._report(0.0)


def describe_unconfirmed(size: int) -> str:
    """Return the reason of the wait for the response to a chunk of `size` bytes."""
    amount = f"{size / _MIB:.1f} MiB" if size >= _MIB else f"{size / _KIB:.1f} KiB"
    return f"the server hasn't confirmed {amount}"
