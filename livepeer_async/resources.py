"""The API's resources as users call them: `livepeer.assets`, `.tasks` and `.playback`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from livepeer_async.api import requests
from livepeer_async.api.pagination import paginate
from livepeer_async.api.requests import as_new_asset
from livepeer_async.api.session import Session
from livepeer_async.models import (
    Asset,
    AssetPatch,
    ImportTicket,
    NewAsset,
    NewAssetFromUrl,
    PlaybackInfo,
    Task,
    UploadTicket,
)
from livepeer_async.polling.intervals import READY_TIMEOUT
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.waiter import Waiter, WaitResult
from livepeer_async.polling.watched_asset import WatchedAsset


class Assets:
    """The asset calls of one account."""

    def __init__(self, session: Session, waiter: Waiter) -> None:
        self._session = session
        self._waiter = waiter

    async def request_upload(self, new_asset: NewAsset | str) -> UploadTicket:
        """Ask for an upload; hand `tus_endpoint` to a browser's tus client, or use `upload`.

        Raises:
            InvalidRequest: a field that the server doesn't take.
            TooManyRequests: too many unfinished tasks, for longer than the retry policy waits.
            AmbiguousRequest: the answer was lost; the asset may exist.
        """
        return await self._session.send(
            requests.request_upload(self._session.account, as_new_asset(new_asset))
        )

    async def upload_from_url(
        self, url: str, new_asset: NewAsset | NewAssetFromUrl | str
    ) -> ImportTicket:
        """Have the server fetch a video from a URL (http, https, ipfs or ar).

        Raises:
            InvalidRequest: a field that the server doesn't take.
            AmbiguousRequest: the answer was lost; the asset may exist.
        """
        if isinstance(new_asset, NewAssetFromUrl):
            wanted = new_asset
        else:
            wanted = NewAssetFromUrl.from_new_asset(as_new_asset(new_asset), url=url)
        return await self._session.send(requests.upload_from_url(self._session.account, wanted))

    async def get(self, asset_id: str, *, details: bool = False) -> Asset:
        """Fetch an asset; with `details` the tracks in its `video_spec` too.

        Raises:
            NotFound: there is no such asset, or it is deleted or somebody else's.
        """
        return await self._session.send(
            requests.get_asset(self._session.account, asset_id, details=details)
        )

    def list(
        self,
        *,
        phase: str | None = None,
        order: str = requests.STABLE_ORDER,
        filters: Mapping[str, requests.FilterValue] | None = None,
        page_size: int = requests.PAGE_SIZE,
    ) -> AsyncIterator[Asset]:
        """Go through all assets, page by page and none twice.

        Args:
            phase: only those in this phase.
            order: field and direction, as "createdAt-true" for the newest first.
            filters: field to value, or to `{"gt": ...}` with gt, gte, lt or lte.
            page_size: rows that are asked for at once, 1 to 1,000.
        """
        return paginate(
            self._session,
            lambda cursor: requests.list_assets(
                self._session.account,
                limit=page_size,
                order=order,
                filters=filters,
                params={"phase": phase} if phase else None,
                cursor=cursor,
            ),
        )

    async def update(self, asset_id: str, patch: AssetPatch) -> Asset:
        """Change an asset that is ready; what is UNSET in the patch stays as it is.

        Raises:
            InvalidRequest: the asset isn't ready, or the change isn't allowed.
        """
        return await self._session.send(
            requests.update_asset(self._session.account, asset_id, patch)
        )

    async def delete(self, asset_id: str) -> None:
        """Delete an asset; deleting it again does no harm.

        Raises:
            NotFound: there never was such an asset.
            Forbidden: it is somebody else's.
        """
        await self._session.send(requests.delete_asset(self._session.account, asset_id))

    async def retry(self, asset_id: str) -> None:
        """Have the server process a failed asset again, without a second upload.

        The asset stays `failed`, with its old message, until the new run has ended; the asset's
        task shows how far it is.

        Raises:
            BadRequest: the asset hasn't failed.
        """
        await self._session.send(requests.retry_asset(self._session.account, asset_id))

    async def wait(
        self,
        asset_id: str,
        *,
        timeout: float = READY_TIMEOUT,
        on_change: Callable[[Asset], None] | None = None,
    ) -> Asset:
        """Wait until an asset is ready.

        Args:
            asset_id: the asset's ID.
            timeout: seconds.
            on_change: called with the asset each time that it changed.

        Raises:
            NotFound: there is no such asset.
            AssetFailed: the server couldn't make it ready.
            AssetDeleted: it was deleted meanwhile.
            AssetTimeout: it isn't ready in time; it may still become so.
        """
        return await self._waiter.wait_until(
            WatchedAsset(asset_id), is_ready, timeout=timeout, on_change=on_change
        )

    def wait_many(
        self,
        asset_ids: Iterable[str],
        *,
        timeout: float = READY_TIMEOUT,
        on_change: Callable[[Asset], None] | None = None,
    ) -> AsyncIterator[WaitResult]:
        """Wait for many assets; each comes as soon as its end is known, failed ones too.

        Args:
            asset_ids: the assets' IDs; one that stands twice comes once.
            timeout: seconds for each.
            on_change: called with an asset each time that it changed; its progress is
                `asset.status.progress`.
        """
        return self._waiter.wait_each(asset_ids, timeout=timeout, on_change=on_change)


class Playback:
    """The playback call of one account."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, playback_id: str) -> PlaybackInfo:
        """Fetch the URLs under which an asset plays.

        The server caches its answer for 5 s before the asset is ready and for 120 s afterwards, so
        MP4 renditions may appear late.

        Raises:
            InvalidRequest: the asset isn't ready for playback.
            NotFound: there is no such playback ID; an asset's ID isn't one.
        """
        return await self._session.send(requests.get_playback(self._session.account, playback_id))


class Tasks:
    """The task calls of one account."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, task_id: str) -> Task:
        """Fetch a task.

        Raises:
            NotFound: there is no such task.
            Forbidden: it is somebody else's.
        """
        return await self._session.send(requests.get_task(self._session.account, task_id))

    def list(
        self,
        *,
        order: str = requests.STABLE_ORDER,
        filters: Mapping[str, requests.FilterValue] | None = None,
        page_size: int = requests.PAGE_SIZE,
    ) -> AsyncIterator[Task]:
        """Go through all tasks, page by page and none twice.

        Args:
            order: field and direction, as "createdAt-true" for the newest first.
            filters: field to value, as `{"outputAssetId": asset.id}`.
            page_size: rows that are asked for at once, 1 to 1,000.
        """
        return paginate(
            self._session,
            lambda cursor: requests.list_tasks(
                self._session.account,
                limit=page_size,
                order=order,
                filters=filters,
                cursor=cursor,
            ),
        )
