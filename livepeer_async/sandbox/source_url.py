"""Sources that the server fetches itself.

Only `http` URLs of this very machine are fetched, so that a test never reaches out; any other
URL ends as the server's own failure of a source that can't be had.
"""

import ipaddress
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread

from livepeer_async.sandbox.phases import Failure
from livepeer_async.sandbox.records import Asset
from livepeer_async.sandbox.studio import Studio

# Retriable, as the pipeline says of it: the caller may POST /retry.
NOT_FETCHED = Failure("file download failed")

FETCH_SECONDS = 30.0


async def fetch_source(studio: Studio, asset: Asset, url: str) -> None:
    """Fetch a source into the storage, and queue its task."""
    target = studio.directory / f"{asset.playback_id}.fetched"
    # Abandoned when the sandbox is left: nobody waits for what it would still store.
    fetched = await anyio.to_thread.run_sync(_fetch, url, target, abandon_on_cancel=True)
    studio.complete_upload(asset, target if fetched else None, failure=_judge(fetched))


def is_loopback(url: str) -> bool:
    """Whether a URL is `http` and names this machine by `localhost` or a loopback address."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def _judge(fetched: bool) -> Failure | None:  # noqa: FBT001 - the one thing that it judges
    return None if fetched else NOT_FETCHED


def _make_opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows no proxy and no redirect, which could lead off this machine."""
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    return opener


def _fetch(url: str, target: Path) -> bool:
    if not is_loopback(url):
        return False
    try:
        with _make_opener().open(url, timeout=FETCH_SECONDS) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, HTTPException):
        target.unlink(missing_ok=True)
        return False
    return True
