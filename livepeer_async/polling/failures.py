"""Whether a failed asset stays failed."""

from __future__ import annotations

from livepeer_async.api.requests import find_task
from livepeer_async.api.session import Session
from livepeer_async.errors import ApiError
from livepeer_async.models import Asset, AssetPhase
from livepeer_async.polling.phases import is_reprocessed


async def has_failed(session: Session, asset: Asset) -> bool:
    """Whether an asset has failed and isn't being processed again.

    Raises:
        LivepeerError: its task can't be read.
    """
    if asset.phase != AssetPhase.FAILED:
        return False
    try:
        task = await session.send(find_task(session.account, asset.id))
    except ApiError:
        # An API key may have no access to tasks; what is known is the failure.
        return True
    return not is_reprocessed(asset, task)
