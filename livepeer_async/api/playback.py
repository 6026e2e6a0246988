"""`livepeer.playback`: what players need of an asset."""

from __future__ import annotations

from livepeer_async.api import calls
from livepeer_async.api.caller import Caller
from livepeer_async.models import PlaybackInfo


class Playback:
    """The playback call of one account."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, playback_id: str) -> PlaybackInfo:
        """Fetch the URLs under which an asset plays.

        The server caches its answer for 5 s before the asset is ready and for 120 s afterwards, so
        MP4 renditions may appear late.

        Raises:
            InvalidRequest: the asset isn't ready for playback.
            NotFound: there is no such playback ID; an asset's ID isn't one.
        """
        return await self._caller.perform(calls.get_playback(self._caller.account, playback_id))
