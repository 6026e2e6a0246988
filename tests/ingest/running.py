"""Manifests that are written and run: what the tests of whole ingestions share."""

import json

import anyio

from livepeer_async.ingest import RowEnded, ingest

# Seconds for a whole run, also where everything is slow.
RUN_SECONDS = 60.0


def write_rows(folder, *rows):
    """Write a manifest of these rows."""
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


async def run(livepeer, manifest, **options):
    """Run a manifest; give all events."""
    with anyio.fail_after(RUN_SECONDS):
        async with ingest(livepeer, manifest, **options) as running:
            return [event async for event in running]


async def run_rows(livepeer, folder, *rows, **options):
    """Run rows; say how they ended, in their order."""
    events = await run(livepeer, write_rows(folder, *rows), **options)
    return sorted(of(RowEnded, events), key=lambda it: it.row.line)


def of(kind, events):
    """Pick the events of one kind."""
    return [event for event in events if isinstance(event, kind)]
