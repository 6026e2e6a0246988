"""Ingestion: a manifest in, a row for each video out, and a sentence for each that is none.

manifest = open_manifest("videos.csv")
for row in check_rows(manifest): ...
"""

from livepeer_async.ingest.check import check_rows
from livepeer_async.ingest.manifest import Manifest, open_manifest
from livepeer_async.ingest.rows import BadRow, Row

__all__ = ["BadRow", "Manifest", "Row", "check_rows", "open_manifest"]
