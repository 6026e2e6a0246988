"""What is left on the server after a cancellation: resumed to its end, or rightly gone."""

from collections import Counter

import anyio

from cancellation.sources import expected
from livepeer_async.tus import TusClient
from support.constants import FAST_RETRY
from support.leaks import settled
from support.sandbox import SMALL_LIMITS


class Aftermath:
    """Looks at each asset once: it is complete, deleted, or an upload that can be resumed."""

    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._known = {asset.id for asset in sandbox.assets}
        self._to_resume = []
        self._running = []
        self._lost_tickets = 0
        self.found = Counter()

    def look(self, trial):
        """Take note of what a trial has left, and of how to resume it."""
        self._lost_tickets += sum(map(is_late_ticket, self._sandbox.requests))
        self._running += [seen for seen in self._sandbox.requests if not seen.is_over]
        for asset in self._sandbox.assets:
            if asset.id not in self._known:
                self._known.add(asset.id)
                self.found[self._see(trial, asset)] += 1

    def _see(self, trial, asset):
        if asset.is_deleted:
            return "deleted"
        assert not trial.was_aborted, trial.case
        if asset.phase != "uploading":
            return "complete"
        url = self._upload_url(trial, asset)
        if url is None:
            # Made by a server that answered later than one who has cancelled can wait for.
            self._lost_tickets -= 1
            assert self._lost_tickets >= 0, f"nobody can find {asset} of {trial.case}"
            return "of a late ticket"
        self._to_resume.append((trial, asset, url))
        return "resumed"

    def _upload_url(self, trial, asset):
        """Give the URL that the caller had, or the one that Livepeer makes of the playback ID."""
        if trial.case.how.startswith("many") and asset.id in trial.asset_ids:
            path = f"/api/asset/upload/tus/directUpload%2F{asset.playback_id}"
            return self._sandbox.origin + path
        return trial.upload_urls.get(asset.id)

    async def resume(self):
        """Resume all that can be, side by side, and compare the bytes."""
        # A request that a fault holds is still the writer of its upload.
        assert await settled(lambda: all(seen.is_over for seen in self._running))
        self._running.clear()
        async with (
            TusClient(limits=SMALL_LIMITS, retry=FAST_RETRY) as tus,
            anyio.create_task_group() as tasks,
        ):
            for trial, asset, url in self._to_resume:
                tasks.start_soon(self._resume_one, tus, trial, asset, url)
        self._to_resume.clear()

    async def _resume_one(self, tus, trial, asset, url):
        await tus.upload(expected(trial.case), upload_url=url)
        path = self._sandbox.stored(asset.playback_id)
        assert path is not None, trial.case
        assert path.read_bytes() == expected(trial.case), trial.case


def is_late_ticket(seen):
    return seen.fault == "Stall" and seen.path.endswith("/request-upload")
