"""Awaits the worker thread that sends a request body."""

from __future__ import annotations

import asyncio

import anyio

from livepeer_async.http.body_thread import BodyThread
from livepeer_async.http.streams import ThreadBody
from livepeer_async.http.worker_threads import run_in_worker

# Seconds between two reports of the bytes that the thread has sent.
REPORT_PERIOD = 0.1


class ThreadSender:
    """Runs a thread that sends a body, and reports its progress to the body.

    Args:
        thread: the thread.
        body: the body.
    """

    def __init__(self, thread: BodyThread, body: ThreadBody) -> None:
        self._thread = thread
        self._body = body
        self._scope = anyio.CancelScope()
        self._error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(REPORT_PERIOD, self._report)

    async def run(self) -> None:
        """Wait for the thread; raises its errors, that of `abort`, and those of the reports."""
        try:
            with self._scope:
                await run_in_worker(self._thread.run)
        except Exception:
            if self._error is None:
                raise
        except BaseException:
            # The thread still runs.
            self._thread.abort()
            raise
        finally:
            self._timer.cancel()
        if self._error is not None:
            raise self._error
        self._body.record_sent(self._thread.sent)

    def abort(self, error: Exception) -> None:
        """Reset the connection at once, and raise an error in `run`."""
        self._error = error
        self._thread.abort()
        if not self._loop.is_closed():
            # A thread that reads the source can't be interrupted.
            self._scope.cancel()

    def _report(self) -> None:
        self._timer = self._loop.call_later(REPORT_PERIOD, self._report)
        try:
            self._body.record_sent(self._thread.sent)
        except Exception as error:  # noqa: BLE001 - raised in the task of the request
            self.abort(error)
