"""Public API resources: `livepeer.assets`, `.tasks`, `.playback` and `.webhooks`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

from livepeer_async.api import requests
from livepeer_async.api.arguments import (
    NewAssetLike,
    as_import,
    as_new_asset,
    as_new_webhook,
    as_patch,
    as_webhook_patch,
)
from livepeer_async.api.pagination import paginate
from livepeer_async.api.session import Session
from livepeer_async.defaults import READY_TIMEOUT
from livepeer_async.errors import AmbiguousRequest
from livepeer_async.http.tracing import trace_wait
from livepeer_async.models import (
    Asset,
    AssetPatch,
    ImportTicket,
    NewAssetFromUrl,
    NewWebhook,
    PlaybackInfo,
    Task,
    UploadTicket,
    Webhook,
    WebhookPatch,
)
from livepeer_async.models.values import AssetPhaseValue
from livepeer_async.polling.phases import is_ready
from livepeer_async.polling.verify import check_expected, verify_asset
from livepeer_async.polling.waiter import Waiter, WaitOutcome
from livepeer_async.polling.watched_asset import WatchedAsset
from livepeer_async.redaction import hides_variables


class Assets:
    """Assets of an account."""

    def __init__(self, session: Session, waiter: Waiter) -> None:
        self._session = session
        self._waiter = waiter

    @hides_variables
    async def request_upload(self, new_asset: NewAssetLike) -> UploadTicket:
        """Request an upload without sending a file.

        The ticket's `tus_endpoint` is meant for another tus client, such as one in a browser. To
        upload from here, use `AsyncLivepeer.upload`.

        Raises:
            InvalidRequest: the server rejected a field.
            TooManyRequests: the account has too many unfinished tasks, despite the retries.
            AmbiguousRequest: the response was lost; the asset may exist.
        """
        return await self._session.send(
            requests.request_upload(self._session.account, as_new_asset(new_asset))
        )

    @hides_variables
    async def upload_from_url(
        self, url: str, new_asset: NewAssetLike | NewAssetFromUrl | None = None
    ) -> ImportTicket:
        """Have the server fetch a video from a URL.

        Args:
            url: URL with the scheme http, https, ipfs or ar.
            new_asset: fields of the asset, or its name; by default the last part of the URL's path.
                The URL of a `NewAssetFromUrl` must be the same.

        Raises:
            ConfigurationError: `new_asset` can't be used, or has another URL.
            InvalidRequest: the server rejected a field.
            AmbiguousRequest: the response was lost; the asset may exist.
        """
        body = as_import(url, new_asset)
        return await self._session.send(requests.upload_from_url(self._session.account, body))

    async def get(self, asset_id: str, *, details: bool = False) -> Asset:
        """Get an asset; `details` includes the tracks in its `video_spec`.

        Raises:
            NotFound: the asset doesn't exist, is deleted or belongs to another account.
        """
        return await self._session.send(
            requests.get_asset(self._session.account, asset_id, details=details)
        )

    def list(
        self,
        *,
        phase: AssetPhaseValue | None = None,
        order: str = requests.STABLE_ORDER,
        filters: Mapping[str, requests.FilterValue] | None = None,
        page_size: int = requests.PAGE_SIZE,
    ) -> AsyncGenerator[Asset, None]:
        """Iterate over all assets, each once; pages are requested as needed.

        Args:
            phase: yield only assets in this phase.
            order: field and direction; "createdAt-true" yields the newest first.
            filters: field to value, or to `{"gt": ...}` with gt, gte, lt or lte.
            page_size: rows per request, 1 to 1,000.
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

    @hides_variables
    async def update(self, asset_id: str, patch: AssetPatch | Mapping[str, Any]) -> Asset:
        """Update a ready asset; fields that are UNSET in the patch don't change.

        Raises:
            InvalidRequest: the asset isn't ready, or the change isn't allowed.
        """
        return await self._session.send(
            requests.update_asset(self._session.account, asset_id, as_patch(patch))
        )

    async def delete(self, asset_id: str) -> None:
        """Delete an asset; a second deletion does nothing.

        Raises:
            NotFound: the asset never existed.
            Forbidden: the asset belongs to another account.
        """
        await self._session.send(requests.delete_asset(self._session.account, asset_id))

    async def retry(self, asset_id: str) -> None:
        """Have the server process a failed asset again, without a second upload.

        The server leaves the asset `failed`, with its old message, until the new run ends. `wait`
        and `wait_many`, of this client or any other, wait for that; the asset's task shows the
        progress.

        Raises:
            NotFound: the asset doesn't exist.
            BadRequest: the asset hasn't failed, or is already being processed again.
            AmbiguousRequest: the response was lost, and the asset isn't being processed again.
        """
        failed = await self.get(asset_id)
        try:
            await self._session.send(requests.retry_asset(self._session.account, asset_id))
        except AmbiguousRequest:
            if await self._waiter.has_failed(await self.get(asset_id)):
                raise
        self._waiter.note_retry(failed)

    async def wait(
        self,
        asset_id: str,
        *,
        timeout: float = READY_TIMEOUT,
        on_change: Callable[[Asset], None] | None = None,
        length: int | None = None,
        sha256: str | None = None,
    ) -> Asset:
        """Wait until an asset is ready, and compare it with what was uploaded.

        A browser's tus client may store wrong bytes and report success, so have the page send the
        length of its file along. An asset without a size or hash isn't compared with it: Livepeer's
        current pipeline sets no hash. Nor is an encrypted one, whose file was decrypted.

        Args:
            asset_id: the asset's ID.
            timeout: seconds.
            on_change: called with the asset after each change.
            length: bytes of the file.
            sha256: its SHA-256 in hex.

        Raises:
            ConfigurationError: `length` or `sha256` is invalid.
            IntegrityError: the asset has another size or SHA-256.
            NotFound: the asset doesn't exist.
            AssetFailed: the server failed to process the asset, and isn't doing so again.
            AssetDeleted: the asset was deleted during the wait.
            AssetTimeout: the timeout expired; the asset may still become ready.
        """
        check_expected(length, sha256)
        with trace_wait(asset_id):
            asset = await self._waiter.wait_until(
                WatchedAsset(asset_id), is_ready, timeout=timeout, on_change=on_change
            )
        is_encrypted = asset.source is not None and asset.source.encryption is not None
        verify_asset(asset, length=length, sha256=sha256, is_encrypted=is_encrypted)
        return asset

    def wait_many(
        self,
        asset_ids: Iterable[str],
        *,
        timeout: float = READY_TIMEOUT,
        on_change: Callable[[Asset], None] | None = None,
    ) -> AsyncGenerator[WaitOutcome, None]:
        """Wait until each asset is ready or has failed; yield results in completion order.

        Args:
            asset_ids: the assets' IDs; duplicates are ignored.
            timeout: seconds for each.
            on_change: called with an asset after each change; `asset.status.progress` is its
                progress.
        """
        return self._waiter.wait_each(asset_ids, timeout=timeout, on_change=on_change)


