"""What a client consists of and calls; imported when a process creates its first client.

This is most of the package, and takes longer to import than its dependencies leave room for. All of
it is imported at once: later, in an upload, no file descriptor might be free for an import.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from livepeer_async.api import requests
from livepeer_async.api.account import as_account, check_speed
from livepeer_async.api.calls import Account
from livepeer_async.api.session import Session
from livepeer_async.concurrency import CLOSE_GRACE, Clock, make_clock, run_shielded
from livepeer_async.deferred import deferred_module
from livepeer_async.http.descriptors import Descriptors
from livepeer_async.http.loops import close_in_loops
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts, as_timeouts
from livepeer_async.http.transport import Transport
from livepeer_async.http.user_client import max_uploads
from livepeer_async.polling.waiter import Waiter
from livepeer_async.probing.probe import as_probe
from livepeer_async.resources import Assets, Playback, Tasks, Webhooks
from livepeer_async.scheduling.slots import SlotQueue
from livepeer_async.scheduling.throttle import Throttle
from livepeer_async.scheduling.throttled_transport import ThrottledTransport, UnpausedTransport
from livepeer_async.sources.download import Downloader
from livepeer_async.tus.limits import ServerLimits, as_limits_for
from livepeer_async.uploads.asset_requests import AssetRequests
from livepeer_async.uploads.leftovers import clean_up, dismiss, find_leftovers
from livepeer_async.uploads.options import UploadOptions, as_job
from livepeer_async.uploads.processing import Processing
from livepeer_async.uploads.transfer import Transfers
from livepeer_async.uploads.unfinished import find_job, find_unfinished
from livepeer_async.uploads.uploader import Uploader

if TYPE_CHECKING:
    from livepeer_async.journal import journal as journals
else:
    # Imports SQLite, which only a client with a journal needs.
    journals = deferred_module("livepeer_async.journal.journal")

# Called by the client, beside `Components`.
__all__ = [
    "CLOSE_GRACE",
    "Components",
    "UploadOptions",
    "as_account",
    "as_job",
    "as_probe",
    "as_timeouts",
    "clean_up",
    "close_in_loops",
    "dismiss",
    "find_job",
    "find_leftovers",
    "find_unfinished",
    "requests",
    "run_shielded",
]


class Components:
    """The components of one client; arguments as for `AsyncLivepeer`.

    Attributes:
        transport: sends requests.
        throttle: delays uploads, and requests after failures.
        session: sends the API's calls.
        unpaused: a session for checks, and for deletions: a pause may last longer than a clean-up
            may take.
        waiter: waits for assets.
        journal: the records of uploads, or None.
        assets, tasks, playback, webhooks: the client's calls.
        uploads: runs uploads.
    """

    def __init__(
        self,
        account: Account,
        *,
        http_client: Any,
        timeout: Timeouts | float | None,
        retry: RetryPolicy | None,
        journal: str | os.PathLike[str] | None,
        upload_limits: ServerLimits | Callable[[int], ServerLimits] | None,
        speed: float,
    ) -> None:
        retry = retry or RetryPolicy()
        descriptors = Descriptors()
        clock = make_clock(check_speed(speed, account))
        self.transport = Transport(
            http_client=http_client,
            timeouts=as_timeouts(timeout),
            descriptors=descriptors,
            clock=clock,
            uses_tls=account.base_url.startswith("https:"),
        )
        self.throttle = throttle = Throttle(
            retry=retry, max_slots=max_uploads(http_client), descriptors=descriptors, clock=clock
        )
        throttled = ThrottledTransport(self.transport, throttle)
        recovery = throttled.recovery
        self.session = Session(account, throttled, retry=retry, clock=clock, recovery=recovery)
        unpaused = UnpausedTransport(self.transport, throttle)
        self.unpaused = Session(account, unpaused, retry=retry, clock=clock)
        self.waiter = Waiter(self.session, clock=clock)
        self.journal = _make_journal(journal, account, throttle, retry) if journal else None
        self.assets = Assets(self.session, self.waiter)
        self.tasks = Tasks(self.session)
        self.playback = Playback(self.session)
        self.webhooks = Webhooks(self.session)
        self.uploads = self._make_uploader(
            throttled, descriptors, as_limits_for(upload_limits), retry, clock
        )

    def _make_uploader(
        self,
        throttled: ThrottledTransport,
        descriptors: Descriptors,
        limits_for: Callable[[int], ServerLimits],
        retry: RetryPolicy,
        clock: Clock,
    ) -> Uploader:
        asset_requests = AssetRequests(self.session, self.unpaused, restarts=retry.restarts)
        transfers = Transfers(
            self.waiter, asset_requests, throttled, retry=retry, limits_for=limits_for, clock=clock
        )
        return Uploader(
            transfers,
            Processing(self.session, self.waiter, clock),
            asset_requests,
            Downloader(self.transport, retry=retry, clock=clock, recovery=throttled.recovery),
            journal=self.journal,
            slot_queue=SlotQueue(self.throttle),
            descriptors=descriptors,
        )


def _make_journal(
    journal: str | os.PathLike[str], account: Account, throttle: Throttle, retry: RetryPolicy
) -> journals.Journal:
    # A restart of its database doesn't end a job that waits for a full queue for hours.
    timeout = retry.busy_timeout
    return journals.Journal(
        journal, account=account.fingerprint, throttle=throttle, outage_timeout=timeout
    )
