"""Observes the transfers of a sandbox while they run."""

import threading
import time
from dataclasses import dataclass, field

from livepeer_async.sandbox.request_log import SeenRequest
from restarts.checks import was_cut
from restarts.command import carries_file_bytes

SAMPLE_SECONDS = 0.02


@dataclass
class Transfer:
    """A request with bytes of a file.

    Attributes:
        request: The sandbox's entry.
        began: When it was first seen, on the monotonic clock.
        ended: When the server had finished with it; None before that.
        samples: (time, bytes received) whenever the number has grown.
    """

    request: SeenRequest
    began: float
    ended: float | None = None
    samples: list = field(default_factory=list)

    @property
    def upload(self):
        """The path of the upload URL; a creation has none."""
        return self.request.path if self.request.method == "PATCH" else None

    @property
    def last_byte(self):
        """When the last byte was received."""
        return self.samples[-1][0] if self.samples else self.began

    def received_after(self, moment):
        """Count the bytes received after a moment."""
        before = max((count for at, count in self.samples if at <= moment), default=0)
        return self.request.received - before


class Observer:
    """Samples the requests of a sandbox in a thread; a context manager.

    Attributes:
        transfers: The requests with bytes of a file, oldest first.
    """

    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._seen = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.transfers = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def _run(self):
        while not self._is_over.wait(SAMPLE_SECONDS):
            self._sample(time.monotonic())

    def _sample(self, now):
        requests = self._sandbox.requests
        new = filter(carries_file_bytes, requests[self._seen :])
        self.transfers += [Transfer(request, began=now) for request in new]
        self._seen = len(requests)
        for transfer in self.transfers:
            if transfer.ended is None:
                received = transfer.request.received
                if received > (transfer.samples[-1][1] if transfer.samples else 0):
                    transfer.samples.append((now, received))
                if transfer.request.is_over:
                    transfer.ended = now

    @property
    def active(self):
        """The transfers that the server is receiving."""
        return [it for it in list(self.transfers) if it.ended is None]

    def cut(self):
        """List the transfers that ended in the body or without a response."""
        return [it for it in self.transfers if was_cut(it.request)]

    def overlaps(self):
        """List (older, newer) PATCH requests of one upload that ran at once."""
        patches = [it for it in self.transfers if it.upload]
        return [
            (older, newer)
            for index, newer in enumerate(patches)
            for older in patches[:index]
            if older.upload == newer.upload and (older.ended is None or older.ended > newer.began)
        ]

    def second_writers(self):
        """List the overlaps in which the older request still delivered bytes."""
        return [
            (older, newer)
            for older, newer in self.overlaps()
            if older.received_after(newer.began + SAMPLE_SECONDS)
        ]
