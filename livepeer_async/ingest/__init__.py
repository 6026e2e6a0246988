"""Ingestion: a manifest in, ready assets out, and events of all that happens on the way.

async with ingest(livepeer, "videos.csv") as events:
async for event in events: ...
"""

from livepeer_async.ingest.check import check_manifest, check_rows
from livepeer_async.ingest.events import (
    Checked,
    Event,
    Halted,
    Resumed,
    RowDeferred,
    RowEnded,
    RowStarted,
    RowState,
)
from livepeer_async.ingest.ingestion import Ingestion, ingest
from livepeer_async.ingest.manifest import Manifest, open_manifest
from livepeer_async.ingest.rows import BadRow, Row

__all__ = [
    "BadRow",
    "Checked",
    "Event",
    "Halted",
    "Ingestion",
    "Manifest",
    "Resumed",
    "Row",
    "RowDeferred",
    "RowEnded",
    "RowStarted",
    "RowState",
    "check_manifest",
    "check_rows",
    "ingest",
    "open_manifest",
]