class Playback:
    """Playback information."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, playback_id: str) -> PlaybackInfo:
        """Get the playback URLs of an asset.

        The server caches the response for 5 s before the asset is ready and for 120 s afterwards,
        which delays the appearance of MP4 renditions.

        Raises:
            InvalidRequest: the asset isn't ready for playback.
            NotFound: the playback ID doesn't exist; an asset's ID isn't a playback ID.
        """
        return await self._session.send(requests.get_playback(self._session.account, playback_id))


class Tasks:
    """Tasks of an account."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, task_id: str) -> Task:
        """Get a task.

        Raises:
            NotFound: the task doesn't exist.
            Forbidden: the task belongs to another account.
        """
        return await self._session.send(requests.get_task(self._session.account, task_id))

    def list(
        self,
        *,
        order: str = requests.STABLE_ORDER,
        filters: Mapping[str, requests.FilterValue] | None = None,
        page_size: int = requests.PAGE_SIZE,
    ) -> AsyncGenerator[Task, None]:
        """Iterate over all tasks, each once; pages are requested as needed.

        Args:
            order: field and direction; "createdAt-true" yields the newest first.
            filters: field to value, such as `{"outputAssetId": asset.id}`.
            page_size: rows per request, 1 to 1,000.
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


class Webhooks:
    """Webhooks of an account; `livepeer_async.webhooks` decodes what they receive."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @hides_variables
    async def create(self, new_webhook: NewWebhook | Mapping[str, Any]) -> Webhook:
        """Create a webhook.

        Args:
            new_webhook: a `NewWebhook`, or a mapping of its fields. Pass a `shared_secret`: without
                one, events aren't signed, and `webhooks.unwrap` refuses them.

        Raises:
            InvalidRequest: the server rejected a field, or an event of an unknown name.
            AmbiguousRequest: the response was lost; the webhook may exist.
        """
        body = as_new_webhook(new_webhook)
        return await self._session.send(requests.create_webhook(self._session.account, body))

    async def get(self, webhook_id: str) -> Webhook:
        """Get a webhook, with its shared secret.

        Raises:
            NotFound: the webhook doesn't exist, or belongs to another account.
        """
        return await self._session.send(requests.get_webhook(self._session.account, webhook_id))

    def list(
        self, *, order: str = requests.STABLE_ORDER, page_size: int = requests.PAGE_SIZE
    ) -> AsyncGenerator[Webhook, None]:
        """Iterate over all webhooks, each once; pages are requested as needed.

        Args:
            order: field and direction; "createdAt-true" yields the newest first.
            page_size: rows per request, 1 to 1,000.
        """
        return paginate(
            self._session,
            lambda cursor: requests.list_webhooks(
                self._session.account, limit=page_size, order=order, cursor=cursor
            ),
        )

    @hides_variables
    async def update(
        self, webhook_id: str, patch: WebhookPatch | NewWebhook | Mapping[str, Any]
    ) -> Webhook:
        """Update a webhook; fields that are UNSET or absent in the patch don't change.

        Events may arrive with the old URL and secret for a day: pass both secrets to `unwrap`.

        Raises:
            NotFound: the webhook or the stream doesn't exist.
            InvalidRequest: the server rejected a field.
        """
        body = as_webhook_patch(patch)
        await self._session.send(requests.update_webhook(self._session.account, webhook_id, body))
        return await self.get(webhook_id)

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook; events that wait for another try are still sent.

        Raises:
            NotFound: the webhook doesn't exist, or was deleted already.
        """
        await self._session.send(requests.delete_webhook(self._session.account, webhook_id))
