"""The events of assets and tasks: which ones the server sends at each step, and in which order.

Source: `task/scheduler.ts` and `controllers/asset.ts` of Livepeer Studio.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from msgspec.structs import replace

from livepeer_async.sandbox.deliveries import Deliveries
from livepeer_async.sandbox.documents import (
    Asset,
    Task,
    describe_asset,
    describe_new_asset,
    describe_task,
)
from livepeer_async.sandbox.lifecycle import Step
from livepeer_async.sandbox.responses import JsonObject
from livepeer_async.sandbox.webhooks import Event, asset_payload, make_event, task_payload

# A clock of the test's own may jump, so the time is looked at this often.
TICK_SECONDS = 0.02
# Fields of a database row that the API doesn't show.
INTERNAL_FIELDS = {"objectStoreId": "sandbox"}


class Announcer:
    """Sends the events of assets and tasks.

    Args:
        deliveries: delivers them.
        now: the sandbox's time, in seconds since 1970.
        origin: scheme, host and port of the sandbox.
    """

    def __init__(self, deliveries: Deliveries, now: Callable[[], float], *, origin: str) -> None:
        self._deliveries = deliveries
        self._now = now
        self._origin = origin

    def announce_new(self, asset: Asset) -> None:
        """Send the events of a new asset and its task; the asset is shown as its database row."""
        if self._deliveries.has_subscriber(asset.user):
            row = {**describe_new_asset(asset, asset.created_at), **INTERNAL_FIELDS}
            self._emit(asset, "asset.created", asset.created_at, asset_payload(row))
            self.announce_task(asset, asset.task)

    def announce_task(self, asset: Asset, task: Task) -> None:
        """Send the events of a new task: it is queued at once unless it is an upload."""
        if not self._deliveries.has_subscriber(asset.user):
            return
        document = _show_task(asset, task, task.created_at)
        spawned = {**document, "status": {**document["status"], "phase": "pending"}}
        self._emit(asset, "task.spawned", task.created_at, task_payload(spawned))
        if document["status"]["phase"] == "waiting":
            self._emit(asset, "task.updated", task.created_at, task_payload(document))

    def announce_asset(self, asset: Asset, name: str) -> None:
        """Send an event with the current state of an asset."""
        if self._deliveries.has_subscriber(asset.user):
            now = self._now()
            self._emit(asset, name, now, asset_payload(self._show(asset, now)))

    def make_event(self, asset: Asset, name: str) -> Event:
        """Return an event with the current state of an asset or its task.

        Raises:
            ValueError: it is neither an event of an asset nor of a task.
        """
        now, kind = self._now(), name.partition(".")[0]
        if kind == "asset":
            return make_event(name, now, asset_payload(self._show(asset, now)))
        if kind != "task":
            raise ValueError(f"event is {name!r}; wanted one of an asset or a task, or a document")
        is_over = name in ("task.completed", "task.failed")
        payload = task_payload(_show_task(asset, asset.task, now), is_over=is_over)
        return make_event(name, now, payload)

    async def follow(self, asset: Asset, seen: list[Step]) -> None:
        """Send the events of the steps of an asset, except the `seen` ones, until its task ends."""
        while self._deliveries.has_subscriber(asset.user):
            for step in list(asset.steps):
                if step in seen or step.at > self._now():
                    continue
                if asset.is_deleted:
                    return
                self._announce_step(asset, step)
                seen.append(step)
                if step.task.phase in ("completed", "failed"):
                    return
            await anyio.sleep(TICK_SECONDS)

    def _announce_step(self, asset: Asset, step: Step) -> None:
        index = asset.steps.index(step)
        before = asset.steps[max(0, index - 1)].asset
        # As they were: several steps may have the same time.
        steps = asset.steps[: index + 1]
        asset = replace(asset, steps=steps, task=replace(asset.task, steps=steps))
        of_asset = (
            [] if step.asset == before or step.asset.phase == "waiting" else ["asset.updated"]
        )
        of_task = ["task.updated"]
        phase = step.task.phase
        if phase in ("completed", "failed"):
            of_task.append(f"task.{phase}")
            if before.phase != step.asset.phase:
                of_asset.append(f"asset.{step.asset.phase}")
        names = [*of_asset, *of_task] if phase == "completed" else [*of_task, *of_asset]
        for name in names:
            if name.startswith("asset."):
                payload = asset_payload(self._show(asset, step.at))
            else:
                is_over = name != "task.updated"
                payload = task_payload(_show_task(asset, asset.task, step.at), is_over=is_over)
            self._emit(asset, name, step.at, payload)

    def _emit(self, asset: Asset, name: str, at: float, payload: JsonObject) -> None:
        self._deliveries.emit(asset.user, make_event(name, at, payload))

    def _show(self, asset: Asset, at: float) -> JsonObject:
        return describe_asset(asset, at, origin=self._origin, with_tracks=True)


def _show_task(asset: Asset, task: Task, at: float) -> JsonObject:
    """Return the document of a task; unlike an asset's, its encryption shows no key."""
    document = describe_task(task, at)
    if "encryption" in asset.fields["source"] and task.kind in document["params"]:
        params = {**document["params"][task.kind], "encryption": {"key": "***"}}
        document["params"] = {**document["params"], task.kind: params}
    return document
