"""Write and run manifests."""

import json
import os

import anyio

from livepeer_async.ingest import RowEnded, ingest
from support.sandbox import make_bytes

# Seconds for a whole run on a slow machine.
RUN_SECONDS = 60.0


def write_rows(folder, *rows):
    """Write a manifest of JSON lines."""
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def write_videos(folder, count, length=3000):
    """Write videos and return their bytes by name."""
    videos = {
        f"v{number:03}.mp4": make_bytes(length + number, number % 256) for number in range(count)
    }
    for name, video in videos.items():
        (folder / name).write_bytes(video)
    return videos


async def run(livepeer, manifest, **options):
    """Run a manifest and return all events."""
    with anyio.fail_after(RUN_SECONDS):
        async with ingest(livepeer, manifest, **options) as running:
            return [event async for event in running]


async def run_rows(livepeer, folder, *rows, **options):
    """Run rows and return their `RowEnded` events in order."""
    events = await run(livepeer, write_rows(folder, *rows), **options)
    return sorted(events_of(RowEnded, events), key=lambda it: it.row.line)


def events_of(kind, events):
    """Return the events of a class."""
    return [event for event in events if isinstance(event, kind)]


def states_of(events):
    """Return the final state of each row by file name."""
    return {os.path.basename(it.row.source): str(it.state) for it in events_of(RowEnded, events)}
