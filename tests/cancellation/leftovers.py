"""Checks the assets that cancelled uploads leave: each is complete, deleted or resumable."""

from collections import Counter

import anyio

from cancellation.sources import expected_bytes
from livepeer_async.tus import TusClient
from support.constants import FAST_RETRY
from support.resource_leaks import settled
from support.sandbox import SMALL_LIMITS


class Leftovers:
    """Classifies each asset once, and resumes the uploads.

    Attributes:
        found: The number of assets of each class.
    """

    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._known = {asset.id for asset in sandbox.assets}
        self._to_resume = []
        self._active_requests = []
        self._late_tickets = 0
        self.found = Counter()

    def classify(self, trial):
        """Classify the assets that a trial has added."""
        self._late_tickets += sum(map(is_late_ticket, self._sandbox.requests))
        self._active_requests += [seen for seen in self._sandbox.requests if not seen.is_over]
        for asset in self._sandbox.assets:
            if asset.id not in self._known:
                self._known.add(asset.id)
                self.found[self._classify_asset(trial, asset)] += 1

    def _classify_asset(self, trial, asset):
        if asset.is_deleted:
            return "deleted"
        assert not trial.was_aborted, trial.case
        if asset.phase != "uploading":
            return "complete"
        url = self._upload_url(trial, asset)
        if url is None:
            # Created by a response that arrived after the cancelled client had stopped waiting.
            self._late_tickets -= 1
            assert self._late_tickets >= 0, f"{asset} of {trial.case} can't be found"
            return "of a late ticket"
        self._to_resume.append((trial, asset, url))
        return "resumed"

    def _upload_url(self, trial, asset):
        """Return the caller's upload URL, or the one that Livepeer derives from the playback ID."""
        if trial.case.method.startswith("many") and asset.id in trial.asset_ids:
            path = f"/api/asset/upload/tus/directUpload%2F{asset.playback_id}"
            return self._sandbox.origin + path
        return trial.upload_urls.get(asset.id)

    async def resume(self):
        """Resume the uploads concurrently, and compare the bytes."""
        # A request that a fault holds is still the writer of its upload.
        assert await settled(lambda: all(seen.is_over for seen in self._active_requests))
        self._active_requests.clear()
        async with (
            TusClient(limits=SMALL_LIMITS, retry=FAST_RETRY) as tus,
            anyio.create_task_group() as tasks,
        ):
            for trial, asset, url in self._to_resume:
                tasks.start_soon(self._resume_one, tus, trial, asset, url)
        self._to_resume.clear()

    async def _resume_one(self, tus, trial, asset, url):
        expected = expected_bytes(trial.case)
        await tus.upload(expected, upload_url=url)
        path = self._sandbox.stored(asset.playback_id)
        assert path is not None, trial.case
        assert path.read_bytes() == expected, trial.case


def is_late_ticket(seen):
    return seen.fault == "Stall" and seen.path.endswith("/request-upload")
