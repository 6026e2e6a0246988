"""A sandbox in which assets are planted that become ready at known times, by any clock."""

import time

import anyio.lowlevel
import msgspec

from livepeer_async.sandbox import Sandbox
from livepeer_async.sandbox.phases import end_processing, plan_processing


class VirtualTime:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        # Whoever cancels the sleep does so before it begins.
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        self.now += max(0.0, seconds)


def garden(clock):
    """Make a sandbox whose seconds are those of `clock`."""
    sandbox, started = Sandbox(), time.time()
    settings = msgspec.structs.replace(sandbox._settings, clock=lambda: started + clock())  # noqa: SLF001 - no option of the sandbox sets its clock
    sandbox._settings = settings  # noqa: SLF001 - see above
    return sandbox


def plant(sandbox, *, ready_after, failure=None):
    """Make an asset that is `waiting`, and give its ID; it ends `ready_after` seconds from now."""
    studio = sandbox._state.studio  # noqa: SLF001 - a thousand uploads would take minutes
    user = studio.accounts.authenticate(f"Bearer {sandbox.api_key}")
    fields = {"name": "planted", "source": {"type": "directUpload"}}
    asset = studio.add_asset(user, "upload", fields, {})
    now = studio.now()
    steps = plan_processing(
        now, waiting=ready_after / 2, processing=ready_after / 2, failure=failure
    )
    asset.steps[:] = [*steps, end_processing(now + ready_after, failure)]
    return asset.id


def delete(sandbox, asset_id):
    """Delete an asset as somebody else would."""
    sandbox._state.studio.assets[asset_id].is_deleted = True  # noqa: SLF001 - as above
