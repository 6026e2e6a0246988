"""Take a video from a path, a stream or a manifest to a ready Livepeer asset, and prove it.

async with AsyncLivepeer() as livepeer:
asset = await livepeer.upload("talk.mp4")
print(asset.playback_id)
"""

from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import LivepeerError
from livepeer_async.models import NewAsset

__all__ = ["AsyncLivepeer", "LivepeerError", "NewAsset"]
