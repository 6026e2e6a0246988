"""Progress of an upload as a stream of events, for server-sent events of any framework."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from livepeer_async.integrations.error_responses import detail_of
from livepeer_async.uploads.upload import Upload

# Seconds between two events; a page shows no more.
EVERY = 0.5


class ProgressEvent(NamedTuple):
    """An event: its name, and its data as JSON."""

    name: str
    data: str


async def follow_upload(upload: Upload, every: float) -> AsyncGenerator[ProgressEvent, None]:
    """Yield the progress of an upload, and then how it has ended.

    Args:
        upload: the upload; leaving the iteration doesn't affect it.
        every: seconds between two events, except before the last two.
    """
    try:
        async for progress in upload.progress(every):
            yield _encode("progress", progress)
    except Exception as error:
        if error is not upload.error:
            raise
    if upload.error is not None:
        yield _encode("failed", detail_of(upload.error))
    else:
        yield _encode("done", upload.asset)


def _encode(name: str, value: object) -> ProgressEvent:
    return ProgressEvent(name, msgspec.json.encode(value).decode())
